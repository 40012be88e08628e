package tomldoc

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"strconv"
	"strings"

	"github.com/pelletier/go-toml/v2"
)

// ErrNotTable means that a name on the path to a key is not a table.
var ErrNotTable = errors.New("is not a table")

// ErrUnsupported means that the key cannot be changed without changing other parts of the document.
var ErrUnsupported = errors.New("cannot be changed in place")

// Set returns the document with the key at a path of names set to value, a string or an int64. An
// existing value of any kind is replaced. Otherwise the key is added to its table in the table's
// own notation; a missing table is added after the last table inside its parent. Errors wrap
// [ErrNotTable] or [ErrUnsupported].
func (d *Document) Set(value any, path ...string) ([]byte, error) {
	if _, ok := value.(string); !ok {
		if _, ok := value.(int64); !ok {
			return nil, fmt.Errorf("%s: %T is no value for a key", Key(path), value)
		}
	}
	parent, depth := d.root, 0
	for ; depth < len(path)-1; depth++ {
		f := parent.Field(path[depth])
		if f == nil {
			break
		}
		if f.Value.Kind != Table || f.Value.made == array {
			return nil, fmt.Errorf("%s: %w", Key(path[:depth+1]), ErrNotTable)
		}
		parent = f.Value
	}
	var out []byte
	if f := parent.Field(path[depth]); f != nil && depth == len(path)-1 {
		if f.Value.Kind == Table && f.Value.made != inline || f.Value.made == array {
			return nil, fmt.Errorf("%s: is a table: %w", Key(path), ErrUnsupported)
		}
		out = d.replace(f.Value, value)
	} else {
		out = d.insert(parent, path, depth, value)
	}
	want := withValue(d.values, value, path)
	return out, d.verify(out, want, path)
}

// verify parses a changed document and compares it with the wanted values.
func (d *Document) verify(out []byte, want map[string]any, path []string) error {
	var got map[string]any
	if err := toml.Unmarshal(trimMark(out), &got); err != nil {
		return fmt.Errorf("%s: %w: the result would not be valid TOML", Key(path), ErrUnsupported)
	}
	got, want = withoutEmpty(got, path), withoutEmpty(want, path)
	if len(got)+len(want) > 0 && !reflect.DeepEqual(got, want) {
		return fmt.Errorf("%s: %w: the result would differ in something else", Key(path), ErrUnsupported)
	}
	return nil
}

// withValue copies the tables along the path and sets the key.
func withValue(table map[string]any, value any, path []string) map[string]any {
	table = maps.Clone(table)
	if table == nil {
		table = map[string]any{}
	}
	if len(path) == 1 {
		table[path[0]] = value
		return table
	}
	inner, _ := table[path[0]].(map[string]any)
	table[path[0]] = withValue(inner, value, path[1:])
	return table
}

// replace replaces the text of one value.
func (d *Document) replace(old *Value, value any) []byte {
	from := old.Offset
	if old.Kind != Scalar {
		from = old.span(d).from
	}
	return d.splice(span{from, old.end}, d.literal(value, d.data[from]))
}

// span returns the extent of a value's text.
func (v *Value) span(d *Document) span {
	from := v.Offset
	if v.Kind == List { // Offset is the name's
		from = valueStart(d.data, nameEnd(d.data, from))
	}
	return span{from, v.end}
}

// nameEnd returns the end of a part of a key.
func nameEnd(data []byte, at int) int {
	if quote := data[at]; quote == '"' || quote == '\'' {
		for at++; data[at] != quote; at++ {
			if data[at] == '\\' && quote == '"' {
				at++
			}
		}
		return at + 1
	}
	for at < len(data) && strings.IndexByte(" \t=.", data[at]) < 0 {
		at++
	}
	return at
}

// insert adds the key at path to parent, the table of its first depth names.
func (d *Document) insert(parent *Value, path []string, depth int, value any) []byte {
	rest := path[depth:]
	switch {
	case parent.made == inline:
		pair := d.keys(rest[:1]) + " = " + d.nested(rest[1:], value)
		at := parent.Offset + 1
		switch {
		case len(parent.Fields) > 0:
			pair += ","
			if data := d.data[at]; data != ' ' && data != '\t' && data != '\n' && data != '\r' {
				pair += " "
			}
		case d.data[at] != ' ' && d.data[at] != '\t':
			pair += " "
		}
		return d.splice(span{at, at}, " "+pair)
	case parent.made == dotted:
		return d.insertDotted(parent, rest, value)
	case len(rest) == 1 && parent.made == byHeader:
		return d.insertKey(parent.head, rest[0], value)
	case len(rest) == 1:
		return d.insertWithHeader(parent, path, value)
	}
	return d.insertTable(parent, path, depth, value)
}

// nested formats a value inside inline tables of these names.
func (d *Document) nested(names []string, value any) string {
	if len(names) == 0 {
		return d.literal(value, 0)
	}
	return "{ " + d.keys(names[:1]) + " = " + d.nested(names[1:], value) + " }"
}

// insertDotted adds a dotted key next to the one that created the table.
func (d *Document) insertDotted(table *Value, rest []string, value any) []byte {
	e := table.passed
	key := string(d.data[e.parts[0].from:e.parts[table.part].to]) + "." + d.keys(rest) + " = " + d.literal(value, 0)
	if e.braces != nil {
		return d.splice(span{e.span.from, e.span.from}, key+", ")
	}
	return d.line(lineEnd(d.data, e.span.to), d.indent(e.span.from)+key)
}

