package source

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"

	yaml "go.yaml.in/yaml/v3"

	"github.com/berth-registry/berth/internal/textpos"
)

// Fields selects the fields of a document that matter, so that the rest of a large file is neither
// checked nor expanded. nil selects all.
type Fields map[string]Fields

// maxValues limits the values that one document may expand to: with aliases a kilobyte can stand
// for a billion.
const maxValues = 100_000

// maxDepth limits how deep values nest, aliases included.
const maxDepth = 64

// YAML returns a reader for the only document of a YAML file.
func YAML(wanted Fields) func(*Input, []byte) *Value {
	return func(in *Input, data []byte) *Value {
		if !in.checkText(data) {
			return nil
		}
		decoder := yaml.NewDecoder(bytes.NewReader(data))
		var document, second yaml.Node
		if err := decoder.Decode(&document); errors.Is(err, io.EOF) {
			in.FailAt(1, 1, "", "is empty; there is nothing to convert")
			return nil
		} else if err != nil {
			in.syntax(data, err)
			return nil
		}
		if err := decoder.Decode(&second); err == nil {
			in.FailAt(second.Line, second.Column, "",
				`a second document begins here; pass one document, without the "---" and the rest`)
			return nil
		} else if !errors.Is(err, io.EOF) {
			in.syntax(data, err)
			return nil
		}
		e := &expander{in: in, left: maxValues, open: map[*yaml.Node]bool{}}
		root := e.value(document.Content[0], wanted, "", 0)
		if root != nil && root.Kind != Mapping {
			in.FailAt(root.Line, root.Column, "", "must be a mapping of names to values; this is "+
				"another kind of file")
		}
		return root
	}
}

// checkText refuses data that is not text, with clearer errors than the libraries give.
func (in *Input) checkText(data []byte) bool {
	if at := bytes.IndexByte(data, 0); at >= 0 {
		line, column := textpos.New(data).Of(at)
		in.FailAt(line, column, "", "holds a NUL byte: this is a binary file, or UTF-16; text in "+
			"UTF-8 is needed")
		return false
	}
	if utf8.Valid(data) {
		return true
	}
	for i := 0; i < len(data); {
		r, width := utf8.DecodeRune(data[i:])
		if r == utf8.RuneError && width == 1 {
			line, column := textpos.New(data).Of(i)
			in.FailAt(line, column, "",
				fmt.Sprintf("byte 0x%02x is not UTF-8; save the file as UTF-8", data[i]))
			return false
		}
		i += width
	}
	return false
}

// syntax reports an error of the YAML library without any text of the document, which may be a
// password without quotes.
func (in *Input) syntax(data []byte, err error) {
	message := strings.TrimPrefix(err.Error(), "yaml: ")
	line := 1 // the library does not name the first line
	if rest, ok := strings.CutPrefix(message, "line "); ok {
		if number, what, ok := strings.Cut(rest, ": "); ok {
			if n, err := strconv.Atoi(number); err == nil {
				line, message = n, what
			}
		}
	}
	column := 1
	if lines := bytes.Split(data, []byte("\n")); line <= len(lines) {
		text := lines[line-1]
		column += len(text) - len(bytes.TrimLeft(text, " "))
	}
	if name, ok := strings.CutPrefix(message, "unknown anchor '"); ok {
		// The library names the anchor and not the line.
		name, _, _ = strings.Cut(name, "'")
		if at := bytes.Index(data, []byte("*"+name)); at >= 0 {
			line, column = textpos.New(data).Of(at)
		}
	}
	in.FailAt(line, column, "", yamlRemedy(message))
}

