package inventory

import (
	"strings"

	"github.com/berth-registry/berth/images/document"
)

// maxNested limits how many levels of nested texts are read.
const maxNested = 4

// nested reads the text of a scalar as YAML or JSON if it is a mapping or a list, and walks into
// it. It returns false if the text is neither, or cannot hold an image.
func (f *finder) nested(t *document.Tree) bool {
	host := t.Resolve()
	if f.annotations || !host.Str || !mayNest(host.Text) || f.src.Depth >= maxNested {
		return false
	}
	in, ok := f.inner[host]
	if !ok {
		in = document.ReadNested(f.src, host)
		f.inner[host] = in
	}
	if in == nil {
		return false
	}
	f.within(func(s *scope) { s.src, s.pod, s.around = in.Source, nil, nil }, func() {
		k := f.key
		k.item = false
		for _, d := range in.Documents {
			f.root = d.Root
			f.value(d.Root, k)
		}
	})
	return true
}

// mayNest is a cheap test whether a text is worth parsing.
func mayNest(text string) bool {
	if !strings.Contains(text, "\n") && !strings.Contains(text, ": ") && strings.IndexAny(strings.TrimLeft(text, " \t"), "{[") != 0 {
		return false
	}
	return strings.Contains(text, "mage") || strings.Contains(text, "MAGE") || strings.Contains(text, "epository") || strings.Contains(text, "/")
}
