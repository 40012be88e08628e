package document

import (
	"cmp"
	"errors"
	"slices"
	"strings"
	"unicode/utf8"
)

// Edit replaces a part of a text.
type Edit struct {
	Span
	Text string
	// Mutate changes the tree as the edit changes the text, so that both can be compared.
	Mutate func()
}

// Apply applies edits, which must not overlap.
func Apply(text string, edits []Edit) string {
	slices.SortStableFunc(edits, func(a, b Edit) int { return cmp.Compare(a.Start, b.Start) })
	var out strings.Builder
	at := 0
	for _, e := range edits {
		out.WriteString(text[at:e.Start])
		out.WriteString(e.Text)
		at = e.End
	}
	out.WriteString(text[at:])
	return out.String()
}

var errNotFound = errors.New("cannot be changed in place; write it on one line, with or without quotes")

// Replace returns the edit that gives a scalar, or an alias in its place, the text of c. Quotes and
// everything between the changed pieces stay as they are.
func (s *Source) Replace(t *Tree, c TextChange) (Edit, error) {
	e := Edit{Mutate: func() {
		*t = Tree{Kind: Scalar, At: t.At, Text: c.Text, Str: true, Anchor: t.Anchor}
	}}
	bracket := false // an IPv6 address: unquoted, [ would begin a list
	for _, p := range c.Pieces {
		if !isSimple(p.Text) && p.Text != "" {
			return Edit{}, errNotFound
		}
		bracket = bracket || strings.ContainsAny(p.Text, "[]{},")
	}
	if t.Kind == Alias {
		if !isSimple(c.Text) || !strings.HasPrefix(s.Text[t.At:], "*"+t.Text) {
			return Edit{}, errNotFound
		}
		e.Span, e.Text = Span{t.At, t.At + 1 + len(t.Text)}, c.Text
		if bracket {
			e.Text = `"` + c.Text + `"`
		}
		return e, nil
	}
	a := s.align(t)
	if a == nil {
		return Edit{}, errNotFound
	}
	e.Span = Span{a.start(0), a.after}
	if t.Style == Plain && bracket {
		if strings.ContainsAny(c.Text, "\"\\\n") {
			return Edit{}, errNotFound
		}
		e.Text = `"` + c.Text + `"`
		return e, nil
	}
	first, last := c.Pieces[0], c.Pieces[len(c.Pieces)-1]
	where, ok := a.of(Span{first.Start, last.End})
	if !ok || first.Start == last.End {
		return Edit{}, errNotFound
	}
	e.Span = where
	var out strings.Builder
	at := where.Start
	for _, p := range c.Pieces {
		written, ok := a.of(p.Span)
		if !ok {
			return Edit{}, errNotFound
		}
		out.WriteString(s.Text[at:written.Start])
		out.WriteString(p.Text)
		at = written.End
	}
	e.Text = out.String()
	return e, nil
}

// CanReplace returns why c cannot be applied, also if the text is nested in another value.
func (s *Source) CanReplace(t *Tree, c TextChange) error {
	e, err := s.Replace(t, c)
	for ; err == nil && s.outer != nil; s = s.outer {
		e, err = s.liftOne(e)
	}
	return err
}

// NewField returns the edit that adds a field to a mapping, before another of its fields. JSON and
// flow mappings get it on the same line.
func (s *Source) NewField(m *Tree, before, name, text string) (Edit, bool) {
	i := slices.IndexFunc(m.Pairs, func(p Pair) bool { return p.Name.Word() == before })
	if i < 0 || !isSimple(text) {
		return Edit{}, false
	}
	key := m.Pairs[i].Name
	at := key.At
	e := Edit{Span: Span{at, at}, Mutate: func() {
		m.Pairs = slices.Insert(m.Pairs, i, Pair{NewString(name), NewString(text)})
	}}
	quoted := text
	if strings.ContainsAny(text, "[]{},") {
		quoted = `"` + text + `"`
	}
	switch {
	case m.Style == Flow && key.Style == Double:
		e.Text = `"` + name + `": "` + text + `", `
	case m.Style == Flow:
		e.Text = name + ": " + quoted + ", "
	default:
		indent := strings.Repeat(" ", utf8.RuneCountInString(s.Text[s.LineAt(at):at]))
		e.Text = name + ": " + quoted + s.NewlineBefore(at) + indent
	}
	return e, true
}

// isSimple reports whether text means the same in every kind of quotes and, brackets aside, without
// quotes.
func isSimple(text string) bool {
	for _, c := range []byte(text) {
		if c <= ' ' || c >= 0x7f || strings.IndexByte("\"'\\#&*!|>%`", c) >= 0 {
			return false
		}
	}
	return !strings.HasSuffix(text, ":")
}

// Written finds the text of a scalar on one line in the source, without quotes.
// It trusts no position: ok is false unless the source says there what the tree
// does.
func (s *Source) Written(t *Tree) (where Span, quoted, ok bool) {
	a := s.align(t)
	if a == nil || t.Style == Literal {
		return Span{}, false, false
	}
	where, ok = a.of(Span{0, len(t.Text)})
	return where, t.Style != Plain, ok
}

// TextChange is what becomes of the text of a scalar.
type TextChange struct {
	Source *Source
	Text   string
	Pieces []Piece
}

// Piece replaces a part of the text of a scalar.
type Piece struct {
	Span
	Text string
}
