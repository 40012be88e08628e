package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	yaml "go.yaml.in/yaml/v3"
)

// observation is the result of one command of one version, as values by name: its exit code, the
// compared parts of its output, and every file below the root.
type observation struct {
	values map[string]string
	stdout string
	stderr string
}

// Prefixes of the names in an observation.
const (
	atExit   = "exit"
	atJSON   = "json"    // and the path in the JSON, parts separated by |
	atStderr = "stderr " // and error or warning, and the place in the config
	atYAML   = "yaml"    // and the path in the YAML
	atOutput = "stdout"  // as a whole
	atFile   = "file "   // and the path below the root, then a field of its JSON
)

// form is how the standard output of a command is compared.
type form int

const (
	isJSON form = iota
	isText      // for people: not compared
	isYAML      // comments are for people
	isExact
)

// execute runs a program in dir and reads the node below it.
func execute(ctx context.Context, dir string, env []string, c command, program string) (observation, error) {
	cmd := exec.CommandContext(ctx, program, c.args...)
	cmd.Dir, cmd.Env = dir, env
	cmd.Stdin = strings.NewReader(c.stdin)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok && exit.Exited() {
		err = nil
	}
	if err != nil {
		return observation{}, fmt.Errorf("%s: %w", c, err)
	}
	o := observation{values: map[string]string{}, stdout: stdout.String(), stderr: stderr.String()}
	o.values[atExit] = fmt.Sprint(cmd.ProcessState.ExitCode())
	o.addStderr()
	switch c.form {
	case isJSON:
		o.addJSON(atJSON, stdout.Bytes())
	case isYAML:
		var v any
		if err := yaml.Unmarshal(stdout.Bytes(), &v); err != nil {
			o.values[atYAML] = o.stdout
		} else {
			o.flatten(atYAML, v)
		}
	case isExact:
		o.values[atOutput] = o.stdout
	}
	return o, o.addTree(filepath.Join(dir, node))
}

// place matches the place in a config at the start of a message: file, line and column, field.
var place = regexp.MustCompile(`^(\S+:\d+:\d+): ([A-Za-z0-9_.\[\]"*/-]+): `)

// kinds are the prefixes of lines on standard error.
var kinds = []struct{ prefix, kind string }{{"berth: ", "error"}, {"warning: ", "warning"}}

// addStderr records errors and warnings, and their places.
func (o observation) addStderr() {
	for line := range strings.Lines(o.stderr) {
		name := "text"
		for _, k := range kinds {
			text, ok := strings.CutPrefix(line, k.prefix)
			if !ok {
				continue
			}
			name = k.kind
			if m := place.FindStringSubmatch(text); m != nil {
				name += " " + m[1] + " " + m[2]
			}
		}
		o.values[atStderr+name] = "present"
	}
}

// texts are the JSON fields with a text for people or a time.
var texts = map[string]bool{
	"reason": true, "error": true, "notices": true, "message": true,
	"expires": true, "issued": true, "at": true, "until": true, "saved": true, "time": true, "unwanted": true,
	"mtime": true, "repairs": true,
}

// addJSON adds the values of a JSON text; invalid JSON is one value.
func (o observation) addJSON(name string, text []byte) {
	var v any
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	if err := d.Decode(&v); err != nil || d.More() {
		o.values[name] = string(text)
		return
	}
	o.flatten(name, v)
}

func (o observation) flatten(name string, v any) {
	switch v := v.(type) {
	case map[string]any:
		for key, value := range v {
			if _, list := value.([]any); texts[key] && !(list && key == "saved") {
				o.values[name+"|"+key] = "present"
				continue
			}
			o.flatten(name+"|"+key, value)
		}
		if len(v) == 0 {
			o.values[name] = "{}"
		}
	case []any:
		seen := map[string]int{}
		for i, value := range v {
			key := indexOf(name, value, i)
			if seen[key]++; seen[key] > 1 {
				key += fmt.Sprintf(" %d", seen[key])
			}
			o.flatten(name+"["+key+"]", value)
		}
		if len(v) == 0 {
			o.values[name] = "[]"
		}
	default:
		o.values[name] = fmt.Sprint(v)
	}
}

// indexOf returns the name of an element of a list: its identifying field, or its position if the
// order matters.
func indexOf(list string, v any, position int) string {
	m, _ := v.(map[string]any)
	text := func(key string) string { s, _ := m[key].(string); return s }
	switch {
	case text("upstream") != "":
		return text("upstream")
	case strings.HasSuffix(list, "|registries") || strings.HasSuffix(list, "|dockerConfig"):
		return strings.TrimSuffix(text("host")+"/"+text("path"), "/")
	case text("path") != "" && m["host"] == nil:
		return text("path")
	}
	return fmt.Sprint(position)
}

// maxShown limits how much of a file is read, in bytes.
const maxShown = 1 << 20

// addTree adds all files below root. Only regular files are opened.
func (o observation) addTree(root string) error {
	return filepath.WalkDir(root, func(name string, e fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) && name == root {
			return nil
		}
		if err != nil {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		key := atFile + "/" + strings.TrimPrefix(strings.TrimPrefix(name, root), "/")
		o.values[key] = info.Mode().String()
		switch {
		case info.Mode()&fs.ModeSymlink != 0:
			to, err := os.Readlink(name)
			o.values[key] += " to " + to
			return err
		case !info.Mode().IsRegular() || info.Size() > maxShown:
			return nil
		}
		content, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		if structured(key) && json.Valid(content) {
			o.addJSON(key, content)
			return nil
		}
		o.values[key] += "\n" + string(content)
		return nil
	})
}

// structured reports files of Berth that are compared field by field, because they contain times.
func structured(key string) bool {
	return strings.HasSuffix(key, ".json") &&
		(strings.HasPrefix(key, atFile+"/var/lib/berth/") || strings.HasPrefix(key, atFile+"/run/berth/"))
}

// file returns the content of a regular file that is compared as a whole.
func (o observation) file(path string) (string, bool) {
	value, ok := o.values[atFile+path]
	_, content, regular := strings.Cut(value, "\n")
	return content, ok && regular
}

// names returns the values whose names begin with prefix.
func (o observation) names(prefix string) []string {
	var all []string
	for name := range o.values {
		if strings.HasPrefix(name, prefix) {
			all = append(all, name)
		}
	}
	slices.Sort(all)
	return all
}
