package images

import (
	"cmp"
	"errors"
	"maps"
	"slices"
	"strings"
)

// inner is YAML or JSON that is the text of a scalar: a manifest in a ConfigMap,
// the values of a HelmChart, JSON in a variable. It is a source of its own, and
// knows where in the file it is written.
type inner struct {
	src       *source
	documents []document
}

func readInner(outer *source, host *tree) *inner {
	src, err := newSource(outer.name, []byte(host.text))
	if err != nil {
		return nil
	}
	src.outer, src.host, src.depth = outer, host, outer.depth+1
	in := &inner{src: src, documents: src.documents()}
	for _, d := range in.documents {
		if d.err != nil || d.root.kind != mapping && d.root.kind != sequence {
			return nil
		}
		src.roots = append(src.roots, d.root)
	}
	if len(in.documents) == 0 {
		return nil
	}
	return in
}

var errNestedForm = errors.New("is in a text inside a value that cannot be changed without touching more; write that value as a block (|)")

// outward turns edits of a text inside a scalar into edits of the file around
// it.
func (s *source) outward(edits []edit) ([]edit, error) {
	text := apply(s.text, edits)
	all := make([]edit, len(edits))
	for i, e := range edits {
		var err error
		if all[i], err = s.outwardOne(e); err != nil {
			return nil, err
		}
	}
	all[0].mutate = func() { s.host.text = text }
	return all, nil
}

func (s *source) outwardOne(e edit) (edit, error) {
	a := s.outer.align(s.host)
	if a == nil || s.host.anchor != "" {
		return edit{}, errNestedForm
	}
	where, ok := a.of(e.span)
	if !ok {
		return edit{}, errNestedForm
	}
	written, ok := s.encode(e.text)
	if !ok {
		return edit{}, errNestedForm
	}
	return edit{span: where, text: written, mutate: func() {}}, nil
}

// encode writes a text as the scalar around it does.
func (s *source) encode(text string) (string, bool) {
	switch s.host.style {
	case double:
		return strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\r", `\r`, "\n", `\n`).Replace(text), true
	case single:
		return strings.ReplaceAll(text, "'", "''"), !strings.Contains(text, "\n")
	case literal:
		if !strings.Contains(text, "\n") {
			return text, true
		}
		indent, ok := s.indentation()
		line := s.outer.newlineBefore(s.host.at) + indent
		return strings.ReplaceAll(strings.ReplaceAll(text, "\r\n", "\n"), "\n", line), ok
	}
	return text, isSimple(text)
}

// indentation is what stands before each line of the block (|) around this text.
func (s *source) indentation() (string, bool) {
	first := strings.IndexFunc(s.text, func(r rune) bool { return !isSpace(r) })
	a := s.outer.align(s.host)
	if first < 0 || a == nil || !strings.HasPrefix(s.outer.text[s.host.at:], "|") {
		return "", false
	}
	at := a.start(first)
	written := s.outer.text[s.outer.lineAt(at):at]
	own := s.text[s.lineAt(first):first]
	indent, ok := strings.CutSuffix(written, own)
	return indent, ok && isBlank(indent)
}

// outermostChange turns edits of texts inside of values into edits of the file.
func outermostChange(edits map[*source][]edit) error {
	inward := slices.SortedFunc(maps.Keys(edits), func(a, b *source) int { return cmp.Compare(b.depth, a.depth) })
	for len(inward) > 0 && inward[0].outer != nil {
		s := inward[0]
		outward, err := s.outward(edits[s])
		if err != nil {
			return err
		}
		delete(edits, s)
		edits[s.outer] = append(edits[s.outer], outward...)
		inward = slices.SortedFunc(maps.Keys(edits), func(a, b *source) int { return cmp.Compare(b.depth, a.depth) })
	}
	return nil
}
