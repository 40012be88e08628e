package images

import (
	"errors"
	"strings"
)

// inner is YAML or JSON that is the text of a scalar: a manifest in a ConfigMap,
// the values of a HelmChart, JSON in a variable. It is a source of its own, and
// knows where in the file it is written.
type inner struct {
	src       *source
	documents []document
}

// maxNested bounds how deep texts are read in texts.
const maxNested = 4

// nested reads the text of a scalar as YAML or JSON if it is a mapping or a list
// in one of these, and walks into it. It is false if the text is none, or holds
// nothing that could be an image.
func (f *finder) nested(t *tree) bool {
	host := t.resolve()
	if f.annotations || !host.str || !mayNest(host.text) || f.src.depth >= maxNested {
		return false
	}
	in, ok := f.inner[host]
	if !ok {
		in = readInner(f.src, host)
		f.inner[host] = in
	}
	if in == nil {
		return false
	}
	f.within(func(s *scope) { s.src, s.pod, s.around = in.src, nil, nil }, func() {
		k := f.key
		k.item = false
		for _, d := range in.documents {
			f.root = d.root
			f.value(d.root, k)
		}
	})
	return true
}

// mayNest tells cheaply that a text is not worth parsing.
func mayNest(text string) bool {
	if !strings.Contains(text, "\n") && !strings.Contains(text, ": ") && strings.IndexAny(strings.TrimLeft(text, " \t"), "{[") != 0 {
		return false
	}
	return strings.Contains(text, "mage") || strings.Contains(text, "MAGE") || strings.Contains(text, "epository") || strings.Contains(text, "/")
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
