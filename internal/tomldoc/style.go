package tomldoc

import (
	"bytes"
	"strings"
)

// newline returns the document's line end.
func (d *Document) newline() string {
	if n := bytes.IndexByte(d.data, '\n'); n > 0 && d.data[n-1] == '\r' {
		return "\r\n"
	}
	return "\n"
}

// quote returns the quote character of the first quoted key or value in the document.
func (d *Document) quote() byte {
	for _, h := range d.headers {
		for _, p := range h.parts {
			if c := d.data[p.from]; c == '\'' || c == '"' {
				return c
			}
		}
		for _, e := range h.entries {
			for _, p := range append(e.parts[:len(e.parts):len(e.parts)], e.value) {
				if c := d.data[p.from]; c == '\'' || c == '"' {
					return c
				}
			}
		}
	}
	return '"'
}

func (d *Document) keys(path []string) string { return formatKey(path, d.quote()) }

// indent returns the white space before the element at the offset.
func (d *Document) indent(at int) string {
	from := lineStart(d.data, at)
	line := strings.TrimPrefix(string(d.data[from:at]), byteOrderMark)
	return line[:len(line)-len(strings.TrimLeft(line, " \t"))]
}

// step returns the indentation of a key relative to its header, as under the first header with
// keys.
func (d *Document) step() string {
	for _, h := range d.headers {
		if len(h.parts) == 0 || len(h.entries) == 0 {
			continue
		}
		outer, inner := d.indent(h.parts[0].from), d.indent(h.entries[0].span.from)
		if step, deeper := strings.CutPrefix(inner, outer); deeper {
			return step
		}
	}
	return "  "
}

// spaced reports whether the document puts blank lines between tables, as before its last header.
func (d *Document) spaced() bool {
	h := d.headers[len(d.headers)-1]
	return len(h.parts) > 0 && d.blankBefore(d.commentsAbove(h.line.from))
}

// blankBefore reports whether the line before the one at the offset is blank.
func (d *Document) blankBefore(at int) bool {
	if at == 0 {
		return false
	}
	return len(bytes.TrimSpace(d.data[lineStart(d.data, at-1):at])) == 0
}

// commentsAbove returns the start of the comments directly above the line at the offset.
func (d *Document) commentsAbove(at int) int {
	for at > 0 {
		previous := lineStart(d.data, at-1)
		if !bytes.HasPrefix(bytes.TrimSpace(d.data[previous:at]), []byte("#")) {
			break
		}
		at = previous
	}
	return at
}
