package convert_test

import (
	"fmt"
	"strings"
	"testing"

	yaml "go.yaml.in/yaml/v3"

	"github.com/berth-registry/berth/config/convert"
)

// TestEveryFieldIsReadOrNamed adds an unknown field to every mapping with registries of every
// input. Each must be reported with its line.
func TestEveryFieldIsReadOrNamed(t *testing.T) {
	tried := 0
	for _, input := range goldenInputs(t) {
		if input.format == convert.Containerd || input.format == convert.CertsD || archive(input.format, input.data) != nil {
			continue // see TestUnknownFieldsOfContainerd, TestUnknownFieldsOfHostsFiles
		}
		if strings.HasPrefix(input.name, "lost") || strings.HasPrefix(input.name, "spellings") {
			continue // entries there are reported as a whole
		}
		if strings.Contains(string(input.data), "&") {
			continue // the content of an anchor is seen where it is used
		}
		var document yaml.Node
		if err := yaml.Unmarshal(input.data, &document); err != nil {
			t.Fatal(err)
		}
		for _, m := range mappings(document.Content[0], nil) {
			if !m.registries {
				continue
			}
			tried++
			key := &yaml.Node{Kind: yaml.ScalarNode, Value: "notAField"}
			m.node.Content = append(m.node.Content, key, &yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq"})
			data, err := yaml.Marshal(&document)
			m.node.Content = m.node.Content[:len(m.node.Content)-2]
			if err != nil {
				t.Fatal(err)
			}
			result, err := convert.Convert(input.format, "input", data, convert.Options{})
			if err != nil {
				continue // refused for its kind, with its position
			}
			if !lostNames(result, "notAField", lineOf(data, "notAField")) {
				t.Errorf("%s: a field that is not known below %v is not named:\n%s\n%v", input.name, m.path, data, result.Lost)
			}
		}
	}
	if tried < 60 {
		t.Errorf("only %d mappings were found", tried)
	}
}

func TestUnknownFieldsOfContainerd(t *testing.T) {
	const registry = `[plugins."io.containerd.grpc.v1.cri".registry`
	for _, table := range []string{"", `.mirrors."a.corp"`, `.configs."a.corp"`, `.configs."a.corp".auth`, `.configs."a.corp".tls`, `.auths."https://b.corp"`} {
		data := fmt.Sprintf("version = 2\n%s]\n%s.mirrors.\"z.corp\"]\nendpoint = [\"https://m.corp\"]\n%s%s]\n", registry, registry, registry, table)
		if table == "" {
			data = fmt.Sprintf("version = 2\n%s.mirrors.\"z.corp\"]\nendpoint = [\"https://m.corp\"]\n%s]\n", registry, registry)
		}
		data += "notAField = []\n"
		result, err := convert.Convert(convert.Containerd, "input", []byte(data), convert.Options{})
		if err != nil {
			t.Errorf("%s: %v", data, err)
		} else if !lostNames(result, "notAField", lineOf([]byte(data), "notAField")) {
			t.Errorf("below registry%s the field is not named: %v", table, result.Lost)
		}
	}
}

func TestUnknownFieldsOfHostsFiles(t *testing.T) {
	for _, table := range []string{"", "[host.\"https://m.corp\"]\n"} {
		data := "server = \"https://registry-1.docker.io\"\n" + table + "notAField = []\n[host.\"https://n.corp\"]\n"
		result, err := convertInput(convert.CertsD, []byte(data))
		if err != nil {
			t.Errorf("%s: %v", data, err)
		} else if !lostNames(result, "notAField", lineOf([]byte(data), "notAField")) {
			t.Errorf("%s: the field is not named: %v", data, result.Lost)
		}
	}
	// In daemon.json a field that may be about registries is named, and one comment is about all
	// others.
	for field, lost := range map[string]bool{"registry-mirror": true, "insecure-registry": true, "https_proxy": true, "log-driver": false} {
		data := fmt.Sprintf("{\"registry-mirrors\": [\"https://m.corp\"], %q: \"x\"}", field)
		result, err := convertInput(convert.Docker, []byte(data))
		if err != nil {
			t.Errorf("%s: %v", data, err)
		} else if lostNames(result, field, 1) != lost || !lost && !strings.Contains(string(result.YAML), "other settings of daemon.json") {
			t.Errorf("%s: lost %v\n%s", data, result.Lost, result.YAML)
		}
	}
}

func lostNames(result convert.Result, name string, line int) bool {
	for _, l := range result.Lost {
		// Beside a login the name may be a secret; the position is enough.
		if l.Line == line && (strings.Contains(l.Field, name) || strings.Contains(l.What, "its name may be a secret")) {
			return true
		}
	}
	return false
}

func lineOf(data []byte, text string) int {
	before, _, _ := strings.Cut(string(data), text)
	return 1 + strings.Count(before, "\n")
}

// place is a mapping of an input.
type place struct {
	node *yaml.Node
	path []string
	// registries says that the mapping holds only registries.
	registries bool
}

// mappings lists the mappings of a document whose fields a format defines. Names of registries and
// rules are not fields.
func mappings(n *yaml.Node, path []string) []place {
	var all []place
	if n.Kind == yaml.MappingNode {
		joined := "." + strings.Join(path, ".") + "."
		inside := strings.Contains(joined, ".registries.") || strings.Contains(joined, "egistries.#") ||
			len(path) == 0 && hasAny(n, "mirrors", "configs") || strings.HasPrefix(joined, ".mirrors.") || strings.HasPrefix(joined, ".configs.")
		names := len(path) > 0 && (path[len(path)-1] == "mirrors" || path[len(path)-1] == "configs" || path[len(path)-1] == "rewrite")
		left := strings.Contains(joined, "currentState")
		all = append(all, place{n, path, inside && !names && !left})
		for i := 0; i+1 < len(n.Content); i += 2 {
			all = append(all, mappings(n.Content[i+1], append(append([]string(nil), path...), n.Content[i].Value))...)
		}
	}
	if n.Kind == yaml.SequenceNode {
		for _, item := range n.Content {
			all = append(all, mappings(item, append(append([]string(nil), path...), "#"))...)
		}
	}
	return all
}

func hasAny(n *yaml.Node, names ...string) bool {
	for i := 0; i+1 < len(n.Content); i += 2 {
		for _, name := range names {
			if n.Content[i].Value == name {
				return true
			}
		}
	}
	return false
}
