// Package inventory finds the images in a document: pods, custom resources, values of charts,
// variables, arguments and texts inside of values.
//
// It promises that every scalar is visited once, and that a value with the form of an image is
// either an image or reported. list and rewrite share it. Start reading at [Find]; the table in
// decide.go has the rules for values that no object explains.
package inventory

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/berth-registry/berth/images/document"
	"github.com/berth-registry/berth/images/place"
	"github.com/berth-registry/berth/images/reference"
)

// Occurrence is an image in a manifest, or a value with the form of one, with its position.
type Occurrence struct {
	Place   place.Place
	Text    string // as written, parts joined
	Ref     reference.Reference
	Err     error // why it names no usable image; Ref is then zero
	Unknown error // why it may be no image, although it has the form of one

	// The position: in one scalar (Whole and Span), or in several (Parts).
	Source *document.Source
	Whole  *document.Tree
	Span   document.Span // of the scalar's text
	Parts  *Parts

	Fixed error    // why it cannot be rewritten at this position; nil if it can
	Pod   *PodSpec // the pod spec around it, if any
	Note  bool     // in an annotation: no pod uses it
}

// finder visits every scalar of a document once. Rules for known objects take the values that they
// know; [finder.decide] decides about all others.
type finder struct {
	scope
	found []Occurrence
	redis []place.Place

	open   map[*document.Tree]bool // anchors that the walk is inside of
	merged map[*document.Tree][]document.Pair
	inner  map[*document.Tree]*document.Nested
	// registries caches hasRegistryField by object.
	registries map[*document.Tree]bool

	aliased int // number of aliases that the walk came through
	left    int // how many more values aliases may expand to
}

// scope is the state of the walk at its position.
type scope struct {
	src         *document.Source
	object      object
	path        []string
	pod         *PodSpec
	around      [][]document.Pair // the mappings around it, within this object
	key         key
	use         place.Use // variable, argument or data, whose images are recognised by form; "" elsewhere
	container   string
	inContainer bool // in a mapping with a field that only containers have: a command, mounts
	patterns    bool // values may be patterns: none is certainly an image
	annotations bool
	node        *document.Tree // the current mapping
	root        *document.Tree // the object, or the document
}

// object is the Kubernetes object around the position, if any.
type object struct{ apiVersion, kind, namespace, name string }

func (o object) group() string {
	group, _, _ := strings.Cut(o.apiVersion, "/")
	return group
}

// maxAliased limits how many values the aliases of a document expand to: a kilobyte of aliases can
// expand to a billion values.
const maxAliased = 100_000

var errTooMany = errors.New("aliases (*name) expand to too many values here; write them out")

// Inventory is what one document says about images: every image and every value with the form of
// one, in order, and the objects of Redis Enterprise that may leave the choice to an operator. list
// and rewrite both work from it.
type Inventory struct {
	Images []Occurrence
	redis  []place.Place
}

// Find makes the inventory of a document.
func Find(s *document.Source, root *document.Tree) (Inventory, error) {
	f := &finder{scope: scope{src: s, root: root}, open: map[*document.Tree]bool{}, merged: map[*document.Tree][]document.Pair{}, inner: map[*document.Tree]*document.Nested{}, registries: map[*document.Tree]bool{}, left: maxAliased}
	f.value(root, key{})
	if f.left < 0 {
		return Inventory{}, s.Problem(root.At, errTooMany)
	}
	return Inventory{f.found, f.redis}, nil
}

// value walks into t; k is its field.
func (f *finder) value(t *document.Tree, k key) {
	f.follow(t, func(resolved *document.Tree) {
		before := f.key
		defer func() { f.key = before }()
		f.key = k
		switch resolved.Kind {
		case document.Scalar:
			f.scalar(t)
		case document.Mapping:
			f.mapping(resolved, k)
		case document.Sequence:
			f.sequence(resolved, k)
		}
	})
}

func (f *finder) scalar(t *document.Tree) {
	if !f.nested(t) {
		f.decide(t, 0)
	}
}

// sequence walks into the items of a list. A list of names with values is read like the variables
// of a container: the name is the field of the value.
func (f *finder) sequence(t *document.Tree, k key) {
	k.item = true
	claimed := f.parameters(t)
	for i, item := range t.Items {
		f.step(itemStep(i), func() {
			fields := f.fields(item)
			name, value := document.Get(fields, "name"), document.Get(fields, "value")
			if !name.IsString() || !value.IsString() {
				f.value(item, k)
				return
			}
			f.follow(item, func(item *document.Tree) {
				f.with(item, func(fields []document.Pair) {
					for _, p := range fields {
						f.step(fieldStep(p.Name.Word()), func() {
							switch {
							case claimed[p.Value]:
							case p.Value == value:
								f.value(value, keyOf(name.Word(), k))
							default:
								f.field(p.Name.Word(), p.Value, k)
							}
						})
					}
				})
			})
		})
	}
}

