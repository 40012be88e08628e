package draft

import (
	"fmt"
	"regexp"
	"strings"

	yaml "go.yaml.in/yaml/v3"

	"github.com/berth-registry/berth/config/convert/source"
)

// block is a mapping under construction, with notes above it.
type block struct {
	notes  []string
	fields []*yaml.Node
}

// set adds a field with a comment above it.
func (b *block) set(name string, value *yaml.Node, notes ...string) {
	key := text(name)
	key.HeadComment = comment(notes)
	b.fields = append(b.fields, key, value)
}

func (b *block) node() *yaml.Node {
	return &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map", Content: b.fields,
		HeadComment: comment(b.notes)}
}

// section returns a block with one list field, or an empty block if the list is empty.
func section(name string, items []*yaml.Node) block {
	b := block{}
	if len(items) > 0 {
		b.set(name, sequence(items...))
	}
	return b
}

func sequence(items ...*yaml.Node) *yaml.Node {
	return &yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq", Content: items}
}

// flow returns a list of strings in one line.
func flow(values ...string) *yaml.Node {
	n := sequence()
	n.Style = yaml.FlowStyle
	for _, v := range values {
		n.Content = append(n.Content, text(v))
	}
	return n
}

func boolean(b bool) *yaml.Node {
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!bool", Value: fmt.Sprint(b)}
}

// unquoted matches strings that read the same in every version of YAML without quotes. The encoder
// quotes numbers and words such as true itself.
var (
	unquoted = regexp.MustCompile(`^([A-Za-z/]|[0-9]+\.)[A-Za-z0-9/._:+=-]*$`)
	oldWords = regexp.MustCompile(`(?i)^(y|yes|n|no|on|off)$`)
)

// text returns a node that every YAML reader takes for this string.
func text(s string) *yaml.Node {
	n := &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: s}
	if !unquoted.MatchString(s) || strings.HasSuffix(s, ":") || oldWords.MatchString(s) {
		n.Style = yaml.DoubleQuotedStyle
	}
	return n
}

// comment formats notes as a comment, one paragraph each.
func comment(notes []string) string {
	var lines []string
	for _, note := range notes {
		for _, line := range wrap(note, width-6) {
			lines = append(lines, "# "+line)
		}
	}
	return strings.Join(lines, "\n")
}

// wrap breaks a paragraph at spaces into lines of at most n characters.
func wrap(paragraph string, n int) []string {
	var lines []string
	line := ""
	for _, word := range strings.Fields(source.OneLine(paragraph)) {
		switch {
		case line == "":
			line = word
		case len([]rune(line))+1+len([]rune(word)) > n:
			lines = append(lines, line)
			line = word
		default:
			line += " " + word
		}
	}
	return append(lines, line)
}
