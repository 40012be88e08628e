package images

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// finding is an image in a manifest, and where it is written.
type finding struct {
	place Place
	text  string // the image as written, its parts put together
	ref   Reference
	err   error // why it names no image that could be had, then ref is zero

	// How it is written: as one scalar, of which the image begins at skip, or
	// in parts.
	whole *tree
	skip  int
	parts *parts

	fixed error    // why it cannot be rewritten where it stands, if so
	pod   *podSpec // that it belongs to, if any
}

// parts is an image that is spread over fields. Only repository is never nil.
type parts struct {
	registry, repository *tree
	image                *tree // the last part of the path
	tag, digest          *tree
}

// finder walks the documents of a file. It goes into everything except where
// what looks like an image is none.
type finder struct {
	src   *source
	found []finding

	object object
	path   []string
	pod    *podSpec
	open   map[*tree]bool // anchors that the walk is inside of
	merged map[*tree][]pair

	aliased int // how many aliases the walk came through
	left    int // values that they may still stand for
}

// object is the Kubernetes object that the walk is inside of, if any.
type object struct{ apiVersion, kind, namespace, name string }

// maxAliased bounds how many values the aliases of a document stand for: a
// kilobyte of them can stand for a billion.
const maxAliased = 100_000

var errTooMany = errors.New("aliases (*name) stand for too many values here; write them out")

// find gives every image of a document, in order.
func (s *source) find(root *tree) ([]finding, error) {
	f := &finder{src: s, open: map[*tree]bool{}, merged: map[*tree][]pair{}, left: maxAliased}
	f.value(root, "")
	if f.left < 0 {
		return nil, s.problem(root.at, errTooMany)
	}
	return f.found, nil
}

// value walks into t, which key is the name of.
func (f *finder) value(t *tree, key string) {
	f.follow(t, func(t *tree) {
		if t.kind == mapping {
			f.mapping(t, key)
			return
		}
		for i, item := range t.items {
			f.at(index(i), func() { f.value(item, key) })
		}
	})
}

// follow visits what t is, through an alias if it is one, unless the walk is in
// there already or has been through too many.
func (f *finder) follow(t *tree, visit func(*tree)) {
	if t == nil {
		return
	}
	if t.kind == alias {
		f.aliased++
		defer func() { f.aliased-- }()
	}
	if f.aliased > 0 {
		f.left--
	}
	if t = t.resolve(); t == nil || f.left < 0 || f.open[t] {
		return
	}
	if t.anchor != "" {
		f.open[t] = true
		defer delete(f.open, t)
	}
	visit(t)
}

// each visits the mappings in a sequence.
func (f *finder) each(list *tree, visit func(fields []pair)) {
	f.follow(list, func(list *tree) {
		for i, item := range list.items {
			f.follow(item, func(t *tree) {
				if t.kind == mapping {
					f.at(index(i), func() { f.with(t, visit) })
				}
			})
		}
	})
}

// with visits the fields of a mapping. Merged ones count as aliased.
func (f *finder) with(t *tree, visit func(fields []pair)) {
	fields := f.fields(t)
	if slices.ContainsFunc(t.pairs, isMerge) {
		f.aliased++
		defer func() { f.aliased-- }()
	}
	visit(fields)
}

// at goes one step down.
func (f *finder) at(step string, walk func()) {
	f.path = append(f.path, step)
	walk()
	f.path = f.path[:len(f.path)-1]
}

func (f *finder) mapping(t *tree, key string) {
	f.with(t, func(fields []pair) {
		if isSchema(fields) {
			return
		}
		before, path, pod := f.object, f.path, f.pod
		defer func() { f.object, f.path, f.pod = before, path, pod }()
		isObject := f.isObject(fields)
		if isObject {
			f.object, f.path, f.pod = f.objectOf(fields), nil, nil
			if f.object.holdsNoImages() {
				return
			}
		}
		f.pod = f.podOf(t, fields, key)
		f.imagesOf(fields, key)
		for _, p := range fields {
			name := p.name.word()
			if isObject && (name == "metadata" || name == "status") || name == "openAPIV3Schema" || name == "rbd" {
				continue // rbd: the image is a block device of Ceph
			}
			f.at(step(name), func() { f.field(name, p.value) })
		}
	})
}

func (f *finder) field(name string, t *tree) {
	if isSequence(t) {
		switch name {
		case "containers", "initContainers", "ephemeralContainers":
			f.containers(t)
			return
		case "env":
			f.env(t, "")
			return
		case "volumes":
			f.volumes(t)
			return
		case "images":
			if f.isKustomization() {
				f.kustomized(t)
				return
			}
		}
	} else if name == "system_images" {
		f.systemImages(t)
		return
	}
	f.value(t, name)
}

func isSequence(t *tree) bool {
	t = t.resolve()
	return t != nil && t.kind == sequence
}

func index(i int) string { return "[" + strconv.Itoa(i) + "]" }

func step(name string) string {
	if name == "" || strings.ContainsAny(name, ".[]\"/ ") {
		return "[" + strconv.Quote(name) + "]"
	}
	return "." + name
}

// isSchema recognises a schema, whose properties are no values.
func isSchema(fields []pair) bool {
	properties := get(fields, "properties").resolve()
	return properties != nil && properties.kind == mapping && get(fields, "type").word() == "object"
}

// isObject reports whether a mapping is an object of Kubernetes: at the top, in a
// list, or embedded with a spec of its own. A reference to one has none.
func (f *finder) isObject(fields []pair) bool {
	if get(fields, "kind").word() == "" || get(fields, "apiVersion").word() == "" {
		return f.isItem()
	}
	return len(f.path) == 0 || f.isItem() || get(fields, "spec") != nil || get(fields, "metadata") != nil
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
	return o
}

// holdsNoImages names the kinds in which what looks like an image is a schema,
// somebody's data or a pattern.
func (o object) holdsNoImages() bool {
	group, _, _ := strings.Cut(o.apiVersion, "/")
	kind := strings.TrimSuffix(o.kind, "List")
	switch group {
	case "v1":
		return kind == "ConfigMap" || kind == "Secret" || kind == "Event"
	case "apiextensions.k8s.io":
		return kind == "CustomResourceDefinition"
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

// get gives the value of a field, nil if there is none.
func get(fields []pair, name string) *tree {
	for _, p := range fields {
		if n := p.name.resolve(); n != nil && n.kind == scalar && n.text == name {
			return p.value
		}
	}
	return nil
}

// here is the place of a value that is found now.
func (f *finder) here(t *tree, use Use) Place {
	p := f.src.place(t.at)
	p.Kind, p.Namespace, p.Name = f.object.kind, f.object.namespace, f.object.name
	p.Field = strings.TrimPrefix(strings.Join(f.path, ""), ".")
	p.Use = use
	return p
}

// add notes an image, or why it is none.
func (f *finder) add(x finding, text string) {
	x.pod, x.text = f.pod, text
	if x.ref, x.err = Parse(text); x.err == nil && x.place.Use == UseContainer && text == "auto" {
		x.ref, x.err = Reference{}, fmt.Errorf("image %q: stands for what Istio fills in when the pod starts", text)
	}
	f.found = append(f.found, x)
}