// insertKey adds a key directly below a header, or at the top of the document if there is no header.
func (d *Document) insertKey(h *header, name string, value any) []byte {
	pair := d.keys([]string{name}) + " = " + d.literal(value, 0)
	switch {
	case len(h.parts) == 0 && len(h.entries) > 0:
		return d.line(lineEnd(d.data, h.entries[len(h.entries)-1].span.to), d.indent(h.entries[0].span.from)+pair)
	case len(h.parts) == 0:
		at := 0
		if d.HasByteOrderMark() {
			at = len(byteOrderMark)
		}
		if len(d.data) > at {
			pair += d.newline()
		}
		return d.line(at, pair)
	case len(h.entries) > 0:
		return d.line(h.line.to, d.indent(h.entries[0].span.from)+pair)
	}
	return d.line(h.line.to, d.indent(h.parts[0].from)+d.step()+pair)
}

// insertWithHeader adds the header of a table that has none, before the first table inside it.
func (d *Document) insertWithHeader(table *Value, path []string, value any) []byte {
	h := table.first
	names := len(path) - 1
	head := string(d.data[h.parts[0].from:h.parts[names-1].to])
	text := d.section(d.indent(h.parts[0].from), head, path[names], value)
	at := d.commentsAbove(h.line.from)
	if d.blankBefore(at) {
		text += d.newline()
	}
	return d.line(at, text)
}

// insertTable adds a table with the key after the last line of parent and of the tables inside it.
func (d *Document) insertTable(parent *Value, path []string, depth int, value any) []byte {
	last := len(path) - 1
	names := d.keys(path[depth:last])
	var first, final *header // of parent and of the tables inside it
	for _, h := range d.headers {
		if len(h.path) >= depth && len(h.path) > 0 && reflect.DeepEqual(h.path[:depth], path[:depth]) {
			if first == nil {
				first = h
			}
			final = h
		}
	}
	if depth > 0 {
		names = string(d.data[first.parts[0].from:first.parts[depth-1].to]) + "." + names
	}
	if final == nil {
		return d.atEnd(d.section("", names, path[last], value))
	}
	indent, at := "", d.sectionEnd(final)
	if child := d.childIndent(parent, first, depth); child != "" {
		indent = child
	}
	text := d.section(indent, names, path[last], value)
	if d.spaced() {
		text = d.newline() + text
	}
	if depth == 0 {
		return d.atEnd(text)
	}
	return d.line(at, text)
}

// childIndent returns the indentation of a new inner table: that of existing ones, or one step more
// than the parent's if the document indents tables.
func (d *Document) childIndent(parent *Value, first *header, depth int) string {
	for _, h := range d.headers {
		if len(h.path) == depth+1 && reflect.DeepEqual(h.path[:depth], first.path[:depth]) && parent.made == byHeader {
			return d.indent(h.parts[0].from)
		}
	}
	if parent.made == implicit || depth == 0 {
		return d.indent(first.parts[0].from)
	}
	indent := d.indent(first.parts[0].from)
	for _, h := range d.headers {
		if len(h.parts) > 0 && d.indent(h.parts[0].from) != "" {
			return indent + d.step()
		}
	}
	return indent
}

// section formats a header and one key.
func (d *Document) section(indent, head, name string, value any) string {
	return indent + "[" + head + "]" + d.newline() + indent + d.step() + d.keys([]string{name}) + " = " + d.literal(value, 0)
}

// sectionEnd returns the offset after the last entry of a header.
func (d *Document) sectionEnd(h *header) int {
	if n := len(h.entries); n > 0 {
		return lineEnd(d.data, h.entries[n-1].span.to)
	}
	return h.line.to
}

// atEnd adds lines at the end of the document.
func (d *Document) atEnd(text string) []byte {
	if text = strings.TrimLeft(text, "\r\n"); len(bytes.TrimSpace(trimMark(d.data))) > 0 {
		text = d.newline() + text
	}
	return d.line(len(d.data), text)
}

// line inserts one or more lines at the start of a line.
func (d *Document) line(at int, text string) []byte {
	if at > 0 && d.data[at-1] != '\n' && (at != len(byteOrderMark) || !d.HasByteOrderMark()) {
		text = d.newline() + text // the last line has no line end
	}
	return d.splice(span{at, at}, text+d.newline())
}

func (d *Document) splice(s span, text string) []byte {
	return append(append(append(make([]byte, 0, len(d.data)+len(text)), d.data[:s.from]...), text...), d.data[s.to:]...)
}

// Key formats a path of names as TOML: plugins."io.containerd.grpc.v1.cri".
func Key(path []string) string { return formatKey(path, '"') }

func formatKey(path []string, quote byte) string {
	parts := make([]string, len(path))
	for i, name := range path {
		switch {
		case name != "" && strings.Trim(name, bareKey) == "":
			parts[i] = name
		case quote == '\'' && literal(name):
			parts[i] = "'" + name + "'"
		default:
			parts[i] = Quote(name)
		}
	}
	return strings.Join(parts, ".")
}

const bareKey = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-"

// literal reports whether s can be written in single quotes.
func literal(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r < 0x20 && r != '\t' || r == 0x7f || r == '\'' })
}

// Quote formats s in double quotes: a basic string (https://toml.io/en/v1.0.0#string).
func Quote(s string) string {
	var b strings.Builder
	b.Grow(len(s) + 2)
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r < 0x20 || r == 0x7f:
			fmt.Fprintf(&b, `\u%04X`, r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}

// literal formats a value. like is the first byte of the value that it replaces, 0 if there is
// none.
func (d *Document) literal(value any, like byte) string {
	if n, ok := value.(int64); ok {
		return strconv.FormatInt(n, 10)
	}
	s := value.(string)
	if single := like == '\'' || like != '"' && d.quote() == '\''; single && literal(s) {
		return "'" + s + "'"
	}
	return Quote(s)
}
