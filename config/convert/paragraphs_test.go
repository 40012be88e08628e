package convert_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	yaml "go.yaml.in/yaml/v3"

	"github.com/berth-registry/berth/config/convert"
)

// paragraph is a comment or loss, and the host or upstream of the entry below it.
type paragraph struct{ entry, text string }

// paragraphs returns all text of the output that is written for people.
func paragraphs(t *testing.T, result convert.Result) []paragraph {
	t.Helper()
	var all []paragraph
	for _, l := range result.Lost {
		all = append(all, paragraph{text: l.String()})
	}
	head, _, _ := strings.Cut(string(result.YAML), "apiVersion:")
	for text := range strings.SplitSeq(head, "\n#\n") {
		all = append(all, paragraph{text: strings.ReplaceAll(text, "\n#", "")})
	}
	var document yaml.Node
	if err := yaml.Unmarshal(result.YAML, &document); err != nil {
		t.Fatal(err)
	}
	var walk func(n *yaml.Node, entry string)
	walk = func(n *yaml.Node, entry string) {
		if n.Kind == yaml.MappingNode {
			for i := 0; i+1 < len(n.Content); i += 2 {
				switch n.Content[i].Value {
				case "host", "upstream", "url":
					entry = n.Content[i+1].Value
				}
			}
		}
		if n.HeadComment != "" {
			all = append(all, paragraph{entry, strings.ReplaceAll(n.HeadComment, "\n#", "")})
		}
		for i, child := range n.Content {
			// The comment above the first entry of a list is that of the list.
			if n.Kind == yaml.SequenceNode && i == 0 && n.HeadComment != "" && child.HeadComment == "" {
				child.HeadComment, n.HeadComment = n.HeadComment, ""
			}
			walk(child, entry)
		}
	}
	walk(document.Content[0], "")
	return all
}

// aspects are patterns for each kind of difference; the text must match one.
var aspects = map[string]*regexp.Regexp{
	"mirrors": regexp.MustCompile(`asked|http|endpoint|under their own name`),
	"machine": regexp.MustCompile(`registry on this machine`),
	"address": regexp.MustCompile(`asked|http|endpoint|under their own name`),
	"tls":     regexp.MustCompile(`tls|certificate|verif|insecure`),
	"login":   regexp.MustCompile(`login|token`),
}

// named reports whether a paragraph names a difference.
func named(output []paragraph, d difference) bool {
	for _, p := range output {
		about := false
		for _, name := range []string{d.registry, d.host} {
			names := []string{name}
			if name == "registry-1.docker.io" || name == "docker.io" {
				names = []string{"registry-1.docker.io", "docker.io", "Docker Hub"}
			}
			for _, n := range names {
				about = about || strings.Contains(p.text, n) || strings.Contains(p.entry, n)
			}
		}
		everyRegistry := d.aspect == "mirrors" && strings.Contains(p.text, `"*"`) || strings.Contains(p.text, `configs["*"]`) ||
			strings.Contains(p.text, "every registry without an entry whose repository matches") ||
			strings.Contains(p.text, "every registry without a directory")
		about = about || everyRegistry || p.entry == "*" || d.aspect == "machine"
		if about && aspects[d.aspect].MatchString(p.text) {
			return true
		}
	}
	return false
}

// roundTripInput is one input of the round trip test.
type roundTripInput struct {
	format      convert.Format
	name        string
	data        []byte
	mustConvert bool
}

func roundTripInputs(t *testing.T) []roundTripInput {
	t.Helper()
	var all []roundTripInput
	for _, input := range goldenInputs(t) {
		if compared(input.format) {
			all = append(all, input)
		}
	}
	commands, examples := docsExamples(t)
	for i, command := range commands {
		format := convert.Format(strings.Fields(command)[3])
		if compared(format) {
			data := strings.ReplaceAll(examples[2*i], "/etc/pki/proxy.pem", "/etc/certs/ca.pem")
			all = append(all, roundTripInput{format, "docs", []byte(data), true})
		}
	}
	for _, format := range []convert.Format{convert.K3s, convert.Containerd} {
		for i := range 60 {
			all = append(all, roundTripInput{format, fmt.Sprint("made-", i), generated(format, uint64(i)), false})
		}
	}
	for i := range 80 {
		all = append(all, roundTripInput{convert.CertsD, fmt.Sprint("made-", i), generatedCertsD(uint64(i)), false},
			roundTripInput{convert.Docker, fmt.Sprint("made-", i), generatedDocker(uint64(i)), false})
	}
	return all
}

// compared reports whether requests of the source are known.
func compared(format convert.Format) bool { return format != convert.RKE && format != convert.Rancher }

// goldenInputs returns the inputs of testdata.
func goldenInputs(t *testing.T) []roundTripInput {
	t.Helper()
	var all []roundTripInput
	for _, format := range convert.Formats() {
		paths, err := filepath.Glob(filepath.Join("testdata", string(format), "*.in"))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range paths {
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, roundTripInput{format, filepath.Base(path), data, true})
		}
	}
	return all
}
