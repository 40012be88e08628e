package images

import "strings"

// template reports whether t is an unquoted {{ … }}, which to YAML is a mapping
// in a mapping, and notes it.
func (f *finder) template(t *tree, use Use) bool {
	t = t.resolve()
	if t == nil || t.kind != mapping || t.style != flow || !strings.HasPrefix(f.src.text[t.at:], "{{") {
		return false
	}
	text, _, _ := strings.Cut(f.src.text[t.at:], "\n")
	f.add(finding{place: f.here(t, use), whole: t}, strings.TrimSpace(text))
	return true
}

// containers finds the images of containers, which need not look like any, and
// walks into everything else that they have.
func (f *finder) containers(list *tree) {
	f.each(list, func(fields []pair) {
		name := get(fields, "name").word()
		f.within(func(s *scope) { s.container, s.inContainer = name, true }, func() {
			f.around = append(f.around[:len(f.around):len(f.around)], fields)
			for _, p := range fields {
				f.at(step(p.name.word()), func() {
					switch p.name.word() {
					case "image":
						f.containerImage(p.value)
					case "args", "command":
						f.arguments(p.value)
					case "name":
					default:
						f.field(p.name.word(), p.value, key{})
					}
				})
			}
		})
	})
}

func (f *finder) containerImage(t *tree) {
	if f.template(t, UseContainer) {
		return
	}
	if r := t.resolve(); r == nil || r.kind != scalar || !r.str && r.word() == "" {
		return // null is as good as absent
	}
	f.add(finding{place: f.here(t, UseContainer), whole: t, span: span{0, len(t.word())}}, t.word())
}

// env finds the images that an operator reads from its environment. The value
// of RELATED_IMAGE_… is one by convention of OLM; others are decided about by
// their names and values.
func (f *finder) env(list *tree) {
	f.within(func(s *scope) { s.use = UseEnv }, func() {
		f.each(list, func(fields []pair) {
			name := get(fields, "name").word()
			for _, p := range fields {
				f.at(step(p.name.word()), func() {
					value := p.name.word() == "value"
					text := p.value.word()
					switch {
					case value && strings.HasPrefix(name, "RELATED_IMAGE_") && p.value.isString() && text != "" && len(mentions(text)) == 1:
						f.add(finding{place: f.here(p.value, UseEnv), whole: p.value, span: span{0, len(text)}}, text)
					case value:
						f.value(p.value, envKey(name))
					case p.name.word() != "name":
						f.field(p.name.word(), p.value, key{})
					}
				})
			}
		})
	})
}

// envKey is what the name of a variable promises: with IMAGE in the middle, as in
// ACME_IMAGE_KAFKA, as much as a field inside of one.
func envKey(name string) key {
	k := keyOf(name, key{})
	if k.says == saysNothing && k.about && !isAddressWord(name) {
		k.says = saysInside
	}
	return k
}

// arguments finds images among the words of a command: behind a flag, in one
// word with it or in the next, and by themselves.
func (f *finder) arguments(list *tree) {
	f.within(func(s *scope) { s.use = UseArgument }, func() {
		f.follow(list, func(list *tree) {
			if list.kind != sequence {
				f.value(list, key{})
				return
			}
			flag := ""
			for i, item := range list.items {
				text := item.word()
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
				f.at(index(i), func() { f.argument(item, k, from) })
			}
		})
	})
}

// argument looks at one word of a command, from where its flag ends.
func (f *finder) argument(t *tree, k key, from int) {
	f.follow(t, func(resolved *tree) {
		before := f.key
		defer func() { f.key = before }()
		f.key = k
		switch {
		case resolved.kind != scalar:
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
func (f *finder) volumes(list *tree) {
	f.each(list, func(fields []pair) {
		image := get(fields, "image")
		reference := get(f.fields(image), "reference")
		for _, p := range fields {
			f.at(step(p.name.word()), func() {
				if p.value == image && reference.isString() && reference.word() != "" {
					f.at(".reference", func() {
						f.add(finding{place: f.here(reference, UseVolume), whole: reference, span: span{0, len(reference.word())}}, reference.word())
					})
					return
				}
				f.field(p.name.word(), p.value, key{})
			})
		}
	})
}
