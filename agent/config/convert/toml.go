package convert

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"
)

// readTOML reads a TOML document. The library's decoder decides whether it is
// valid; its parser then gives the order and the places, which the decoder
// does not keep.
func readTOML(in *input, data []byte) *value {
	if !in.checkText(data) {
		return nil
	}
	if tooManyKeys(data) {
		in.failAt(0, 0, "", fmt.Sprintf("has more than %d keys and tables, which no config.toml has; pass only the part with the registries", maxKeys))
		return nil
	}
	var whole map[string]any
	if err := toml.Unmarshal(data, &whole); err != nil {
		line, column := 1, 1
		var mistake *toml.DecodeError
		if errors.As(err, &mistake) {
			line, column = mistake.Position()
		}
		in.failAt(line, column, "", "is no valid TOML: "+tomlMessage(err))
		return nil
	}
	b := &tomlBuilder{root: &value{kind: mapping, line: 1, column: 1}, places: newPositions(data)}
	b.parser.Reset(data)
	table := b.root
	for b.parser.NextExpression() {
		expression := b.parser.Expression()
		switch expression.Kind {
		case unstable.Table:
			table = b.descend(b.root, expression.Key(), false)
		case unstable.ArrayTable:
			table = b.descend(b.root, expression.Key(), true)
		case unstable.KeyValue:
			b.assign(table, expression)
		}
	}
	return b.root
}

// maxKeys bounds the work of the library's decoder, which grows with the square
// of the keys in a table.
const maxKeys = 10_000

// tooManyKeys counts keys and tables up to the bound, or to the first mistake,
// which the decoder will report.
func tooManyKeys(data []byte) bool {
	var parser unstable.Parser
	parser.Reset(data)
	count := 0
	for count <= maxKeys && parser.NextExpression() {
		count += countKeys(parser.Expression())
	}
	return count > maxKeys
}

// countKeys counts a table or key = value, and what is inside. A dotted key
// counts once for every twenty parts.
func countKeys(n *unstable.Node) int {
	count, parts := 0, 0
	for children := n.Children(); children.Next(); {
		if child := children.Node(); child.Kind == unstable.Key {
			parts++
		} else {
			count += countKeys(child)
		}
	}
	return count + (parts+19)/20
}

// tomlSecret matches what a message of the library repeats of the document.
var tomlSecret = regexp.MustCompile(`( but got|) U\+[0-9A-Fa-f]+ '.*'`)

func tomlMessage(err error) string {
	message := strings.TrimPrefix(err.Error(), "toml: ")
	switch {
	case strings.HasSuffix(message, "is already defined"), strings.HasSuffix(message, "already exists"):
		return "this key or table stands here a second time; keep one of the two"
	case strings.Contains(message, "start of value"), strings.Contains(message, "must be quoted"):
		return "a value that is no number, true, false or date must be in quotes"
	case strings.Contains(message, "cannot have new lines"), strings.Contains(message, "terminated"):
		return "a quote is opened and not closed on its line"
	case strings.Contains(message, "escape"):
		return "a backslash in \"double quotes\" begins an escape; use 'single quotes' to keep it as it is"
	case strings.HasPrefix(message, "expected newline"):
		return "something follows the value on its line; remove it, or put the whole value in quotes"
	case strings.HasPrefix(message, "expected '='"):
		return "a key without its value; write key = \"value\""
	}
	return tomlSecret.ReplaceAllString(message, "")
}

type tomlBuilder struct {
	parser unstable.Parser
	root   *value
	places positions
}

// descend goes down a dotted key and makes the tables on its way. With array,
// the last one is a new item of an array of tables.
func (b *tomlBuilder) descend(v *value, key unstable.Iterator, array bool) *value {
	for key.Next() {
		node := key.Node()
		last := key.IsLast()
		f := b.fieldOf(v, node)
		switch {
		case last && array:
			f.value.kind = list
			item := &value{kind: mapping, line: f.line, column: f.column}
			f.value.items = append(f.value.items, item)
			v = item
		case f.value.kind == list && len(f.value.items) > 0:
			v = f.value.items[len(f.value.items)-1]
		default:
			f.value.kind = mapping
			v = f.value
		}
	}
	return v
}

// fieldOf finds or makes the field that a key's part names.
func (b *tomlBuilder) fieldOf(v *value, key *unstable.Node) *field {
	name := string(key.Data)
	if f := v.index[name]; f != nil {
		return f
	}
	line, column := b.places.of(int(key.Raw.Offset))
	f := &field{name: name, line: line, column: column, value: &value{line: line, column: column}}
	v.add(f)
	return f
}

// assign puts a key = value into the table v.
func (b *tomlBuilder) assign(v *value, pair *unstable.Node) {
	key := pair.Key()
	for key.Next() {
		node := key.Node()
		f := b.fieldOf(v, node)
		if key.IsLast() {
			b.fill(f.value, pair.Value())
			return
		}
		f.value.kind = mapping
		v = f.value
	}
}

func (b *tomlBuilder) fill(v *value, node *unstable.Node) {
	if node.Raw.Length > 0 {
		v.line, v.column = b.places.of(int(node.Raw.Offset))
	}
	switch node.Kind {
	case unstable.Array:
		v.kind = list
		for items := node.Children(); items.Next(); {
			item := &value{line: v.line, column: v.column}
			b.fill(item, items.Node())
			v.items = append(v.items, item)
		}
	case unstable.InlineTable:
		v.kind = mapping
		for pairs := node.Children(); pairs.Next(); {
			b.assign(v, pairs.Node())
		}
	default:
		v.kind, v.text, v.boolean = scalar, string(node.Data), node.Kind == unstable.Bool
	}
}
