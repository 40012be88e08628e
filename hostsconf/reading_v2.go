package hostsconf

import (
	"bytes"
	"iter"
	"regexp"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2/unstable"
)

// hideUnknown returns the content of a hosts.toml with the keys and values that family f does not know
// replaced by ones that the newest release does not know either. So the linked package ignores or
// refuses the same things. Replacements keep their length, except for the capability, so positions
// in errors stay right. go-toml decides which text is a key or a value.
func (f Family) hideUnknown(content []byte) []byte {
	if f.v1() || f >= Family22 {
		return content
	}
	e := editor{dialTimeout: f < Family207}
	e.parser.Reset(content)
	var table []string // of the last header
	for e.parser.NextExpression() {
		switch x := e.parser.Expression(); x.Kind {
		case unstable.Table, unstable.ArrayTable:
			table = e.path(nil, x)
		case unstable.KeyValue:
			e.keyValue(table, x)
		}
	}
	return e.done(content)
}

// editor collects the replacements.
type editor struct {
	parser      unstable.Parser
	dialTimeout bool // the family does not know the key
	edits       []edit
}

type edit struct {
	at   unstable.Range
	text string
}

// path returns the key of an expression below the table above.
func (e *editor) path(above []string, x *unstable.Node) []string {
	path := slices.Clone(above)
	for it := x.Key(); it.Next(); {
		key := it.Node()
		path = append(path, string(key.Data))
		if e.dialTimeout && isKey(path, "dial_timeout") {
			e.edits = append(e.edits, edit{key.Raw, strings.Repeat("x", int(key.Raw.Length))})
		}
	}
	return path
}

func (e *editor) keyValue(table []string, x *unstable.Node) {
	path := e.path(table, x)
	value := x.Value()
	switch value.Kind {
	case unstable.InlineTable:
		for it := value.Children(); it.Next(); {
			if it.Node().Kind == unstable.KeyValue {
				e.keyValue(path, it.Node())
			}
		}
	case unstable.Array:
		if !isKey(path, "capabilities") {
			return
		}
		for it := value.Children(); it.Next(); {
			if n := it.Node(); n.Kind == unstable.String && strings.EqualFold(string(n.Data), "referrers") {
				e.edits = append(e.edits, edit{n.Raw, `"referrers "`})
			}
		}
	}
}

// isKey reports whether path is the given key at the top level or of one host.
func isKey(path []string, key string) bool {
	switch len(path) {
	case 1:
		return strings.EqualFold(path[0], key)
	case 3:
		return strings.EqualFold(path[0], "host") && strings.EqualFold(path[2], key)
	}
	return false
}

func (e *editor) done(content []byte) []byte {
	if len(e.edits) == 0 {
		return content
	}
	slices.SortFunc(e.edits, func(a, b edit) int { return int(a.at.Offset) - int(b.at.Offset) })
	var out bytes.Buffer
	from := 0
	for _, x := range e.edits {
		out.Write(content[from:x.at.Offset])
		out.WriteString(x.text)
		from = int(x.at.Offset + x.at.Length)
	}
	out.Write(content[from:])
	return out.Bytes()
}

// needsTOML11 reports whether content that go-toml can read is refused by releases that do not
// know TOML 1.1.
func needsTOML11(content []byte) bool {
	var parser unstable.Parser
	parser.Reset(content)
	for parser.NextExpression() {
		for n := range nodes(parser.Expression()) {
			raw := parser.Raw(n.Raw)
			switch n.Kind {
			case unstable.InlineTable:
				if isMultiline(content, n) {
					return true
				}
			case unstable.Key, unstable.String:
				if bytes.HasPrefix(raw, []byte{'"'}) && escapesX.Match(raw) {
					return true
				}
			}
		}
	}
	return false
}

// escapesX matches a basic string with a \x escape. After an even number of backslashes, x is not
// escaped.
var escapesX = regexp.MustCompile(`(?s)^([^\\]|\\[^x])*\\x`)

// isMultiline reports whether an inline table holds a newline, a comment or a trailing comma between
// its keys.
func isMultiline(content []byte, table *unstable.Node) bool {
	at := table.Raw.Offset + 1
	for it := table.Children(); it.Next(); {
		child := it.Node().Raw
		if bytes.ContainsAny(content[at:child.Offset], "\n#") {
			return true
		}
		at = child.Offset + child.Length
	}
	rest, _, _ := bytes.Cut(content[at:], []byte{'}'})
	return bytes.ContainsAny(rest, "\n#,")
}

// nodes yields a go-toml node and all nodes below it.
func nodes(n *unstable.Node) iter.Seq[*unstable.Node] {
	return func(yield func(*unstable.Node) bool) { walk(n, yield) }
}

func walk(n *unstable.Node, yield func(*unstable.Node) bool) bool {
	if !yield(n) {
		return false
	}
	for it := n.Children(); it.Next(); {
		if !walk(it.Node(), yield) {
			return false
		}
	}
	return true
}