func yamlRemedy(message string) string {
	const backslash = `near this line is a backslash in "double quotes"; ` +
		`use 'single quotes' to keep it as it is`
	for _, r := range []struct{ part, says string }{
		{"cannot start any token", "near this line a value begins with a tab, @, ` or %, or " +
			"the indentation holds a tab; use spaces, and quotes around the value"},
		{"unknown anchor", `near this line is a "*name" without its "&name"; ` +
			`put a value that begins with * in quotes`},
		{"mapping values are not allowed", `near this line is a ": " that does not belong there; ` +
			`check the indentation, and put a value that holds ": " in quotes`},
		{"find expected key", "near this line the indentation does not fit the lines before"},
		{"expected ',' or", "near this line a bracket is not closed, or a comma is missing"},
		{"end of stream", "near this line a quote or bracket is opened and never closed"},
		{"escape", backslash},
		{"hexdecimal", backslash},
		{"max depth", "is nested too deep"},
	} {
		if strings.Contains(message, r.part) {
			return "is not valid YAML: " + r.says
		}
	}
	return "is not valid YAML near this line; check indentation and quotes"
}

// expander converts YAML nodes to values and follows aliases within limits.
type expander struct {
	in   *Input
	left int
	full bool // the limit has been reported
	open map[*yaml.Node]bool
}

func (e *expander) value(n *yaml.Node, wanted Fields, path string, depth int) *Value {
	v := &Value{Line: n.Line, Column: n.Column}
	if n.Kind == yaml.AliasNode && n.Alias != nil {
		n = n.Alias
		if e.open[n] {
			e.in.FailAt(v.Line, v.Column, path,
				"this alias is inside its own anchor; write the value out")
			return v
		}
	}
	if n.Anchor != "" {
		e.open[n] = true
		defer delete(e.open, n)
	}
	if e.left--; e.left < 0 || depth > maxDepth {
		if !e.full {
			e.full = true
			e.in.FailAt(v.Line, v.Column, "", fmt.Sprintf("expands to more than %d values, "+
				"or nests deeper than %d levels; write aliases (*name) out", maxValues, maxDepth))
		}
		return v
	}
	switch n.Kind {
	case yaml.ScalarNode:
		e.scalar(v, n, path)
	case yaml.SequenceNode:
		v.Kind = List
		for i, item := range n.Content {
			v.Items = append(v.Items, e.value(item, wanted, path+"["+strconv.Itoa(i)+"]", depth+1))
		}
	case yaml.MappingNode:
		v.Kind = Mapping
		e.mapping(v, n, wanted, path, depth)
	}
	return v
}

func (e *expander) scalar(v *Value, n *yaml.Node, path string) {
	v.Kind, v.Text = Scalar, n.Value
	switch n.ShortTag() {
	case "!!null":
		v.Kind = Null
	case "!!bool":
		v.boolean = true
	case "!!binary":
		decoded, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(n.Value), ""))
		if err != nil {
			e.in.FailAt(v.Line, v.Column, path,
				"is marked !!binary and is not base64; write the text itself")
		}
		v.Text = string(decoded)
	}
}

func (e *expander) mapping(v *Value, n *yaml.Node, wanted Fields, path string, depth int) {
	var merged []*yaml.Node
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, content := n.Content[i], n.Content[i+1]
		if key.ShortTag() == "!!merge" {
			merged = append(merged, content)
			continue
		}
		name := key.Value
		if key.Kind == yaml.AliasNode && key.Alias != nil {
			name = key.Alias.Value
		}
		below, ok := wanted[name]
		if wanted != nil && !ok {
			continue
		}
		if v.Field(name) != nil {
			e.in.FailAt(key.Line, key.Column, e.in.Join(path, name),
				"is given twice; keep one of the two")
			continue
		}
		child := e.value(content, below, e.in.Join(path, name), depth+1)
		v.add(&Field{Name: name, Line: key.Line, Column: key.Column, Value: child})
	}
	// https://yaml.org/type/merge.html: the mapping's own fields win over merged ones, and earlier
	// merged mappings over later ones.
	for _, m := range merged {
		from := e.value(m, wanted, path, depth+1)
		sources := []*Value{from}
		if from.Kind == List {
			sources = from.Items
		}
		for _, source := range sources {
			for _, f := range source.Fields {
				if v.Field(f.Name) == nil {
					v.add(f)
				}
			}
		}
	}
}
