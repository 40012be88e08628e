package images

import (
	"cmp"
	"errors"
	"slices"
	"strings"
	"unicode/utf8"
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

// replace gives the edit that makes a scalar, or an alias in its place, say what
// a change wants. Quotes stay as they are, and so does everything between the
// pieces that change.
func (s *source) replace(t *tree, c change) (edit, error) {
	e := edit{mutate: func() {
		*t = tree{kind: scalar, at: t.at, text: c.text, str: true, anchor: t.anchor}
	}}
	bracket := false // an IPv6 address would begin a list
	for _, p := range c.pieces {
		if !isSimple(p.text) && p.text != "" {
			return edit{}, errNotFound
		}
		bracket = bracket || strings.ContainsAny(p.text, "[]{},")
	}
	if t.kind == alias {
		if !isSimple(c.text) || !strings.HasPrefix(s.text[t.at:], "*"+t.text) {
			return edit{}, errNotFound
		}
		e.span, e.text = span{t.at, t.at + 1 + len(t.text)}, c.text
		if bracket {
			e.text = `"` + c.text + `"`
		}
		return e, nil
	}
	a := s.align(t)
	if a == nil {
		return edit{}, errNotFound
	}
	e.span = span{a.start(0), a.after}
	if t.style == plain && bracket {
		if strings.ContainsAny(c.text, "\"\\\n") {
			return edit{}, errNotFound
		}
		e.text = `"` + c.text + `"`
		return e, nil
	}
	first, last := c.pieces[0], c.pieces[len(c.pieces)-1]
	where, ok := a.of(span{first.start, last.end})
	if !ok || first.start == last.end {
		return edit{}, errNotFound
	}
	e.span = where
	var out strings.Builder
	at := where.start
	for _, p := range c.pieces {
		written, ok := a.of(p.span)
		if !ok {
			return edit{}, errNotFound
		}
		out.WriteString(s.text[at:written.start])
		out.WriteString(p.text)
		at = written.end
	}
	e.text = out.String()
	return e, nil
}

// canReplace says why a change is not possible, also where the text is inside of
// another value.
func (s *source) canReplace(t *tree, c change) error {
	e, err := s.replace(t, c)
	for ; err == nil && s.outer != nil; s = s.outer {
		e, err = s.outwardOne(e)
	}
	return err
}

// newField gives the edit that adds a field to a mapping, before another of its
// fields. JSON and flow mappings get it on the same line.
func (s *source) newField(m *tree, before, name, text string) (edit, bool) {
	i := slices.IndexFunc(m.pairs, func(p pair) bool { return p.name.word() == before })
	if i < 0 || !isSimple(text) {
		return edit{}, false
	}
	key := m.pairs[i].name
	at := key.at
	e := edit{span: span{at, at}, mutate: func() {
		m.pairs = slices.Insert(m.pairs, i, pair{word(name), word(text)})
	}}
	quoted := text
	if strings.ContainsAny(text, "[]{},") {
		quoted = `"` + text + `"`
	}
	switch {
	case m.style == flow && key.style == double:
		e.text = `"` + name + `": "` + text + `", `
	case m.style == flow:
		e.text = name + ": " + quoted + ", "
	default:
		indent := strings.Repeat(" ", utf8.RuneCountInString(s.text[s.lineAt(at):at]))
		e.text = name + ": " + quoted + s.newlineBefore(at) + indent
	}
	return e, true
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

// written finds the text of a scalar on one line in the source, without quotes.
// It trusts no position: ok is false unless the source says there what the tree
// does.
func (s *source) written(t *tree) (where span, quoted, ok bool) {
	a := s.align(t)
	if a == nil || t.style == literal {
		return span{}, false, false
	}
	where, ok = a.of(span{0, len(t.text)})
	return where, t.style != plain, ok
}

// change is what becomes of the text of a scalar.
type change struct {
	src    *source
	text   string
	pieces []piece
}

// piece replaces a part of the text of a scalar.
type piece struct {
	span
	text string
}