// follow visits t, or the target if t is an alias, unless the walk is already inside of it or the
// limit of aliased values is reached.
func (f *finder) follow(t *document.Tree, visit func(*document.Tree)) {
	if t == nil {
		return
	}
	if t.Kind == document.Alias {
		f.aliased++
		defer func() { f.aliased-- }()
	}
	if f.aliased > 0 {
		f.left--
	}
	if t = t.Resolve(); t == nil || f.left < 0 || f.open[t] {
		return
	}
	if t.Anchor != "" {
		f.open[t] = true
		defer delete(f.open, t)
	}
	visit(t)
}

// each visits the mappings of a sequence, and walks into its other items.
func (f *finder) each(list *document.Tree, visit func(fields []document.Pair)) {
	f.follow(list, func(list *document.Tree) {
		for i, item := range list.Items {
			f.step(itemStep(i), func() {
				if resolved := item.Resolve(); resolved == nil || resolved.Kind != document.Mapping {
					f.value(item, key{name: f.key.name, item: true})
					return
				}
				f.follow(item, func(t *document.Tree) { f.with(t, visit) })
			})
		}
	})
}

// with visits the fields of a mapping. Merged fields count as aliased.
func (f *finder) with(t *document.Tree, visit func(fields []document.Pair)) {
	fields := f.fields(t)
	if slices.ContainsFunc(t.Pairs, isMerge) {
		f.aliased++
		defer func() { f.aliased-- }()
	}
	visit(fields)
}

// step walks one step down the path.
func (f *finder) step(step string, walk func()) {
	f.path = append(f.path, step)
	walk()
	f.path = f.path[:len(f.path)-1]
}

// within walks with a copy of the scope, changed by change.
func (f *finder) within(change func(*scope), walk func()) {
	before := f.scope
	defer func() { f.scope = before }()
	change(&f.scope)
	walk()
}

func (f *finder) mapping(t *document.Tree, k key) {
	f.with(t, func(fields []document.Pair) {
		if isSchema(fields) {
			f.schema(t, k)
			return
		}
		f.within(func(*scope) {}, func() {
			isObject := f.isObject(t, fields)
			if isObject {
				f.object, f.path, f.pod, f.around, f.root = f.objectOf(fields), nil, nil, nil, t
				f.patterns = f.object.holdsPatterns()
				if f.object.isReport() {
					return
				}
				if f.object.kind == redisKind {
					f.redis = append(f.redis, f.place(f.src.Place(t.At), ""))
				}
			}
			f.pod = f.podOf(t, fields, k.name)
			f.inContainer, f.node = isContainer(fields), t
			f.around = append(f.around[:len(f.around):len(f.around)], fields)
			claimed := f.imagesOf(fields, k)
			for _, p := range fields {
				if p.Value != nil && claimed[p.Value] {
					continue
				}
				name := p.Name.Word()
				f.step(fieldStep(name), func() {
					if isObject {
						f.objectField(name, p.Value)
					} else {
						f.field(name, p.Value, k)
					}
				})
			}
		})
	})
}

func isSequence(t *document.Tree) bool {
	t = t.Resolve()
	return t != nil && t.Kind == document.Sequence
}

func itemStep(i int) string { return "[" + strconv.Itoa(i) + "]" }

func fieldStep(name string) string {
	if name == "" || strings.ContainsAny(name, ".[]\"/ ") {
		return "[" + strconv.Quote(name) + "]"
	}
	return "." + name
}

// placeHere is the place of t on the current path.
func (f *finder) placeHere(t *document.Tree, use place.Use) place.Place {
	return f.place(f.src.Place(t.At), use)
}

// placeAt is the place of a part of a scalar's text on the current path.
func (f *finder) placeAt(t *document.Tree, from int, use place.Use) place.Place {
	return f.place(f.src.PlaceOf(t, from), use)
}

func (f *finder) place(p place.Place, use place.Use) place.Place {
	p.Kind, p.Namespace, p.Name = f.object.kind, f.object.namespace, f.object.name
	p.Container = f.container
	p.Field = strings.TrimPrefix(strings.Join(f.path, ""), ".")
	p.Use = use
	return p
}

// add adds an image, or the reason why it is none.
func (f *finder) add(x Occurrence, text string) {
	x.Source, x.Pod, x.Text, x.Note = f.src, f.pod, text, f.annotations
	x.Ref, x.Err = reference.Parse(text)
	switch {
	case x.Err == nil && x.Place.Use == place.UseContainer && text == "auto":
		x.Ref, x.Err = reference.Reference{}, fmt.Errorf("image %q: is a placeholder that Istio replaces when the pod starts", text)
	case x.Unknown != nil:
		x.Err = fmt.Errorf("%s: %w", reference.Quote(text), x.Unknown)
	}
	f.found = append(f.found, x)
}

// unresolved marks the last added image as one whose reference is not known.
func (f *finder) unresolved(reason error) {
	f.fail(reason)
	f.found[len(f.found)-1].Ref = reference.Reference{}
}

// fail gives the last added image an error. Its reference stays, since its origin is known.
func (f *finder) fail(reason error) {
	if x := &f.found[len(f.found)-1]; x.Err == nil {
		x.Err = fmt.Errorf("image %s: %w", reference.Quote(x.Text), reason)
	}
}
