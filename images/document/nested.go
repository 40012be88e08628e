package document

import (
	"cmp"
	"errors"
	"maps"
	"slices"
	"strings"
)

// Nested is YAML or JSON inside a scalar: a manifest in a ConfigMap, the values of a HelmChart,
// JSON in a variable. It has a source of its own, whose positions are mapped to the file.
type Nested struct {
	Source    *Source
	Documents []Document
}

// ReadNested parses the text of host, a scalar of outer, as documents. It returns nil if one of them
// is not a mapping or a sequence.
func ReadNested(outer *Source, host *Tree) *Nested {
	src, err := NewSource(outer.Name, []byte(host.Text))
	if err != nil {
		return nil
	}
	src.outer, src.host, src.Depth = outer, host, outer.Depth+1
	in := &Nested{Source: src, Documents: src.Documents()}
	for _, d := range in.Documents {
		if d.Err != nil || d.Root.Kind != Mapping && d.Root.Kind != Sequence {
			return nil
		}
		src.Roots = append(src.Roots, d.Root)
	}
	if len(in.Documents) == 0 {
		return nil
	}
	return in
}

var errNestedStyle = errors.New("is in a text inside a value and cannot be changed in place; write that value as a block (|)")

// lift maps edits of a nested text to edits of the source around it.
func (s *Source) lift(edits []Edit) ([]Edit, error) {
	text := Apply(s.Text, edits)
	all := make([]Edit, len(edits))
	for i, e := range edits {
		var err error
		if all[i], err = s.liftOne(e); err != nil {
			return nil, err
		}
	}
	all[0].Mutate = func() { s.host.Text = text }
	return all, nil
}

func (s *Source) liftOne(e Edit) (Edit, error) {
	a := s.outer.align(s.host)
	if a == nil || s.host.Anchor != "" {
		return Edit{}, errNestedStyle
	}
	where, ok := a.of(e.Span)
	if !ok {
		return Edit{}, errNestedStyle
	}
	written, ok := s.encode(e.Text)
	if !ok {
		return Edit{}, errNestedStyle
	}
	return Edit{Span: where, Text: written, Mutate: func() {}}, nil
}

// encode writes a text in the style of the scalar around it.
func (s *Source) encode(text string) (string, bool) {
	switch s.host.Style {
	case Double:
		return strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\r", `\r`, "\n", `\n`).Replace(text), true
	case Single:
		return strings.ReplaceAll(text, "'", "''"), !strings.Contains(text, "\n")
	case Literal:
		if !strings.Contains(text, "\n") {
			return text, true
		}
		indent, ok := s.indentation()
		line := s.outer.NewlineBefore(s.host.At) + indent
		return strings.ReplaceAll(strings.ReplaceAll(text, "\r\n", "\n"), "\n", line), ok
	}
	return text, isSimple(text)
}

// indentation is the white space before each line of the block (|) around this text.
func (s *Source) indentation() (string, bool) {
	first := strings.IndexFunc(s.Text, func(r rune) bool { return !isSpace(r) })
	a := s.outer.align(s.host)
	if first < 0 || a == nil || !strings.HasPrefix(s.outer.Text[s.host.At:], "|") {
		return "", false
	}
	at := a.start(first)
	written := s.outer.Text[s.outer.LineAt(at):at]
	own := s.Text[s.LineAt(first):first]
	indent, ok := strings.CutSuffix(written, own)
	return indent, ok && IsBlank(indent)
}

// Lift maps all edits of nested texts to edits of the file.
func Lift(edits map[*Source][]Edit) error {
	inward := slices.SortedFunc(maps.Keys(edits), func(a, b *Source) int { return cmp.Compare(b.Depth, a.Depth) })
	for len(inward) > 0 && inward[0].outer != nil {
		s := inward[0]
		outward, err := s.lift(edits[s])
		if err != nil {
			return err
		}
		delete(edits, s)
		edits[s.outer] = append(edits[s.outer], outward...)
		inward = slices.SortedFunc(maps.Keys(edits), func(a, b *Source) int { return cmp.Compare(b.Depth, a.Depth) })
	}
	return nil
}
