package images

import (
	"cmp"
	"errors"
	"slices"
	"strings"
)

// edit replaces a part of a text.
type edit struct {
	span
	text string
	// mutate does to the tree what the edit does to the text, so that both can
	// be compared.
	mutate func()
}

// apply carries out edits that do not overlap.
func apply(text string, edits []edit) string {
	slices.SortStableFunc(edits, func(a, b edit) int { return cmp.Compare(a.start, b.start) })
	var out strings.Builder
	at := 0
	for _, e := range edits {
		out.WriteString(text[at:e.start])
		out.WriteString(e.text)
		at = e.end
	}
	out.WriteString(text[at:])
	return out.String()
}

var errNotFound = errors.New("is written in a way that cannot be changed without touching more; write it on one line, in quotes or without")

// replace gives the edit that makes a scalar, or an alias in its place, say
// text. Quotes stay as they are, and so does what comes before the image.
func (s *source) replace(t *tree, text string) (edit, error) {
	where, quoted, ok := s.written(t)
	if !ok {
		return edit{}, errNotFound
	}
	same := 0
	if t.kind == scalar && s.text[where.start:where.end] == t.text {
		same = commonPrefix(t.text, text)
	}
	e := edit{span: span{where.start + same, where.end}, text: text[same:]}
	if !quoted && strings.ContainsAny(e.text, "[]{},") {
		// An IPv6 address would begin a list.
		e = edit{span: where, text: `"` + text + `"`}
		same = 0
	}
	if e.text != "" && !isSimple(text[same:]) {
		return edit{}, errNotFound
	}
	e.mutate = func() {
		*t = tree{kind: scalar, at: t.at, text: text, str: true, anchor: t.anchor}
	}
	return e, nil
}

func commonPrefix(a, b string) int {
	n := 0
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	return n
}

// isSimple reports whether text says the same in and without quotes of any
// sort, brackets aside.
func isSimple(text string) bool {
	for _, c := range []byte(text) {
		if c <= ' ' || c >= 0x7f || strings.IndexByte("\"'\\#&*!|>%`", c) >= 0 {
			return false
		}
	}
	return !strings.HasSuffix(text, ":")
}

// written finds the text of a scalar or alias in the source, without quotes.
// It trusts no position: ok is false unless the source says there what the
// tree does.
func (s *source) written(t *tree) (where span, quoted, ok bool) {
	at := t.at
	if t.kind == alias {
		end := at + 1 + len(t.text)
		return span{at, end}, false, strings.HasPrefix(s.text[at:], "*"+t.text)
	}
	for at < len(s.text) && (s.text[at] == '&' || s.text[at] == '!') && t.style != literal {
		at = s.skipProperty(at)
	}
	switch t.style {
	case double, single:
		end := closingQuote(s.text, at)
		if end < 0 {
			return span{}, false, false
		}
		return span{at + 1, end}, true, t.style == double && s.text[at] == '"' || t.style == single && s.text[at] == '\''
	case literal:
		return s.literal(t)
	}
	return span{at, at + len(t.text)}, false, t.text != "" && strings.HasPrefix(s.text[at:], t.text)
}

// skipProperty skips an anchor or a tag and the space behind it.
func (s *source) skipProperty(at int) int {
	for at < len(s.text) && strings.IndexByte(" \t\r\n", s.text[at]) < 0 {
		at++
	}
	for at < len(s.text) && strings.IndexByte(" \t\r\n", s.text[at]) >= 0 {
		at++
	}
	return at
}

// closingQuote finds the quote that ends the one at an offset, -1 for none.
func closingQuote(text string, at int) int {
	if at >= len(text) {
		return -1
	}
	quote := text[at]
	for i := at + 1; i < len(text); i++ {
		switch {
		case text[i] == '\\' && quote == '"':
			i++
		case text[i] != quote:
		case quote == '\'' && i+1 < len(text) && text[i+1] == quote:
			i++
		default:
			return i
		}
	}
	return -1
}

// literal finds the one line of a block scalar.
func (s *source) literal(t *tree) (where span, quoted, ok bool) {
	header := strings.IndexAny(s.text[t.at:], "\r\n")
	if header < 0 || t.text == "" {
		return span{}, false, false
	}
	at := t.at + header
	for at < len(s.text) && strings.IndexByte(" \r\n", s.text[at]) >= 0 {
		at++
	}
	// Brackets mean nothing in a block scalar, as in quotes.
	return span{at, at + len(t.text)}, true, strings.HasPrefix(s.text[at:], t.text)
}
