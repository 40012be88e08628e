package inventory

import (
	"strings"

	"github.com/berth-registry/berth/images/document"
	"github.com/berth-registry/berth/images/place"
)

// template reports whether t is an unquoted {{ … }}, which YAML reads as a mapping in a mapping,
// and adds it.
func (f *finder) template(t *document.Tree, use place.Use) bool {
	t = t.Resolve()
	if t == nil || t.Kind != document.Mapping || t.Style != document.Flow || !strings.HasPrefix(f.src.Text[t.At:], "{{") {
		return false
	}
	text, _, _ := strings.Cut(f.src.Text[t.At:], "\n")
	f.add(Occurrence{Place: f.placeHere(t, use), Whole: t}, strings.TrimSpace(text))
	return true
}

// containers finds the images of containers, whatever their form, and walks into all other fields.
func (f *finder) containers(list *document.Tree) {
	f.each(list, func(fields []document.Pair) {
		name := document.Get(fields, "name").Word()
		f.within(func(s *scope) { s.container, s.inContainer = name, true }, func() {
			f.around = append(f.around[:len(f.around):len(f.around)], fields)
			for _, p := range fields {
				f.step(fieldStep(p.Name.Word()), func() {
					switch p.Name.Word() {
					case "image":
						f.containerImage(p.Value)
					case "args", "command":
						f.arguments(p.Value)
					case "name":
					default:
						f.field(p.Name.Word(), p.Value, key{})
					}
				})
			}
		})
	})
}

func (f *finder) containerImage(t *document.Tree) {
	if f.template(t, place.UseContainer) {
		return
	}
	if r := t.Resolve(); r == nil || r.Kind != document.Scalar || !r.Str && r.Word() == "" {
		return // null is like a missing field
	}
	f.add(Occurrence{Place: f.placeHere(t, place.UseContainer), Whole: t, Span: document.Span{Start: 0, End: len(t.Word())}}, t.Word())
}

// env finds the images in the variables of an operator. The value of RELATED_IMAGE_… is one by
// OLM's convention; other variables are decided by name and value.
func (f *finder) env(list *document.Tree) {
	f.within(func(s *scope) { s.use = place.UseEnv }, func() {
		f.each(list, func(fields []document.Pair) {
			name := document.Get(fields, "name").Word()
			for _, p := range fields {
				f.step(fieldStep(p.Name.Word()), func() {
					value := p.Name.Word() == "value"
					text := p.Value.Word()
					switch {
					case value && strings.HasPrefix(name, "RELATED_IMAGE_") && p.Value.IsString() && text != "" && len(mentions(text)) == 1:
						f.add(Occurrence{Place: f.placeHere(p.Value, place.UseEnv), Whole: p.Value, Span: document.Span{Start: 0, End: len(text)}}, text)
					case value:
						f.value(p.Value, envKey(name))
					case p.Name.Word() != "name":
						f.field(p.Name.Word(), p.Value, key{})
					}
				})
			}
		})
	})
}

// envKey is the key of a variable: with IMAGE in the middle of its name, as in ACME_IMAGE_KAFKA, it
// says as much as a field inside of an image field.
func envKey(name string) key {
	k := keyOf(name, key{})
	if k.says == saysNothing && k.about && !isAddressWord(name) {
		k.says = saysInside
	}
	return k
}

// arguments finds images among the words of a command: after a flag, in the same word or in the
// next, and alone.
func (f *finder) arguments(list *document.Tree) {
	f.within(func(s *scope) { s.use = place.UseArgument }, func() {
		f.follow(list, func(list *document.Tree) {
			if list.Kind != document.Sequence {
				f.value(list, key{})
				return
			}
			flag := ""
			for i, item := range list.Items {
				text := item.Word()
				name, from := flag, 0
				if flag = ""; strings.HasPrefix(text, "-") {
					name, from = text, len(text)
					if at := strings.IndexAny(text, "= "); at > 0 {
						name, from = text[:at], at+1
					} else {
						flag = text
					}
				}
				k := keyOf(strings.TrimLeft(name, "-"), key{})
				k.item = true
				f.step(itemStep(i), func() { f.argument(item, k, from) })
			}
		})
	})
}

// argument looks at one word of a command, from the end of its flag.
func (f *finder) argument(t *document.Tree, k key, from int) {
	f.follow(t, func(resolved *document.Tree) {
		before := f.key
		defer func() { f.key = before }()
		f.key = k
		switch {
		case resolved.Kind != document.Scalar:
			f.value(t, k)
		case from > 0:
			f.decide(t, from)
		default:
			f.scalar(t)
		}
	})
}

// volumes finds images that are mounted
// (https://kubernetes.io/docs/concepts/storage/volumes/#image).
func (f *finder) volumes(list *document.Tree) {
	f.each(list, func(fields []document.Pair) {
		image := document.Get(fields, "image")
		reference := document.Get(f.fields(image), "reference")
		for _, p := range fields {
			f.step(fieldStep(p.Name.Word()), func() {
				if p.Value == image && reference.IsString() && reference.Word() != "" {
					f.step(".reference", func() {
						f.add(Occurrence{Place: f.placeHere(reference, place.UseVolume), Whole: reference, Span: document.Span{Start: 0, End: len(reference.Word())}}, reference.Word())
					})
					return
				}
				f.field(p.Name.Word(), p.Value, key{})
			})
		}
	})
}
