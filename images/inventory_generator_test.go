package images_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	yaml "go.yaml.in/yaml/v3"
)

// made is a generated object with the expected findings. The generator shares no code with the
// inventory.
type made struct {
	text    string
	moved   string            // the same object after the rewrite
	images  map[string]bool   // complete references that are images
	mapping map[string]string // their names after the rewrite
	odd     map[string]bool   // have the form of an image and are none
}

// generator makes objects. With moved, images have the names that a rewrite to reg.corp:5000/m
// gives them.
type generator struct {
	r     *rand.Rand
	moved bool
	flow  bool // inside a flow mapping
	made  *made
}

const (
	movedHost = "reg.corp:5000"
	movedPath = "m/"
)

// schemas reads the shapes.
func schemas(t testing.TB) []yaml.Node {
	t.Helper()
	data, err := os.ReadFile("testdata/inventory/schemas.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var all []yaml.Node
	if err := yaml.Unmarshal(data, &all); err != nil || len(all) < 20 {
		t.Fatal(len(all), err)
	}
	return all
}

// makeObject makes an object of a shape.
func makeObject(t testing.TB, schema *yaml.Node, seed uint64) *made {
	t.Helper()
	m := &made{images: map[string]bool{}, mapping: map[string]string{}, odd: map[string]bool{}}
	render := func(moved bool) string {
		g := &generator{r: rand.New(rand.NewPCG(seed, 10)), moved: moved, made: m}
		object := mappingNode("apiVersion", text(""), "kind", text(""), "metadata", mappingNode("name", text(g.name()), "namespace", text(g.name())))
		for i := 0; i+1 < len(schema.Content); i += 2 {
			switch name, value := schema.Content[i].Value, schema.Content[i+1]; name {
			case "group":
				object.Content[1].Value = value.Value
			case "kind":
				object.Content[3].Value = value.Value
			case "metadata-annotations":
				put(object.Content[5], "annotations", g.leaf(value.Value))
			default:
				put(object, name, g.node(value))
			}
		}
		if g.r.IntN(3) == 0 {
			var value any
			if err := object.Decode(&value); err != nil {
				t.Fatal(err)
			}
			data, err := json.MarshalIndent(value, "", strings.Repeat(" ", g.r.IntN(4)))
			if err != nil {
				t.Fatal(err)
			}
			return string(data) + "\n"
		}
		data, err := yaml.Marshal(object)
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	m.text, m.moved = render(false), render(true)
	return m
}

func text(s string) *yaml.Node { return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: s} }

func mappingNode(pairs ...any) *yaml.Node {
	n := &yaml.Node{Kind: yaml.MappingNode}
	for i := 0; i < len(pairs); i += 2 {
		put(n, pairs[i].(string), pairs[i+1].(*yaml.Node))
	}
	return n
}

func put(n *yaml.Node, name string, value *yaml.Node) {
	n.Content = append(n.Content, text(name), value)
}

func listNode(items ...*yaml.Node) *yaml.Node {
	return &yaml.Node{Kind: yaml.SequenceNode, Content: items}
}

func (g *generator) pick(words ...string) string { return words[g.r.IntN(len(words))] }

func (g *generator) node(schema *yaml.Node) *yaml.Node {
	if schema.Kind != yaml.MappingNode {
		return g.leaf(schema.Value)
	}
	n := &yaml.Node{Kind: yaml.MappingNode}
	if g.r.IntN(8) == 0 {
		n.Style = yaml.FlowStyle
		defer func(before bool) { g.flow = before }(g.flow)
		g.flow = true
	}
	for i := 0; i+1 < len(schema.Content); i += 2 {
		if g.r.IntN(6) > 0 {
			put(n, schema.Content[i].Value, g.node(schema.Content[i+1]))
		}
	}
	return n
}

// image is a reference in parts; registry is "" if Docker Hub's is left out.
type image struct{ registry, path, name, tag, digest string }

// image makes an image; with host it always has a registry.
func (g *generator) image(host, digest bool) image {
	i := image{registry: g.pick("", "docker.io", "quay.io", "ghcr.io", "registry.k8s.io", "nvcr.io", "registry.acme.example:5000",
		"localhost:5000", "10.1.2.3:5000", "111122223333.dkr.ecr.eu-west-1.amazonaws.com")}
	if host && i.registry == "" {
		i.registry = "quay.io"
	}
	i.path = g.pick("acme", "acme/tools", "sig-storage", "a_b", "x-y/z.w")
	i.name = g.pick("app", "db", "csi-provisioner", "kafka", "node_exporter", "v1", "operator", "go") + g.pick("", "-x", "2")
	i.tag = g.pick("v1", "1.2.3", "7.2.4-64", "latest", "1.2.0-kafka-4.2.0", "5000", "sha-abc1234", "15-p1", "NoCache")
	if g.r.IntN(6) == 0 && digest {
		i.digest = "sha256:" + strings.Repeat(g.pick("0123456789abcdef", "fedcba9876543210"), 4)
	}
	registry := i.registry
	if registry == "" {
		registry = "docker.io"
	}
	full := registry + "/" + i.path + "/" + i.name + suffixText(i)
	g.made.images[full] = true
	g.made.mapping[full] = movedHost + "/" + movedPath + i.path + "/" + i.name + suffixText(i)
	return i
}

func suffixText(i image) string {
	s := ""
	if i.tag != "" {
		s = ":" + i.tag
	}
	if i.digest != "" {
		s += "@" + i.digest
	}
	return s
}

// written is the image in one scalar.
func (g *generator) written(i image) string {
	registry, path := i.registry, i.path
	if g.moved {
		registry, path = movedHost, movedPath+path
	}
	if registry != "" {
		registry += "/"
	}
	return registry + path + "/" + i.name + suffixText(i)
}

func (g *generator) ref() string     { return g.written(g.image(false, true)) }
func (g *generator) hostRef() string { return g.written(g.image(true, true)) }

// inParts is the image in fields: the registry in its own field, or before the repository.
func (g *generator) inParts(registry bool, name, tag string) *yaml.Node {
	i := g.image(registry || name == "image", false)
	host, path := i.registry, i.path
	if g.moved {
		host, path = movedHost, movedPath+path
	}
	n := &yaml.Node{Kind: yaml.MappingNode}
	if registry {
		put(n, "registry", g.quoted(host))
	} else if host != "" {
		path = host + "/" + path
	}
	if name == "" {
		path += "/" + i.name
	}
	put(n, "repository", g.quoted(path))
	if name != "" {
		put(n, name, g.quoted(i.name))
	}
	put(n, tag, g.quoted(i.tag))
	put(n, "pullPolicy", g.leaf("no-policy"))
	return n
}

// quoted is a string in random quotes, or without quotes where that is possible.
func (g *generator) quoted(s string) *yaml.Node {
	n := text(s)
	n.Style = []yaml.Style{yaml.DoubleQuotedStyle, yaml.SingleQuotedStyle, 0}[g.r.IntN(3)]
	if g.flow && n.Style == 0 {
		n.Style = yaml.DoubleQuotedStyle
	}
	return n
}

func (g *generator) name() string {
	return g.pick("shop", "web", "primary", "node-1", "standard-rwo", "info", "rolling", "acme") + fmt.Sprint(g.r.IntN(9))
}
