package inventory

import (
	"errors"
	"strings"

	"github.com/berth-registry/berth/images/document"
	"github.com/berth-registry/berth/images/place"
	"github.com/berth-registry/berth/images/reference"
)

// Parts is an image in several fields. Only Repository is never nil.
type Parts struct {
	Registry, Repository *document.Tree
	Image                *document.Tree // last part of the path
	Tag, Digest          *document.Tree
	// Lacks is the mapping in which a registry has to be added, because its reader otherwise puts
	// another registry before the repository; nil if none has to.
	Lacks *document.Tree
}

// errUntagged is the error of an image that has a repository and no tag.
var errUntagged = errors.New("has no tag here; an operator or a chart chooses it (helm template shows that of a chart)")

// errPartial is the error of a name that is only a part of a reference.
var errPartial = errors.New("is a part of an image, and its registry or tag is not here; write them beside it, or add the image to a --plain list")

// errRegistryNearby is the error of an image without a registry while a field beside it or around
// it names one.
var errRegistryNearby = errors.New("has no registry, and one is named beside it or around it; write it in full, or add the image to a --plain list")

// errGlobal is the error of an image whose registry may be replaced by a global one.
var errGlobal = errors.New("global.imageRegistry may replace its registry; use the output of helm template")

// claims are the values that a rule has taken; no other rule decides about them.
type claims map[*document.Tree]bool

func (c claims) add(values ...*document.Tree) {
	for _, t := range values {
		if t != nil {
			c[t] = true
		}
	}
}

func (c claims) parts(p *Parts) { c.add(p.Registry, p.Repository, p.Image, p.Tag, p.Digest) }

// imagesOf finds the images that the fields of one mapping make together. k is the field of the
// mapping.
func (f *finder) imagesOf(fields []document.Pair, k key) claims {
	taken := claims{}
	if f.patterns {
		return taken
	}
	if document.Get(fields, "kind").Word() == "DockerImage" { // OpenShift's reference to an image
		f.whole(document.Get(fields, "name"), "name", taken)
	}
	if !f.inRepository(fields, k, taken) {
		f.beside(fields, k, taken)
	}
	f.prefixed(fields, taken)
	return taken
}

// whole adds a value that is an image whatever its form.
func (f *finder) whole(t *document.Tree, name string, taken claims) {
	if text := t.Word(); t.IsString() && text != "" {
		taken.add(t)
		f.step(fieldStep(name), func() {
			f.add(Occurrence{Place: f.placeHere(t, place.UseField), Whole: t, Span: document.Span{Start: 0, End: len(text)}}, text)
		})
	}
}

// inRepository finds a repository with a tag beside it, in something called image, or with an image
// or a name beside it.
func (f *finder) inRepository(fields []document.Pair, k key, taken claims) bool {
	p := &Parts{
		Repository: firstOf(fields, "repository", "imageRepository"), Image: document.Get(fields, "image"),
		Registry: registryOf(fields), Tag: tagOf(fields), Digest: digestIn(fields, k),
	}
	if k.about && p.Repository == nil {
		p.Repository = document.Get(fields, "repo")
	}
	text := p.Repository.Word()
	if !p.Repository.IsString() || text == "" || strings.Contains(text, "://") {
		return false
	}
	if image := p.Image.Word(); image != "" && (lookOf(image) == lookFull || !p.Image.IsString()) {
		p.Image = nil // complete by itself
	}
	if p.Image.Word() != "" && p.Tag.Word() == "" {
		p.Tag = firstOf(fields, "version")
	}
	if name := document.Get(fields, "name"); p.Image.Word() == "" && f.isLastPart(name, p, k) {
		p.Image = name
		if p.Registry == nil && f.hasRegistryField() {
			if p.Registry = f.defaultRegistry(); p.Registry == nil {
				p.Lacks = f.node
			}
		}
	}
	inImage := k.about || k.says != saysNothing && p.Image.Word()+p.Registry.Word() != "" || p.Image.Word() != "" || document.Get(fields, "imageRepository") != nil
	if !inImage && p.Tag == nil && p.Digest == nil {
		return false
	}
	if p.Tag.Word() == "" && p.Image.Word() != "" {
		p.Tag = firstWord(p.Tag, f.global("version"))
	}
	global := f.global("imageRegistry")
	if global != nil && p.Registry.Word() == "" && lookOf(text) < lookHostPath {
		p.Registry, p.Lacks, global = global, nil, nil
	}
	f.inParts(p, taken)
	if global != nil && global.Word() != p.Registry.Word() {
		f.unresolved(errGlobal)
	}
	return true
}

