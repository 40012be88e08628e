package images

import (
	"slices"
	"strings"
)

// isSchema recognises a schema, whose properties are no values.
func isSchema(fields []pair) bool {
	properties := get(fields, "properties").resolve()
	return properties != nil && properties.kind == mapping && get(fields, "type").word() == "object"
}

// schema walks into what a schema fills in, its defaults. Everything else in it
// is a description.
func (f *finder) schema(t *tree, k key) {
	f.follow(t, func(t *tree) {
		f.with(t, func(fields []pair) {
			for _, p := range fields {
				name := p.name.word()
				f.at(step(name), func() {
					switch name {
					case "default":
						f.value(p.value, k)
					case "properties":
						f.follow(p.value, func(t *tree) {
							f.with(t, func(fields []pair) {
								for _, p := range fields {
									f.at(step(p.name.word()), func() { f.schema(p.value, keyOf(p.name.word(), k)) })
								}
							})
						})
					case "items", "additionalProperties":
						f.schema(p.value, k)
					}
				})
			}
		})
	})
}

// isObject reports whether a mapping is an object of Kubernetes: at the top of a
// document, in a list, or embedded with a spec of its own. A reference to one has
// none.
func (f *finder) isObject(t *tree, fields []pair) bool {
	if get(fields, "kind").word() == "" || get(fields, "apiVersion").word() == "" {
		return f.isItem()
	}
	return t == f.root || f.isItem() || get(fields, "spec") != nil || get(fields, "metadata") != nil
}

// isItem reports whether the walk is at an item of a List; those of a PodList
// have no kind of their own.
func (f *finder) isItem() bool {
	return strings.HasSuffix(f.object.kind, "List") && len(f.path) == 2 && f.path[0] == ".items"
}

func (f *finder) objectOf(fields []pair) object {
	metadata := f.fields(get(fields, "metadata"))
	o := object{
		apiVersion: get(fields, "apiVersion").word(), kind: get(fields, "kind").word(),
		namespace: get(metadata, "namespace").word(), name: get(metadata, "name").word(),
	}
	if o.kind == "" {
		o.apiVersion, o.kind = f.object.apiVersion, strings.TrimSuffix(f.object.kind, "List")
	}
	if o.namespace == "" && !f.isItem() {
		o.namespace = f.object.namespace // of the object that this one is written in
	}
	return o
}

// isReport names the kinds that tell what happened.
func (o object) isReport() bool {
	return strings.TrimSuffix(o.kind, "List") == "Event" && (o.apiVersion == "v1" || o.group() == "events.k8s.io")
}

// holdsPatterns names the kinds in which what looks like an image may be a
// pattern, and is none for certain.
func (o object) holdsPatterns() bool {
	switch o.group() {
	case "kyverno.io", "policies.kyverno.io", "constraints.gatekeeper.sh", "templates.gatekeeper.sh":
		return true
	}
	return false
}

// fields gives the fields of a mapping, those of its merge keys (<<) behind its
// own; nil for anything else.
func (f *finder) fields(t *tree) []pair {
	t = t.resolve()
	if t == nil || t.kind != mapping {
		return nil
	}
	if !slices.ContainsFunc(t.pairs, isMerge) {
		return t.pairs
	}
	if all, ok := f.merged[t]; ok {
		return all
	}
	f.merged[t] = nil // for a mapping that merges itself
	all := slices.DeleteFunc(slices.Clone(t.pairs), isMerge)
	have := map[string]bool{}
	for _, p := range all {
		have[p.name.text] = true
	}
	add := func(from *tree) {
		for _, p := range f.fields(from) {
			if f.left--; f.left >= 0 && !have[p.name.text] {
				have[p.name.text] = true
				all = append(all, p)
			}
		}
	}
	for _, p := range t.pairs {
		if !isMerge(p) {
			continue
		}
		if from := p.value.resolve(); from != nil && from.kind == sequence {
			for _, item := range from.items {
				add(item)
			}
		} else {
			add(p.value)
		}
	}
	f.merged[t] = all
	return all
}

func isMerge(p pair) bool {
	return p.name.kind == scalar && p.name.text == "<<" && p.name.style == plain
}
