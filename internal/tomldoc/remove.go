package tomldoc

import (
	"bytes"
	"maps"
	"slices"
)

// Remove returns the document without the key or table at a path of names, and without the comments
// directly above it. Parent tables that become empty may be removed too. If the path does not
// exist, the document is returned unchanged.
func (d *Document) Remove(path ...string) ([]byte, error) {
	if d.Field(path...) == nil {
		return d.data, nil
	}
	var gone []span
	for i, h := range d.headers {
		switch {
		case hasPrefix(h.path, path):
			to := len(d.data)
			if i+1 < len(d.headers) {
				to = d.commentsAbove(d.headers[i+1].line.from)
			}
			gone = append(gone, span{d.commentsOf(h.line.from), to})
		case hasPrefix(path, h.path):
			for _, e := range h.entries {
				gone = append(gone, d.removedBy(e, path[len(h.path):])...)
			}
		}
	}
	slices.SortFunc(gone, func(a, b span) int { return a.from - b.from })
	var out []byte
	at := 0
	for _, s := range gone {
		if s.from > at {
			out = append(out, d.data[at:s.from]...)
		}
		at = max(at, s.to)
	}
	out = append(out, d.data[at:]...)
	return out, d.verify(out, without(d.values, path), path)
}

// hasPrefix reports whether a path starts with names.
func hasPrefix(path, names []string) bool {
	return len(path) >= len(names) && slices.Equal(path[:len(names)], names)
}

// removedBy returns the spans to remove for an entry, whose key is relative to the same table as the
// path: its line, or a pair of its inline table.
func (d *Document) removedBy(e *entry, path []string) []span {
	switch {
	case hasPrefix(e.names, path):
		return []span{{d.commentsOf(lineStart(d.data, e.span.from)), lineEnd(d.data, e.span.to)}}
	case hasPrefix(path, e.names):
		return removedPairs(e.of, path[len(e.names):])
	}
	return nil
}

// commentsOf is commentsAbove, except that it keeps comments at the top of the document, which are
// about the whole document.
func (d *Document) commentsOf(at int) int {
	if from := d.commentsAbove(at); from > 0 {
		return from
	}
	return at
}

// removedPairs returns the pairs to remove from an inline table, each with a comma.
func removedPairs(braces *Value, path []string) []span {
	var gone []span
	for i, e := range braces.pairs {
		switch s := e.span; {
		case hasPrefix(e.names, path):
			if i+1 < len(braces.pairs) {
				s.to = braces.pairs[i+1].span.from
			} else if i > 0 {
				s.from = braces.pairs[i-1].span.to
			}
			gone = append(gone, s)
		case hasPrefix(path, e.names):
			gone = append(gone, removedPairs(e.of, path[len(e.names):])...)
		}
	}
	return gone
}

// without copies the tables along the path and removes the key.
func without(table map[string]any, path []string) map[string]any {
	table = maps.Clone(table)
	if len(path) == 1 {
		delete(table, path[0])
		return table
	}
	if inner, ok := table[path[0]].(map[string]any); ok {
		table[path[0]] = without(inner, path[1:])
	}
	return table
}

// withoutEmpty copies the tables along the path and drops empty ones, because a table may exist
// only for its inner tables.
func withoutEmpty(table map[string]any, path []string) map[string]any {
	inner, ok := table[path[0]].(map[string]any)
	if !ok {
		return table
	}
	table = maps.Clone(table)
	if len(path) > 1 {
		inner = withoutEmpty(inner, path[1:])
		table[path[0]] = inner
	}
	if len(inner) == 0 {
		delete(table, path[0])
	}
	return table
}

// trimMark returns a document without its byte order mark.
func trimMark(data []byte) []byte { return bytes.TrimPrefix(data, []byte(byteOrderMark)) }
