package images

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// finding is an image in a manifest, or what looks like one, and where it is
// written.
type finding struct {
	place   Place
	text    string // the image as written, its parts put together
	ref     Reference
	err     error // why it names no image that could be had, then ref is zero
	unknown error // why it may be none, although it looks like one

	// How it is written: as a part of one scalar, or in several.
	src   *source
	whole *tree
	span  span // of the scalar's text
	parts *parts

	fixed error    // why it cannot be rewritten where it is, if so
	pod   *podSpec // that it belongs to, if any
	note  bool     // in an annotation: nothing is pulled by it
}

// finder walks the documents of a file, and every scalar of them once. Rules
// for a known object take those that they know; [finder.decide] decides about
// the others.
type finder struct {
	scope
	found []finding
	redis []Place

	open   map[*tree]bool // anchors that the walk is inside of
	merged map[*tree][]pair
	inner  map[*tree]*inner
	// registries says of objects whether their images have a field for one.
	registries map[*tree]bool

	aliased int // how many aliases the walk came through
	left    int // values that they may still stand for
}

// scope is what the walk knows about where it is.
type scope struct {
	src         *source
	object      object
	path        []string
	pod         *podSpec
	around      [][]pair // the mappings that it is inside of, of this object
	key         key
	use         Use // if images are recognised here by their looks: variable, argument, data
	container   string
	inContainer bool // in a mapping with what only a container has: a command, mounts
	none        bool // patterns: nothing here is an image for certain
	annotations bool
	node        *tree // the mapping at hand
	root        *tree // the object, or the document
}

// object is the Kubernetes object that the walk is inside of, if any.
type object struct{ apiVersion, kind, namespace, name string }

func (o object) group() string {
	group, _, _ := strings.Cut(o.apiVersion, "/")
	return group
}

// maxAliased bounds how many values the aliases of a document stand for: a
// kilobyte of them can stand for a billion.
const maxAliased = 100_000

var errTooMany = errors.New("aliases (*name) stand for too many values here; write them out")

// inventory is what one document says about images: every image and what looks
// like one, in order, and the objects of Redis Enterprise that may leave theirs
// to an operator. Whatever lists or rewrites images goes by it.
type inventory struct {
	images []finding
	redis  []Place
}

// find makes the inventory of a document.
func find(s *source, root *tree) (inventory, error) {
	f := &finder{scope: scope{src: s, root: root}, open: map[*tree]bool{}, merged: map[*tree][]pair{}, inner: map[*tree]*inner{}, registries: map[*tree]bool{}, left: maxAliased}
	f.value(root, key{})
	if f.left < 0 {
		return inventory{}, s.problem(root.at, errTooMany)
	}
	return inventory{f.found, f.redis}, nil
}

// value walks into t, which k is the name of.
func (f *finder) value(t *tree, k key) {
	f.follow(t, func(resolved *tree) {
		before := f.key
		defer func() { f.key = before }()
		f.key = k
		switch resolved.kind {
		case scalar:
			f.scalar(t)
		case mapping:
			f.mapping(resolved, k)
		case sequence:
			f.sequence(resolved, k)
		}
	})
}

func (f *finder) scalar(t *tree) {
	if !f.nested(t) {
		f.decide(t, 0)
	}
}

