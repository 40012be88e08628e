package inventory

import (
	"strings"

	"github.com/berth-registry/berth/images/document"
)

// prefixed finds images in parts whose fields have a common prefix: sidecarImage and
// sidecarImageTag, image.repository and image.tag.
func (f *finder) prefixed(fields []document.Pair, taken claims) {
	for _, p := range fields {
		name, text := p.Name.Word(), p.Value.Word()
		if taken[p.Value] || !p.Value.IsString() || text == "" || len(name) < len("xImage") {
			continue
		}
		if found := f.dotted(fields, name, p.Value); found != nil {
			f.step(fieldStep(name), func() { f.inParts(found, taken) })
			continue
		}
		l := lookOf(text)
		if l != lookPath && l != lookHostPath && l != lookBare || keyOf(name, key{}).says != saysEnds {
			continue
		}
		found := &Parts{Repository: p.Value, Tag: firstWord(besideOf(fields, name, "tag"), besideOf(fields, name, "version"), besideOf(fields, trimImage(name), "tag"))}
		version := besideOf(fields, trimImage(name), "version")
		if name == "baseImage" {
			version = document.Get(fields, "version")
		}
		if found.Tag.Word() != "" || version.Word() != "" && l != lookBare {
			f.step(fieldStep(name), func() { f.inParts(found, taken) })
		}
	}
}

// dotted returns the image whose repository is in this field; the fields of its tag and registry
// have the same prefix.
func (f *finder) dotted(fields []document.Pair, name string, repository *document.Tree) *Parts {
	prefix, separator, ok := cutField(name, "repository")
	if !ok || lookOf(repository.Word()) == lookNone {
		return nil
	}
	beside := func(last string) *document.Tree {
		if separator != "" {
			return document.Get(fields, prefix+separator+last)
		}
		return besideOf(fields, prefix, last)
	}
	p := &Parts{Repository: repository, Registry: beside("registry"), Tag: beside("tag"), Digest: beside("digest")}
	if !keyOf(name, key{}).about && p.Tag == nil {
		return nil
	}
	return p
}

// parameters finds images in parts in a list of names with values, as the parameters of a chart in
// Argo CD.
func (f *finder) parameters(list *document.Tree) claims {
	taken := claims{}
	var fields []document.Pair
	items := map[*document.Tree]int{}
	for i, item := range list.Items {
		name, value := document.Get(f.fields(item), "name"), document.Get(f.fields(item), "value")
		if name.IsString() && value.IsString() && strings.Contains(name.Word(), ".") {
			fields = append(fields, document.Pair{Name: name.Resolve(), Value: value})
			items[value] = i
		}
	}
	for _, p := range fields {
		if found := f.dotted(fields, p.Name.Word(), p.Value); found != nil {
			f.step(itemStep(items[p.Value]), func() { f.step(".value", func() { f.inParts(found, taken) }) })
		}
	}
	return taken
}

// cutField cuts a last word off the name of a field: imageRepository, image_repository,
// image.repository.
func cutField(name, last string) (prefix, separator string, ok bool) {
	for _, separator := range []string{"_", "-", "."} {
		if prefix, ok := strings.CutSuffix(name, separator+last); ok {
			return prefix, separator, prefix != ""
		}
	}
	prefix, ok = strings.CutSuffix(name, strings.ToUpper(last[:1])+last[1:])
	return prefix, "", ok && prefix != ""
}

func trimImage(name string) string {
	for _, word := range []string{"Image", "_image", "-image", "_IMAGE"} {
		if prefix, ok := strings.CutSuffix(name, word); ok {
			return prefix
		}
	}
	return "\x00" // no field has this name
}

// besideOf returns the field with that prefix and last word.
func besideOf(fields []document.Pair, prefix, last string) *document.Tree {
	return firstOf(fields, prefix+strings.ToUpper(last[:1])+last[1:], prefix+"_"+last, prefix+"-"+last)
}