// hasRegistryField reports whether images of this object have a field for the registry, with a
// default if it is missing: those of K8ssandra, and those of an object in which one image shows
// such a field.
// https://docs.k8ssandra.io/reference/crd/k8ssandra-operator-crds-latest/
func (f *finder) hasRegistryField() bool {
	group := f.object.group()
	if strings.HasSuffix(group, "k8ssandra.io") || strings.HasSuffix(group, "datastax.com") {
		return true
	}
	found, ok := f.registries[f.root]
	if !ok {
		document.Walk(f.root, func(t *document.Tree) {
			found = found || document.Get(t.Pairs, "registry") != nil && document.Get(t.Pairs, "repository") != nil && document.Get(t.Pairs, "name") != nil
		})
		f.registries[f.root] = found
	}
	return found
}

// defaultRegistry is the registry that such an object gives as the default for its images.
func (f *finder) defaultRegistry() *document.Tree {
	for _, fields := range f.around {
		if t := document.Get(f.fields(document.Get(fields, "defaults")), "registry"); t.Word() != "" {
			return t
		}
	}
	return nil
}

// isLastPart reports whether the name beside a repository is the last part of the path, as in
// {repository: acme, name: app}, and neither the name of a list item nor a repetition of the last
// part.
func (f *finder) isLastPart(name *document.Tree, p *Parts, k key) bool {
	text := name.Word()
	switch {
	case !name.IsString() || text == "" || strings.ContainsAny(text, "/:@"):
		return false
	case p.Registry.Word() != "" || k.says == saysInside && f.hasRegistryField():
		return k.about || k.says != saysNothing
	}
	return k.about && !k.item && !strings.HasSuffix(p.Repository.Word(), "/"+text)
}

// inParts adds an image in parts.
func (f *finder) inParts(p *Parts, taken claims) {
	taken.parts(p)
	text, tagged := p.compose()
	f.add(Occurrence{Place: f.placeHere(p.Repository, place.UseField), Parts: p}, text)
	if !tagged {
		f.fail(errUntagged)
	}
}

// beside finds an image or a name without a repository: with a tag or a registry beside it, or with
// global values for all images of the object.
func (f *finder) beside(fields []document.Pair, k key, taken claims) {
	name, t := "image", document.Get(fields, "image")
	if t == nil {
		name, t = "imageName", document.Get(fields, "imageName")
	}
	if t == nil && k.about {
		name, t = "name", document.Get(fields, "name")
	}
	l := lookOf(t.Word())
	if !t.IsString() || l == lookNone || l == lookFull {
		return
	}
	p := &Parts{Repository: t, Registry: registryOf(fields), Tag: tagOf(fields), Digest: digestIn(fields, k)}
	hasRegistry := p.Registry.Word() != ""
	switch l {
	case lookPathTag, lookNameTag:
		if !hasRegistry {
			return // one value: decide handles it
		}
	case lookHostPath:
		p.Registry, hasRegistry = nil, false
	case lookBare:
		if !hasRegistry {
			f.bare(name, p, fields, taken)
			return
		}
	}
	_, complete := p.compose()
	if !complete && !hasRegistry && document.Get(fields, "version").Word() == "" && (name != "name" || l != lookHostPath) {
		return // one value
	}
	f.step(fieldStep(name), func() { f.inParts(p, taken) })
}

