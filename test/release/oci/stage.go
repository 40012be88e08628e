package main

import (
	"encoding/json"
	"fmt"
	"path"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// out is the directory of the build stage with everything that the image has.
const out = "/out/"

// stage is the last stage of the Dockerfile.
type stage struct {
	Files  []string // names in out, and in the root of the image
	Config v1.Config
}

// lastStage reads the last stage of a Dockerfile. It knows the instructions that this stage has; any
// other one, and any other form, is an error, so that the image of a release cannot lack something
// that the Dockerfile has.
func lastStage(dockerfile string) (stage, error) {
	var s stage
	began := false
	for _, line := range instructions(dockerfile) {
		name, rest, _ := strings.Cut(line, " ")
		rest = strings.TrimSpace(rest)
		if name == "FROM" {
			s, began = stage{}, rest == "scratch"
			s.Config.WorkingDir = "/"
			continue
		}
		if !began {
			continue
		}
		if err := s.add(name, rest); err != nil {
			return s, fmt.Errorf("the Dockerfile: %s: %w", line, err)
		}
	}
	if !began || len(s.Files) == 0 || len(s.Config.Entrypoint) == 0 {
		return s, fmt.Errorf("the Dockerfile: the last stage must be FROM scratch, with COPY and ENTRYPOINT")
	}
	return s, nil
}

func (s *stage) add(name, rest string) error {
	words, err := split(rest)
	if err != nil {
		return err
	}
	switch name {
	case "COPY":
		last := len(words) - 1
		if last < 2 || words[0] != "--from=build" || words[last] != "/" {
			return fmt.Errorf("write COPY --from=build %sNAME… /", out)
		}
		for _, file := range words[1:last] {
			if path.Dir(file)+"/" != out {
				return fmt.Errorf("%s is not in %s", file, out)
			}
			s.Files = append(s.Files, path.Base(file))
		}
	case "ENV":
		for _, word := range words {
			if !strings.Contains(word, "=") {
				return fmt.Errorf("write ENV NAME=VALUE")
			}
			s.Config.Env = append(s.Config.Env, word)
		}
	case "LABEL":
		if s.Config.Labels == nil {
			s.Config.Labels = map[string]string{}
		}
		for _, word := range words {
			key, value, found := strings.Cut(word, "=")
			if !found {
				return fmt.Errorf("write LABEL NAME=VALUE")
			}
			s.Config.Labels[key] = value
		}
	case "USER":
		s.Config.User = rest
	case "ENTRYPOINT":
		return json.Unmarshal([]byte(rest), &s.Config.Entrypoint)
	default:
		return fmt.Errorf("test/release/oci does not know this instruction; add it there")
	}
	return nil
}

// instructions returns the instructions of a Dockerfile, each in one line, without comments.
func instructions(dockerfile string) (all []string) {
	var b strings.Builder
	for line := range strings.Lines(dockerfile) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "#") {
			continue
		}
		part, more := strings.CutSuffix(line, `\`)
		b.WriteString(part)
		if more {
			continue
		}
		if b.Len() > 0 {
			all = append(all, b.String())
		}
		b.Reset()
	}
	return all
}

// split splits words at spaces outside of double quotes, and removes the quotes.
func split(text string) (words []string, err error) {
	if strings.ContainsAny(text, `$\'`) {
		return nil, fmt.Errorf("variables, backslashes and single quotes are not read")
	}
	quoted := false
	fields := strings.FieldsFunc(text, func(r rune) bool {
		if r == '"' {
			quoted = !quoted
		}
		return r == ' ' && !quoted
	})
	if quoted {
		return nil, fmt.Errorf("a quote is not closed")
	}
	for _, f := range fields {
		words = append(words, strings.ReplaceAll(f, `"`, ""))
	}
	return words, nil
}
