package document

import (
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	yaml "go.yaml.in/yaml/v3"
)

// parseYAML reads the one document of text; the tree is nil if it is empty. base is the offset of
// the text in its file. at is the offset in the file of an error.
func parseYAML(text string, base int) (t *Tree, at int, err error) {
	root, err := decodeYAML(text)
	positions := newPositions(text)
	if err != nil {
		line, reason := yamlError(err)
		return nil, base + positions.lineStart(line), reason
	}
	if root == nil || len(root.Content) == 0 {
		return nil, 0, nil
	}
	b := &builder{positions: positions, base: base, seen: map[*yaml.Node]*Tree{}}
	t, err = b.build(root.Content[0], 0)
	if err != nil {
		return nil, base, err
	}
	for _, a := range b.aliases {
		a.from.Target = b.seen[a.to]
	}
	if t.Kind == Scalar && !t.Str && t.Text == "" {
		return nil, 0, nil // only ---
	}
	return t, 0, nil
}

// decodeYAML returns the node of the document, nil if there is none. The library panics on some
// malformed texts; a manifest must not end the program.
func decodeYAML(text string) (root *yaml.Node, err error) {
	defer func() {
		if r := recover(); r != nil {
			root, err = nil, errors.New("the parser failed")
		}
	}()
	decoder := yaml.NewDecoder(strings.NewReader(text))
	var document, second yaml.Node
	if err := decoder.Decode(&document); errors.Is(err, io.EOF) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	if err := decoder.Decode(&second); err == nil {
		return nil, fmt.Errorf("yaml: line %d: a second document begins here without --- before it", second.Line)
	} else if !errors.Is(err, io.EOF) {
		return nil, err
	}
	return &document, nil
}

var yamlMessage = regexp.MustCompile(`^yaml: (?:line (\d+): )?(.*)$`)

// yamlError splits an error of the library. Its line is off by one or more, depending on the
// mistake; 0 is the first. It quotes the name of an unknown anchor, which may be a secret without
// its quotes, so the reason leaves it out.
func yamlError(err error) (line int, reason error) {
	message := err.Error()
	if m := yamlMessage.FindStringSubmatch(message); m != nil {
		line, _ = strconv.Atoi(m[1])
		message = m[2]
	}
	if strings.HasPrefix(message, "unknown anchor") {
		message = `an alias "*name" has no anchor "&name"; put a value that begins with * in quotes`
	}
	return max(line, 1), fmt.Errorf("is no valid YAML near here: %s", strings.ReplaceAll(message, "\n", "; "))
}

// builder converts nodes of the library to trees.
type builder struct {
	positions *positions
	base      int
	seen      map[*yaml.Node]*Tree // nodes with an anchor
	aliases   []struct {
		from *Tree
		to   *yaml.Node
	}
}

func (b *builder) build(n *yaml.Node, depth int) (*Tree, error) {
	if depth > maxDepth {
		return nil, fmt.Errorf("is nested deeper than %d levels", maxDepth)
	}
	t := &Tree{At: b.base + b.positions.offset(n.Line, n.Column), Anchor: n.Anchor}
	if n.Anchor != "" {
		b.seen[n] = t
	}
	switch n.Kind {
	case yaml.ScalarNode:
		t.Text, t.Str = n.Value, n.ShortTag() == "!!str"
		t.Style = scalarStyle(n.Style)
	case yaml.AliasNode:
		t.Kind, t.Text = Alias, n.Value
		b.aliases = append(b.aliases, struct {
			from *Tree
			to   *yaml.Node
		}{t, n.Alias})
	case yaml.SequenceNode:
		t.Kind, t.Style = Sequence, collectionStyle(n.Style)
		for _, item := range n.Content {
			built, err := b.build(item, depth+1)
			if err != nil {
				return nil, err
			}
			t.Items = append(t.Items, built)
		}
	case yaml.MappingNode:
		t.Kind, t.Style = Mapping, collectionStyle(n.Style)
		for i := 0; i+1 < len(n.Content); i += 2 {
			name, err := b.build(n.Content[i], depth+1)
			if err != nil {
				return nil, err
			}
			value, err := b.build(n.Content[i+1], depth+1)
			if err != nil {
				return nil, err
			}
			t.Pairs = append(t.Pairs, Pair{name, value})
		}
	}
	return t, nil
}

func scalarStyle(s yaml.Style) Style {
	switch {
	case s&yaml.DoubleQuotedStyle != 0:
		return Double
	case s&yaml.SingleQuotedStyle != 0:
		return Single
	case s&(yaml.LiteralStyle|yaml.FoldedStyle) != 0:
		return Literal
	}
	return Plain
}

func collectionStyle(s yaml.Style) Style {
	if s&yaml.FlowStyle != 0 {
		return Flow
	}
	return Block
}

// positions converts the library's lines and columns to offsets. It counts lines as YAML 1.1 does
// (\n, \r, \r\n, NEL, LS and PS) and columns in characters.
type positions struct {
	text   string
	starts []int

	// The last position: nodes come in the order of the text, so a line of a megabyte is walked
	// once.
	line, column, at int
}

func newPositions(text string) *positions {
	p := &positions{text: text, starts: []int{0}}
	for i := 0; i < len(text); {
		width := lineBreak(text[i:])
		if width > 0 {
			p.starts = append(p.starts, i+width)
		}
		i += max(width, 1)
	}
	return p
}

// lineBreak returns the width of the line break that s begins with, or 0.
func lineBreak(s string) int {
	switch s[0] {
	case '\n':
		return 1
	case '\r':
		if len(s) > 1 && s[1] == '\n' {
			return 2
		}
		return 1
	case 0xc2:
		if strings.HasPrefix(s, "\u0085") {
			return 2
		}
	case 0xe2:
		if strings.HasPrefix(s, "\u2028") || strings.HasPrefix(s, "\u2029") {
			return 3
		}
	}
	return 0
}

// lineStart returns the offset of a line, counted from 1.
func (p *positions) lineStart(line int) int {
	return p.starts[min(max(line-1, 0), len(p.starts)-1)]
}

// offset returns the offset of a column in a line, both counted from 1.
func (p *positions) offset(line, column int) int {
	if line != p.line || column < p.column {
		p.line, p.column, p.at = line, 1, p.lineStart(line)
	}
	for p.column < column && p.at < len(p.text) {
		_, width := utf8.DecodeRuneInString(p.text[p.at:])
		p.at += width
		p.column++
	}
	return p.at
}