// sequence walks into the items of a list. A list of names with values is read
// as the variables of a container are: the name says what the value is.
func (f *finder) sequence(t *tree, k key) {
	k.item = true
	claimed := f.parameters(t)
	for i, item := range t.items {
		f.at(index(i), func() {
			fields := f.fields(item)
			name, value := get(fields, "name"), get(fields, "value")
			if !name.isString() || !value.isString() {
				f.value(item, k)
				return
			}
			f.follow(item, func(item *tree) {
				f.with(item, func(fields []pair) {
					for _, p := range fields {
						f.at(step(p.name.word()), func() {
							switch {
							case claimed[p.value]:
							case p.value == value:
								f.value(value, keyOf(name.word(), k))
							default:
								f.field(p.name.word(), p.value, k)
							}
						})
					}
				})
			})
		})
	}
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

// each visits the mappings in a sequence, and walks into its other items.
func (f *finder) each(list *tree, visit func(fields []pair)) {
	f.follow(list, func(list *tree) {
		for i, item := range list.items {
			f.at(index(i), func() {
				if resolved := item.resolve(); resolved == nil || resolved.kind != mapping {
					f.value(item, key{name: f.key.name, item: true})
					return
				}
				f.follow(item, func(t *tree) { f.with(t, visit) })
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

// within walks with a scope of its own.
func (f *finder) within(change func(*scope), walk func()) {
	before := f.scope
	defer func() { f.scope = before }()
	change(&f.scope)
	walk()
}

func (f *finder) mapping(t *tree, k key) {
	f.with(t, func(fields []pair) {
		if isSchema(fields) {
			f.schema(t, k)
			return
		}
		f.within(func(*scope) {}, func() {
			isObject := f.isObject(t, fields)
			if isObject {
				f.object, f.path, f.pod, f.around, f.root = f.objectOf(fields), nil, nil, nil, t
				f.none = f.object.holdsPatterns()
				if f.object.isReport() {
					return
				}
				if f.object.kind == redisKind {
					f.redis = append(f.redis, f.place(f.src.place(t.at), ""))
				}
			}
			f.pod = f.podOf(t, fields, k.name)
			f.inContainer, f.node = isContainer(fields), t
			f.around = append(f.around[:len(f.around):len(f.around)], fields)
			claimed := f.imagesOf(fields, k)
			for _, p := range fields {
				if p.value != nil && claimed[p.value] {
					continue
				}
				name := p.name.word()
				f.at(step(name), func() {
					if isObject {
						f.objectField(name, p.value)
					} else {
						f.field(name, p.value, k)
					}
				})
			}
		})
	})
}

// objectField is a field of an object itself.
func (f *finder) objectField(name string, t *tree) {
	switch {
	case name == "status":
		// A report of what is.
	case name == "metadata":
		f.with(mappingOf(t), func(fields []pair) {
			f.at(".annotations", func() { f.annotated(get(fields, "annotations")) })
		})
	case name == "data" && f.object.kind == "ConfigMap" && f.object.apiVersion == "v1", name == "stringData" && f.object.kind == "Secret":
		f.within(func(s *scope) { s.use = UseData }, func() { f.field(name, t, key{}) })
	case name == "data" && f.object.kind == "Secret" && f.object.apiVersion == "v1", name == "binaryData":
		// Base64.
	case f.object.kind == "ImageConfig" && (name == "types" || name == "defaults"):
		f.value(t, key{name: name, says: saysInside}) // of K8ssandra's cass-operator
	default:
		f.field(name, t, key{})
	}
}

var emptyMapping = &tree{kind: mapping}

// mappingOf is t if it is a mapping, or else an empty one.
func mappingOf(t *tree) *tree {
	if t = t.resolve(); t != nil && t.kind == mapping {
		return t
	}
	return emptyMapping
}

// annotated looks at annotations. What the name of one promises holds; copies
// of the object and examples do not count.
func (f *finder) annotated(t *tree) {
	f.within(func(s *scope) { s.annotations = true }, func() {
		f.follow(t, func(t *tree) {
			f.with(t, func(fields []pair) {
				for _, p := range fields {
					name := p.name.word()
					if isCopy(name) {
						continue
					}
					f.at(step(name), func() { f.value(p.value, keyOf(name, key{})) })
				}
			})
		})
	})
}

// isCopy recognises annotations that hold an object as it was applied, or
// examples.
func isCopy(name string) bool {
	name = name[strings.LastIndexByte(name, '/')+1:]
	return strings.Contains(name, "last-applied") || name == "applied" || name == "alm-examples" || name == "initialization-resource"
}

func (f *finder) field(name string, t *tree, outer key) {
	switch name {
	case "openAPIV3Schema":
		f.schema(t, key{})
		return
	case "annotations":
		if m := t.resolve(); m != nil && m.kind == mapping {
			f.annotated(t)
			return
		}
	case "rbd":
		return // the image is a block device of Ceph
	case "managedFields":
		return
	case "env", "environment":
		if m := t.resolve(); m != nil && m.kind == mapping {
			f.within(func(s *scope) { s.use = UseEnv }, func() { f.value(t, keyOf(name, outer)) })
			return
		}
	case "system_images":
		if m := t.resolve(); m != nil && m.kind == mapping {
			f.systemImages(t)
			return
		}
	}
	if isSequence(t) && !f.none {
		f.key = key{name: name}
		switch name {
		case "containers", "initContainers", "ephemeralContainers":
			f.containers(t)
			return
		case "env":
			f.env(t)
			return
		case "volumes":
			f.volumes(t)
			return
		case "images":
			if outer.name == "kustomize" || f.isKustomization() {
				f.kustomized(t)
				return
			}
		}
	}
	k := keyOf(name, outer)
	if k.says >= saysEnds && f.template(t, UseField) {
		return
	}
	f.value(t, k)
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

// isContainer recognises the spec of a container outside of a pod by what only
// such a thing has.
func isContainer(fields []pair) bool {
	for _, name := range []string{"command", "args", "script", "volumeMounts", "workingDir"} {
		if get(fields, name) != nil {
			return true
		}
	}
	return false
}

// here is the place of a value that is found now.
func (f *finder) here(t *tree, use Use) Place { return f.place(f.src.place(t.at), use) }

// hereAt is the place of a part of a scalar's text.
func (f *finder) hereAt(t *tree, from int, use Use) Place {
	return f.place(f.src.placeOf(t, from), use)
}

func (f *finder) place(p Place, use Use) Place {
	p.Kind, p.Namespace, p.Name = f.object.kind, f.object.namespace, f.object.name
	p.Container = f.container
	p.Field = strings.TrimPrefix(strings.Join(f.path, ""), ".")
	p.Use = use
	return p
}

// add notes an image, or why it is none.
func (f *finder) add(x finding, text string) {
	x.src, x.pod, x.text, x.note = f.src, f.pod, text, f.annotations
	x.ref, x.err = Parse(text)
	switch {
	case x.err == nil && x.place.Use == UseContainer && text == "auto":
		x.ref, x.err = Reference{}, fmt.Errorf("image %q: stands for what Istio fills in when the pod starts", text)
	case x.unknown != nil:
		x.err = fmt.Errorf("%s: %w", quote(text), x.unknown)
	}
	f.found = append(f.found, x)
}

// unresolved makes the image that was noted last one that cannot be told.
func (f *finder) unresolved(reason error) {
	f.fail(reason)
	f.found[len(f.found)-1].ref = Reference{}
}

// fail says why the image that was noted last cannot be had. Where it comes
// from is known.
func (f *finder) fail(reason error) {
	if x := &f.found[len(f.found)-1]; x.err == nil {
		x.err = fmt.Errorf("image %s: %w", quote(x.text), reason)
	}
}
