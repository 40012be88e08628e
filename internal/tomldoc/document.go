// Package tomldoc reads a TOML document with the position of every element, and changes one key of
// it while every other byte stays: comments, order, spacing, line ends, quotes of keys.
//
// Promises: a [Document] is valid TOML 1.0 as go-toml/v2 reads it. The result of [Document.Set] and
// [Document.Remove] was parsed again and differs from the document only in the given key. An error
// never repeats a value of the document, which may be a secret.
//
// The package knows nothing about the meaning of a document and opens no file. Start reading at
// [Parse]; set.go decides where a new key is placed.
package tomldoc

import (
	"bytes"
	"strings"

	"github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"

	"github.com/berth-registry/berth/internal/textpos"
)

// Kind is the kind of a [Value].
type Kind int

// The kinds. Every number, date, string and boolean is a Scalar.
const (
	Scalar Kind = iota
	List
	Table
)

// Document is a parsed TOML document.
type Document struct {
	data   []byte // including a byte order mark
	root   *Value
	values map[string]any
	places textpos.Positions

	headers []*header
}

// Value is a value of a document.
type Value struct {
	Kind    Kind
	Text    string // of a scalar, unquoted
	Boolean bool   // a scalar that is true or false, without quotes
	Quoted  bool   // a scalar that is a string
	Fields  []*Field
	Items   []*Value // of a list, including an array of tables
	// Offset is where the value starts, in bytes from the start of the document; for a table
	// that no brace starts, where its name is.
	Offset int

	index map[string]*Field
	end   int // of a value with text of its own: the offset after it
	made  how
	// head is the header of a table that has one.
	head *header
	// first (if made is implicit) or passed (if made is dotted) is the header or entry that
	// created the table.
	first  *header
	passed *entry
	part   int      // index of the part of passed's key that names this table
	pairs  []*entry // of an inline table
}

// Field is a name in a table, with its value.
type Field struct {
	Name   string
	Offset int // of the first occurrence of the name
	Value  *Value
}

// how says which syntax created a table.
type how int

const (
	implicit how = iota // by the header of a table inside it
	byHeader            // [a.b]
	dotted              // a.b.c = 1
	inline              // a = { }
	array               // [[a]], or a list of tables
)

// header is a line [a.b] or [[a.b]] with the entries that follow it.
type header struct {
	path    []string
	parts   []span // of each part of its key, as written
	array   bool
	line    span // of the whole line, including its end
	entries []*entry
}

// entry is a line of key = value, or a pair inside an inline table.
type entry struct {
	parts []span
	span  span // from the key to the end of the value
	value span
	// braces is the inline table that contains the pair, nil for a line.
	braces *Value
	names  []string // the parts of its key, unquoted
	of     *Value   // its value
}

// span is a range of bytes.
type span struct{ from, to int }

// byteOrderMark is allowed at the start of a document. go-toml/v1 skips it, go-toml/v2 does not.
const byteOrderMark = "\ufeff"

// Parse parses a document. A byte order mark at its start is skipped; see
// [Document.HasByteOrderMark]. The errors are [ErrTooManyKeys] and [*SyntaxError].
func Parse(data []byte) (*Document, error) {
	text := trimMark(data)
	if err := check(text); err != nil {
		return nil, err
	}
	d := &Document{data: data, values: map[string]any{}, places: textpos.New(data)}
	if err := toml.Unmarshal(text, &d.values); err != nil {
		return nil, syntaxError(err)
	}
	b := builder{d: d, shift: len(data) - len(text), root: &Value{Kind: Table, made: byHeader}}
	b.read(text)
	d.root = b.root
	return d, nil
}

// Bytes returns the document as read. The caller must not change the bytes.
func (d *Document) Bytes() []byte { return d.data }

// Root returns the root table.
func (d *Document) Root() *Value { return d.root }

// Values returns the document as plain values: tables are map[string]any, lists []any, whole
// numbers int64. The caller must not change them.
func (d *Document) Values() map[string]any { return d.values }

// HasByteOrderMark reports whether the document starts with a byte order mark, which some programs
// refuse.
func (d *Document) HasByteOrderMark() bool {
	return bytes.HasPrefix(d.data, []byte(byteOrderMark))
}

// Position returns the line and the column, in characters, of an Offset. Both start at 1.
func (d *Document) Position(offset int) (line, column int) {
	line, column = d.places.Of(offset)
	if line == 1 && d.HasByteOrderMark() && column > 1 {
		column--
	}
	return line, column
}

// Field returns the field at a path of names, nil if it is absent. For an array of tables the path
// continues in its last item.
func (d *Document) Field(path ...string) *Field {
	v := d.root
	var f *Field
	for _, name := range path {
		f = v.Field(name)
		if f == nil {
			return nil
		}
		v = f.Value
		if v.Kind == List && v.made == array && len(v.Items) > 0 {
			v = v.Items[len(v.Items)-1]
		}
	}
	return f
}

// Field returns the field of a table by its name, nil if it is absent.
func (v *Value) Field(name string) *Field {
	if v == nil || v.Kind != Table {
		return nil
	}
	return v.index[name]
}

