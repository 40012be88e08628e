package inventory

import (
	"strings"

	"github.com/berth-registry/berth/images/document"
	"github.com/berth-registry/berth/images/place"
)

// objectField walks into a field of an object itself.
func (f *finder) objectField(name string, t *document.Tree) {
	switch {
	case name == "status":
		// Observed state; not a use of an image.
	case name == "metadata":
		f.with(mappingOf(t), func(fields []document.Pair) {
			f.step(".annotations", func() { f.annotated(document.Get(fields, "annotations")) })
		})
	case name == "data" && f.object.kind == "ConfigMap" && f.object.apiVersion == "v1", name == "stringData" && f.object.kind == "Secret":
		f.within(func(s *scope) { s.use = place.UseData }, func() { f.field(name, t, key{}) })
	case name == "data" && f.object.kind == "Secret" && f.object.apiVersion == "v1", name == "binaryData":
		// Base64.
	case f.object.kind == "ImageConfig" && (name == "types" || name == "defaults"):
		f.value(t, key{name: name, says: saysInside}) // K8ssandra's cass-operator
	default:
		f.field(name, t, key{})
	}
}

var emptyMapping = &document.Tree{Kind: document.Mapping}

// mappingOf is t if it is a mapping, or an empty mapping.
func mappingOf(t *document.Tree) *document.Tree {
	if t = t.Resolve(); t != nil && t.Kind == document.Mapping {
		return t
	}
	return emptyMapping
}

// annotated walks into annotations: their names count as names of fields; copies of the object and
// examples are skipped.
func (f *finder) annotated(t *document.Tree) {
	f.within(func(s *scope) { s.annotations = true }, func() {
		f.follow(t, func(t *document.Tree) {
			f.with(t, func(fields []document.Pair) {
				for _, p := range fields {
					name := p.Name.Word()
					if isCopy(name) {
						continue
					}
					f.step(fieldStep(name), func() { f.value(p.Value, keyOf(name, key{})) })
				}
			})
		})
	})
}

// isCopy recognises annotations that hold a copy of the object as it was applied, or examples.
func isCopy(name string) bool {
	name = name[strings.LastIndexByte(name, '/')+1:]
	return strings.Contains(name, "last-applied") || name == "applied" || name == "alm-examples" || name == "initialization-resource"
}

func (f *finder) field(name string, t *document.Tree, outer key) {
	switch name {
	case "openAPIV3Schema":
		f.schema(t, key{})
		return
	case "annotations":
		if m := t.Resolve(); m != nil && m.Kind == document.Mapping {
			f.annotated(t)
			return
		}
	case "rbd":
		return // image is a block device of Ceph
	case "managedFields":
		return
	case "env", "environment":
		if m := t.Resolve(); m != nil && m.Kind == document.Mapping {
			f.within(func(s *scope) { s.use = place.UseEnv }, func() { f.value(t, keyOf(name, outer)) })
			return
		}
	case "system_images":
		if m := t.Resolve(); m != nil && m.Kind == document.Mapping {
			f.systemImages(t)
			return
		}
	}
	if isSequence(t) && !f.patterns {
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
	if k.says >= saysEnds && f.template(t, place.UseField) {
		return
	}
	f.value(t, k)
}

// isContainer recognises the spec of a container outside of a pod by fields that only containers
// have.
func isContainer(fields []document.Pair) bool {
	for _, name := range []string{"command", "args", "script", "volumeMounts", "workingDir"} {
		if document.Get(fields, name) != nil {
			return true
		}
	}
	return false
}
