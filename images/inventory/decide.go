package inventory

import (
	"errors"
	"strings"

	"github.com/berth-registry/berth/images/document"
	"github.com/berth-registry/berth/images/place"
	"github.com/berth-registry/berth/images/reference"
)

// The decision table: by the form of a value (rows) and by the name of its field (columns). Values
// that a rule for their object has taken (a container, an image in parts, a kustomization) are not
// decided here.
//
//	             image      ends in image   env, args, ConfigMap   others
//	full         image      image           image                  named
//	host/path    image      image           -                      -
//	path:tag     image      image           -                      -
//	name:tag     image      image           -                      -
//	path         image      named           -                      -
//	name         named      -               -                      -
//
// Named means: it has the form of an image, and is reported instead of being listed or left out in
// silence. The third column holds for a value with several parts only if all parts are references;
// a command line with one reference in it is named.

// errUnknownPlace and errBareName are the reasons for naming a value.
var (
	errUnknownPlace = errors.New("looks like an image, but this field is not known to hold one; " +
		"add it to a --plain list if it is one, or accept all of these with --allow-unknown")
	errBareName = errors.New("has neither a registry nor a tag here, so it may be no image; " +
		"add it to a --plain list if it is one, or accept all of these with --allow-unknown")
)

// decide looks at the text of a scalar, from an offset on, and adds the images in it and what has
// the form of one. In an annotation only a complete reference counts.
func (f *finder) decide(t *document.Tree, from int) {
	text := t.Word()
	if !t.IsString() || len(text) <= from {
		return
	}
	k := f.key
	if f.patterns {
		k.says = saysNothing
	}
	if k.says == saysNothing && (!strings.Contains(text, "/") || !strings.ContainsAny(text, ":@")) {
		return // a complete reference has both
	}
	if k.says >= saysEnds && reference.IsPlaceholder(text[from:]) {
		f.add(Occurrence{Place: f.placeHere(t, f.useOr(place.UseField)), Whole: t, Span: document.Span{Start: from, End: len(text)}}, text[from:])
		return
	}
	all := mentions(text[from:])
	whole := valueParts{alone: len(all) == 1, weakest: lookFull}
	for i := range all {
		all[i].Start += from
		all[i].End += from
		whole.weakest = min(whole.weakest, all[i].look)
		whole.anyFull = whole.anyFull || all[i].look == lookFull
	}
	for _, m := range all {
		use := f.useOr(place.UseField)
		switch f.classify(k, m.look, whole) {
		case isImage:
			f.add(Occurrence{Place: f.placeAt(t, m.Start, use), Whole: t, Span: m.Span}, text[m.Start:m.End])
			if m.look < lookHostPath && f.use == "" && !f.inContainer && f.registryAround() != nil {
				f.unresolved(errRegistryNearby)
			}
		case looksLike:
			reason := errUnknownPlace
			if m.look == lookBare {
				reason = errBareName
			}
			f.add(Occurrence{Place: f.placeAt(t, m.Start, use), Whole: t, Span: m.Span, Unknown: reason}, text[m.Start:m.End])
		}
	}
}

// class is a decision.
type class uint8

const (
	noImage class = iota
	isImage
	looksLike
)

// valueParts describes all parts of a value together.
type valueParts struct {
	alone   bool // there is one part
	anyFull bool // some part is a complete reference
	weakest look // the least complete part
}

// classify looks up the table.
func (f *finder) classify(k key, l look, whole valueParts) class {
	if f.annotations && l != lookFull {
		return noImage
	}
	byLooks := f.use != "" && !f.patterns && whole.anyFull && whole.weakest >= lookPathTag
	switch {
	case l == lookNone:
		return noImage
	case byLooks, l == lookFull && k.says != saysNothing:
		return isImage
	case l == lookFull:
		return looksLike
	case k.says == saysNothing:
		return noImage
	}
	switch l {
	case lookHostPath, lookPathTag, lookNameTag:
		if whole.weakest >= lookNameTag && (l != lookHostPath || k.says >= saysEnds) {
			return isImage
		}
	case lookPath:
		if whole.alone && k.says == saysImage {
			return isImage
		}
		if whole.alone && k.says == saysEnds && !k.item {
			return looksLike
		}
	case lookBare:
		if whole.alone && k.says == saysImage && f.inContainer {
			return isImage
		}
		if whole.alone && k.says == saysImage && f.use == "" && !k.item {
			return looksLike
		}
	}
	return noImage
}

// useOr is the use of a value that is decided here: use if the name of the field says image;
// variables and arguments keep their own use whatever their name, because they are rewritten only
// on request.
func (f *finder) useOr(use place.Use) place.Use {
	if f.use == "" || f.use == place.UseData && f.key.says >= saysEnds {
		return use
	}
	return f.use
}