func (v *Value) add(f *Field) {
	if v.index == nil {
		v.index = map[string]*Field{}
	}
	v.index[f.Name] = f
	v.Fields = append(v.Fields, f)
}

// builder builds the tree of a valid document.
type builder struct {
	d      *Document
	parser unstable.Parser
	shift  int // of the parser's offsets
	root   *Value
}

func (b *builder) read(text []byte) {
	b.parser.Reset(text)
	top := &header{}
	b.root.head = top
	b.d.headers = append(b.d.headers, top)
	current, table := top, b.root
	for b.parser.NextExpression() {
		switch node := b.parser.Expression(); node.Kind {
		case unstable.Table, unstable.ArrayTable:
			current = b.header(node)
			table = b.open(current)
		case unstable.KeyValue:
			current.entries = append(current.entries, b.pair(table, node, nil))
		}
	}
}

// header reads a [line] and finds its end.
func (b *builder) header(node *unstable.Node) *header {
	h := &header{array: node.Kind == unstable.ArrayTable}
	for keys := node.Key(); keys.Next(); {
		h.path = append(h.path, string(keys.Node().Data))
		h.parts = append(h.parts, b.span(keys.Node().Raw))
	}
	from := lineStart(b.d.data, h.parts[0].from)
	if from == 0 && b.shift > 0 {
		from = b.shift
	}
	h.line = span{from, lineEnd(b.d.data, h.parts[len(h.parts)-1].to)}
	b.d.headers = append(b.d.headers, h)
	return h
}

// open follows the key of a header and creates missing tables.
func (b *builder) open(h *header) *Value {
	v := b.root
	for i, name := range h.path {
		last := i == len(h.path)-1
		f := v.index[name]
		if f == nil {
			at := h.parts[i].from
			f = &Field{Name: name, Offset: at, Value: &Value{Kind: Table, Offset: at, made: implicit, first: h}}
			if last && h.array {
				f.Value = &Value{Kind: List, Offset: at, made: array}
			}
			v.add(f)
		}
		switch {
		case last && h.array:
			item := &Value{Kind: Table, Offset: f.Offset, made: byHeader, head: h}
			f.Value.Items = append(f.Value.Items, item)
			v = item
		case f.Value.Kind == List && len(f.Value.Items) > 0:
			v = f.Value.Items[len(f.Value.Items)-1]
		default:
			v = f.Value
		}
	}
	if !h.array {
		v.made, v.head = byHeader, h
	}
	return v
}

// pair adds a key = value to the table v. braces is the inline table that contains it, nil if it is
// a line.
func (b *builder) pair(v *Value, node *unstable.Node, braces *Value) *entry {
	e := &entry{span: b.span(node.Raw), braces: braces}
	for keys := node.Key(); keys.Next(); {
		part := b.span(keys.Node().Raw)
		e.parts = append(e.parts, part)
		name := string(keys.Node().Data)
		e.names = append(e.names, name)
		f := v.index[name]
		if f == nil {
			f = &Field{Name: name, Offset: part.from, Value: &Value{Offset: part.from}}
			if !keys.IsLast() {
				f.Value.Kind, f.Value.made = Table, dotted
				f.Value.passed, f.Value.part = e, len(e.parts)-1
			}
			v.add(f)
		}
		v = f.Value
	}
	e.value = span{valueStart(b.d.data, e.parts[len(e.parts)-1].to), e.span.to}
	v.end, e.of = e.value.to, v
	b.fill(v, node.Value())
	if v.made == inline {
		v.Offset = e.value.from
	}
	return e
}

// fill sets v to the value of the node.
func (b *builder) fill(v *Value, node *unstable.Node) {
	if node.Raw.Length > 0 {
		v.Offset = b.span(node.Raw).from
	}
	switch node.Kind {
	case unstable.Array:
		v.Kind = List
		for items := node.Children(); items.Next(); {
			item := &Value{Offset: v.Offset}
			b.fill(item, items.Node())
			if item.Kind == Table {
				// A key cannot be added to a table of a list: the path would be ambiguous.
				item.made = array
			}
			v.Items = append(v.Items, item)
		}
	case unstable.InlineTable:
		v.Kind, v.made = Table, inline
		for pairs := node.Children(); pairs.Next(); {
			v.pairs = append(v.pairs, b.pair(v, pairs.Node(), v))
		}
	default:
		v.Kind, v.Text = Scalar, string(node.Data)
		v.Boolean, v.Quoted = node.Kind == unstable.Bool, node.Kind == unstable.String
	}
}

func (b *builder) span(r unstable.Range) span {
	from := int(r.Offset) + b.shift
	return span{from, from + int(r.Length)}
}

// valueStart returns the start of the value after a key that ends at the offset.
func valueStart(data []byte, at int) int {
	for at < len(data) && strings.IndexByte(" \t=", data[at]) >= 0 {
		at++
	}
	return at
}

// lineStart and lineEnd return the start of the line at an offset, and the start of the next line.
func lineStart(data []byte, at int) int { return bytes.LastIndexByte(data[:at], '\n') + 1 }

func lineEnd(data []byte, at int) int {
	if n := bytes.IndexByte(data[at:], '\n'); n >= 0 {
		return at + n + 1
	}
	return len(data)
}
