package inventory

import (
	"slices"
	"strings"

	"github.com/berth-registry/berth/images/document"
)

// isSchema recognises a schema; its properties are not values.
func isSchema(fields []document.Pair) bool {
	properties := document.Get(fields, "properties").Resolve()
	return properties != nil && properties.Kind == document.Mapping && document.Get(fields, "type").Word() == "object"
}

// schema walks into the defaults of a schema. The rest of it is description.
func (f *finder) schema(t *document.Tree, k key) {
	f.follow(t, func(t *document.Tree) {
		f.with(t, func(fields []document.Pair) {
			for _, p := range fields {
				name := p.Name.Word()
				f.step(fieldStep(name), func() {
					switch name {
					case "default":
						f.value(p.Value, k)
					case "properties":
						f.follow(p.Value, func(t *document.Tree) {
							f.with(t, func(fields []document.Pair) {
								for _, p := range fields {
									f.step(fieldStep(p.Name.Word()), func() { f.schema(p.Value, keyOf(p.Name.Word(), k)) })
								}
							})
						})
					case "items", "additionalProperties":
						f.schema(p.Value, k)
					}
				})
			}
		})
	})
}

// isObject reports whether a mapping is a Kubernetes object: at the top of a document, in a list,
// or embedded with a spec of its own. A reference to an object has no spec.
func (f *finder) isObject(t *document.Tree, fields []document.Pair) bool {
	if document.Get(fields, "kind").Word() == "" || document.Get(fields, "apiVersion").Word() == "" {
		return f.isItem()
	}
	return t == f.root || f.isItem() || document.Get(fields, "spec") != nil || document.Get(fields, "metadata") != nil
}

// isItem reports whether the walk is at an item of a List; items of a PodList have no kind.
func (f *finder) isItem() bool {
	return strings.HasSuffix(f.object.kind, "List") && len(f.path) == 2 && f.path[0] == ".items"
}

func (f *finder) objectOf(fields []document.Pair) object {
	metadata := f.fields(document.Get(fields, "metadata"))
	o := object{
		apiVersion: document.Get(fields, "apiVersion").Word(), kind: document.Get(fields, "kind").Word(),
		namespace: document.Get(metadata, "namespace").Word(), name: document.Get(metadata, "name").Word(),
	}
	if o.kind == "" {
		o.apiVersion, o.kind = f.object.apiVersion, strings.TrimSuffix(f.object.kind, "List")
	}
	if o.namespace == "" && !f.isItem() {
		o.namespace = f.object.namespace // of the object around it
	}
	return o
}

// isReport reports whether the kind describes past events.
func (o object) isReport() bool {
	return strings.TrimSuffix(o.kind, "List") == "Event" && (o.apiVersion == "v1" || o.group() == "events.k8s.io")
}

// holdsPatterns reports whether values of the kind may be patterns instead of images.
func (o object) holdsPatterns() bool {
	switch o.group() {
	case "kyverno.io", "policies.kyverno.io", "constraints.gatekeeper.sh", "templates.gatekeeper.sh":
		return true
	}
	return false
}

// fields returns the fields of a mapping, own ones before those of merge keys (<<); nil for
// anything else.
func (f *finder) fields(t *document.Tree) []document.Pair {
	t = t.Resolve()
	if t == nil || t.Kind != document.Mapping {
		return nil
	}
	if !slices.ContainsFunc(t.Pairs, isMerge) {
		return t.Pairs
	}
	if all, ok := f.merged[t]; ok {
		return all
	}
	f.merged[t] = nil // for a mapping that merges itself
	all := slices.DeleteFunc(slices.Clone(t.Pairs), isMerge)
	have := map[string]bool{}
	for _, p := range all {
		have[p.Name.Text] = true
	}
	add := func(from *document.Tree) {
		for _, p := range f.fields(from) {
			if f.left--; f.left >= 0 && !have[p.Name.Text] {
				have[p.Name.Text] = true
				all = append(all, p)
			}
		}
	}
	for _, p := range t.Pairs {
		if !isMerge(p) {
			continue
		}
		if from := p.Value.Resolve(); from != nil && from.Kind == document.Sequence {
			for _, item := range from.Items {
				add(item)
			}
		} else {
			add(p.Value)
		}
	}
	f.merged[t] = all
	return all
}

func isMerge(p document.Pair) bool {
	return p.Name.Kind == document.Scalar && p.Name.Text == "<<" && p.Name.Style == document.Plain
}