// bare finds a name without a registry. Global values complete it; if another registry is named and
// they do not, the name alone is no image.
func (f *finder) bare(name string, p *Parts, fields []document.Pair, taken claims) {
	version := document.Get(fields, "version")
	_, tagged := p.compose()
	if repository := f.global("repository"); repository != nil && name != "name" {
		p = &Parts{Repository: repository, Image: p.Repository, Tag: firstWord(p.Tag, version, f.global("version")), Digest: p.Digest}
		f.step(fieldStep(name), func() { f.inParts(p, taken) })
		return
	}
	switch elsewhere := version != nil || name == "name" || !tagged && p.Tag != nil || f.saysRegistry(fields); {
	case !elsewhere && tagged: // image: nginx, tag: 1.27
		f.step(fieldStep(name), func() { f.inParts(p, taken) })
		return
	case !elsewhere, name == "name" && !tagged: // the name of something else
		return
	}
	taken.add(p.Repository)
	if document.Get(fields, "enabled").Word() == "false" {
		return
	}
	text := p.Repository.Word()
	f.step(fieldStep(name), func() {
		f.add(Occurrence{Place: f.placeHere(p.Repository, place.UseField), Whole: p.Repository, Span: document.Span{Start: 0, End: len(text)}}, text)
	})
	f.unresolved(errPartial)
}

// registryAround returns a registry that the object names for its images and that is not part of
// one of them.
func (f *finder) registryAround() *document.Tree {
	for _, name := range []string{"imageRegistry", "registry"} {
		t := f.global(name)
		for i := len(f.around) - 1; i >= 0 && t == nil; i-- {
			if own := document.Get(f.around[i], name); own.IsString() && own.Word() != "" && !strings.Contains(own.Word(), "://") {
				t = own
			}
		}
		if t != nil {
			return t
		}
	}
	return nil
}

// saysRegistry reports whether these fields, or those of a mapping around them, name a registry.
func (f *finder) saysRegistry(fields []document.Pair) bool {
	for _, name := range []string{"repository", "registry", "imageRepository", "imageRegistry"} {
		if document.Get(fields, name) != nil || f.enclosing(name) != nil || f.global(name) != nil {
			return true
		}
	}
	return false
}

// enclosing returns the field of that name of the nearest mapping around this one.
func (f *finder) enclosing(name string) *document.Tree {
	for i := len(f.around) - 2; i >= 0; i-- {
		if t := document.Get(f.around[i], name); t.Word() != "" {
			return t
		}
	}
	return nil
}

// global returns a field of the object's global values.
func (f *finder) global(name string) *document.Tree {
	for i := len(f.around) - 1; i >= 0; i-- {
		if t := document.Get(f.fields(document.Get(f.around[i], "global")), name); t.Word() != "" {
			return t
		}
	}
	return nil
}

// compose joins the parts, and reports whether there is a tag or digest.
func (p *Parts) compose() (text string, tagged bool) {
	text = p.Repository.Word()
	if registry := p.Registry.Word(); registry != "" {
		text = strings.TrimSuffix(registry, "/") + "/" + text
	}
	if image := p.Image.Word(); image != "" {
		text = strings.TrimSuffix(text, "/") + "/" + image
	}
	tagged = reference.HasSuffix(text)
	if tag := p.Tag.Word(); tag != "" && !tagged {
		separator := ":"
		if strings.HasPrefix(tag, "sha256:") {
			separator = "@"
		}
		text, tagged = text+separator+tag, true
	}
	if digest := p.Digest.Word(); digest != "" && !strings.Contains(text, "@") {
		if !strings.Contains(digest, ":") {
			digest = "sha256:" + digest
		}
		text, tagged = text+"@"+digest, true
	}
	return text, tagged
}

func registryOf(fields []document.Pair) *document.Tree {
	return firstOf(fields, "registry", "imageRegistry")
}

func tagOf(fields []document.Pair) *document.Tree {
	return firstOf(fields, "versionTag", "tag", "imageTag")
}

// digestIn returns the digest of an image in parts, unless useDigest is false.
func digestIn(fields []document.Pair, k key) *document.Tree {
	if document.Get(fields, "useDigest").Word() == "false" {
		return nil
	}
	if k.about {
		return firstOf(fields, "digest", "imageDigest", "sha")
	}
	return firstOf(fields, "digest", "imageDigest")
}

func firstOf(fields []document.Pair, names ...string) *document.Tree {
	all := make([]*document.Tree, len(names))
	for i, name := range names {
		all[i] = document.Get(fields, name)
	}
	return firstWord(all...)
}

// firstWord returns the first value that is not empty, or else the first that is not nil.
func firstWord(all ...*document.Tree) *document.Tree {
	var found *document.Tree
	for _, t := range all {
		if t != nil && (found == nil || found.Word() == "") {
			found = t
		}
	}
	return found
}
