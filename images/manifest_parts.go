package images

import (
	"errors"
	"strings"
)

// parts is an image that is spread over fields. Only repository is never nil.
type parts struct {
	registry, repository *tree
	image                *tree // the last part of the path
	tag, digest          *tree
	// lacks is the mapping that a registry has to be added to, because what
	// reads it puts one of its own before the repository; nil if none has to.
	lacks *tree
}

// errUntagged is the error of an image whose repository is known.
var errUntagged = errors.New("has no tag here, somebody else chooses it: an operator, or a chart (helm template shows what)")

// errElsewhere is the error of a name that is no reference by itself.
var errElsewhere = errors.New("is a part of an image, and its registry or tag is not here; write them beside it, or add the image to a --plain list")

// errAround is the error of an image without a registry beside or below which one
// is named.
var errAround = errors.New("has no registry, and one is named beside it or around it; write it in full, or add the image to a --plain list")

// errGlobal is the error of an image whose registry something else may replace.
var errGlobal = errors.New("global.imageRegistry may take the place of its registry; read what helm template prints")

// claims are the values that a rule has taken, so that nothing else decides
// about them.
type claims map[*tree]bool

func (c claims) add(values ...*tree) {
	for _, t := range values {
		if t != nil {
			c[t] = true
		}
	}
}

func (c claims) parts(p *parts) { c.add(p.registry, p.repository, p.image, p.tag, p.digest) }

// imagesOf finds what the fields of one mapping say together about an image. k
// is the name of the mapping itself.
func (f *finder) imagesOf(fields []pair, k key) claims {
	taken := claims{}
	if f.none {
		return taken
	}
	if get(fields, "kind").word() == "DockerImage" { // OpenShift's reference to an image
		f.whole(get(fields, "name"), "name", taken)
	}
	if !f.inRepository(fields, k, taken) {
		f.beside(fields, k, taken)
	}
	f.prefixed(fields, taken)
	return taken
}

// whole notes a value that is an image, whatever it looks like.
func (f *finder) whole(t *tree, name string, taken claims) {
	if text := t.word(); t.isString() && text != "" {
		taken.add(t)
		f.at(step(name), func() {
			f.add(finding{place: f.here(t, UseField), whole: t, span: span{0, len(text)}}, text)
		})
	}
}

// inRepository finds repository with a tag beside it, or in something called
// image, or with an image or a name beside it.
func (f *finder) inRepository(fields []pair, k key, taken claims) bool {
	p := &parts{
		repository: firstOf(fields, "repository", "imageRepository"), image: get(fields, "image"),
		registry: registryOf(fields), tag: tagOf(fields), digest: digestIn(fields, k),
	}
	if k.about && p.repository == nil {
		p.repository = get(fields, "repo")
	}
	text := p.repository.word()
	if !p.repository.isString() || text == "" || strings.Contains(text, "://") {
		return false
	}
	if image := p.image.word(); image != "" && (lookOf(image) == lookFull || !p.image.isString()) {
		p.image = nil // complete by itself
	}
	if p.image.word() != "" && p.tag.word() == "" {
		p.tag = firstOf(fields, "version")
	}
	if name := get(fields, "name"); p.image.word() == "" && f.isLastPart(name, p, k) {
		p.image = name
		if p.registry == nil && f.hasRegistryField() {
			if p.registry = f.defaultRegistry(); p.registry == nil {
				p.lacks = f.node
			}
		}
	}
	inImage := k.about || k.says != saysNothing && p.image.word()+p.registry.word() != "" || p.image.word() != "" || get(fields, "imageRepository") != nil
	if !inImage && p.tag == nil && p.digest == nil {
		return false
	}
	if p.tag.word() == "" && p.image.word() != "" {
		p.tag = firstWord(p.tag, f.global("version"))
	}
	global := f.global("imageRegistry")
	if global != nil && p.registry.word() == "" && lookOf(text) < lookHostPath {
		p.registry, p.lacks, global = global, nil, nil
	}
	f.inParts(p, taken)
	if global != nil && global.word() != p.registry.word() {
		f.unresolved(errGlobal)
	}
	return true
}

// hasRegistryField reports whether the images of this object have a field for
// their registry, which is another one where it is left out: K8ssandra's have, and
// so have those beside one that shows it.
// https://docs.k8ssandra.io/reference/crd/k8ssandra-operator-crds-latest/
func (f *finder) hasRegistryField() bool {
	group := f.object.group()
	if strings.HasSuffix(group, "k8ssandra.io") || strings.HasSuffix(group, "datastax.com") {
		return true
	}
	found, ok := f.registries[f.root]
	if !ok {
		walk(f.root, func(t *tree) {
			found = found || get(t.pairs, "registry") != nil && get(t.pairs, "repository") != nil && get(t.pairs, "name") != nil
		})
		f.registries[f.root] = found
	}
	return found
}

// defaultRegistry is what such an object says about images without one.
func (f *finder) defaultRegistry() *tree {
	for _, fields := range f.around {
		if t := get(f.fields(get(fields, "defaults")), "registry"); t.word() != "" {
			return t
		}
	}
	return nil
}

// isLastPart reports whether the name beside a repository is the last part of
// the path, {repository: acme, name: app}, and not what an item of a list is
// called, or the last part once more.
func (f *finder) isLastPart(name *tree, p *parts, k key) bool {
	text := name.word()
	switch {
	case !name.isString() || text == "" || strings.ContainsAny(text, "/:@"):
		return false
	case p.registry.word() != "" || k.says == saysInside && f.hasRegistryField():
		return k.about || k.says != saysNothing
	}
	return k.about && !k.item && !strings.HasSuffix(p.repository.word(), "/"+text)
}

// inParts notes an image in parts.
func (f *finder) inParts(p *parts, taken claims) {
	taken.parts(p)
	text, tagged := p.compose()
	f.add(finding{place: f.here(p.repository, UseField), parts: p}, text)
	if !tagged {
		f.fail(errUntagged)
	}
}

// beside finds an image or a name without a repository beside it: with a tag or
// a registry there, or with what global says about all images of the object.
func (f *finder) beside(fields []pair, k key, taken claims) {
	name, t := "image", get(fields, "image")
	if t == nil {
		name, t = "imageName", get(fields, "imageName")
	}
	if t == nil && k.about {
		name, t = "name", get(fields, "name")
	}
	l := lookOf(t.word())
	if !t.isString() || l == lookNone || l == lookFull {
		return
	}
	p := &parts{repository: t, registry: registryOf(fields), tag: tagOf(fields), digest: digestIn(fields, k)}
	hasRegistry := p.registry.word() != ""
	switch l {
	case lookPathTag, lookNameTag:
		if !hasRegistry {
			return // one value: decide knows
		}
	case lookHostPath:
		p.registry, hasRegistry = nil, false
	case lookBare:
		if !hasRegistry {
			f.bare(name, p, fields, taken)
			return
		}
	}
	_, complete := p.compose()
	if !complete && !hasRegistry && get(fields, "version").word() == "" && (name != "name" || l != lookHostPath) {
		return // one value
	}
	f.at(step(name), func() { f.inParts(p, taken) })
}

// bare finds a name without a registry in it or beside it. What global says
// completes it; where something says of another registry and does not, the name
// is no image by itself.
func (f *finder) bare(name string, p *parts, fields []pair, taken claims) {
	version := get(fields, "version")
	_, tagged := p.compose()
	if repository := f.global("repository"); repository != nil && name != "name" {
		p = &parts{repository: repository, image: p.repository, tag: firstWord(p.tag, version, f.global("version")), digest: p.digest}
		f.at(step(name), func() { f.inParts(p, taken) })
		return
	}
	switch elsewhere := version != nil || name == "name" || !tagged && p.tag != nil || f.saysRegistry(fields); {
	case !elsewhere && tagged: // image: nginx, tag: 1.27
		f.at(step(name), func() { f.inParts(p, taken) })
		return
	case !elsewhere, name == "name" && !tagged: // the name of a thing
		return
	}
	taken.add(p.repository)
	if get(fields, "enabled").word() == "false" {
		return
	}
	text := p.repository.word()
	f.at(step(name), func() {
		f.add(finding{place: f.here(p.repository, UseField), whole: p.repository, span: span{0, len(text)}}, text)
	})
	f.unresolved(errElsewhere)
}

// registryAround gives a registry that the object names for its images, where
// that is not a part of one of them.
func (f *finder) registryAround() *tree {
	for _, name := range []string{"imageRegistry", "registry"} {
		t := f.global(name)
		for i := len(f.around) - 1; i >= 0 && t == nil; i-- {
			if own := get(f.around[i], name); own.isString() && own.word() != "" && !strings.Contains(own.word(), "://") {
				t = own
			}
		}
		if t != nil {
			return t
		}
	}
	return nil
}

// saysRegistry reports whether these fields, or those of a mapping around them,
// say of a registry.
func (f *finder) saysRegistry(fields []pair) bool {
	for _, name := range []string{"repository", "registry", "imageRepository", "imageRegistry"} {
		if get(fields, name) != nil || f.enclosing(name) != nil || f.global(name) != nil {
			return true
		}
	}
	return false
}

// prefixed finds images in parts whose names begin alike: sidecarImage and
// sidecarImageTag, image.repository and image.tag.
func (f *finder) prefixed(fields []pair, taken claims) {
	for _, p := range fields {
		name, text := p.name.word(), p.value.word()
		if taken[p.value] || !p.value.isString() || text == "" || len(name) < len("xImage") {
			continue
		}
		if found := f.dotted(fields, name, p.value); found != nil {
			f.at(step(name), func() { f.inParts(found, taken) })
			continue
		}
		l := lookOf(text)
		if l != lookPath && l != lookHostPath && l != lookBare || keyOf(name, key{}).says != saysEnds {
			continue
		}
		found := &parts{repository: p.value, tag: firstWord(besideOf(fields, name, "tag"), besideOf(fields, name, "version"), besideOf(fields, trimImage(name), "tag"))}
		version := besideOf(fields, trimImage(name), "version")
		if name == "baseImage" {
			version = get(fields, "version")
		}
		if found.tag.word() != "" || version.word() != "" && l != lookBare {
			f.at(step(name), func() { f.inParts(found, taken) })
		}
	}
}

// dotted gives the image whose repository is in a field of that name: with the
// same beginning as the fields of its tag and registry.
func (f *finder) dotted(fields []pair, name string, repository *tree) *parts {
	prefix, separator, ok := cutField(name, "repository")
	if !ok || lookOf(repository.word()) == lookNone {
		return nil
	}
	beside := func(last string) *tree {
		if separator != "" {
			return get(fields, prefix+separator+last)
		}
		return besideOf(fields, prefix, last)
	}
	p := &parts{repository: repository, registry: beside("registry"), tag: beside("tag"), digest: beside("digest")}
	if !keyOf(name, key{}).about && p.tag == nil {
		return nil
	}
	return p
}

// parameters finds images in parts in a list of names with values, as Argo CD
// has the parameters of a chart.
func (f *finder) parameters(list *tree) claims {
	taken := claims{}
	var fields []pair
	items := map[*tree]int{}
	for i, item := range list.items {
		name, value := get(f.fields(item), "name"), get(f.fields(item), "value")
		if name.isString() && value.isString() && strings.Contains(name.word(), ".") {
			fields = append(fields, pair{name.resolve(), value})
			items[value] = i
		}
	}
	for _, p := range fields {
		if found := f.dotted(fields, p.name.word(), p.value); found != nil {
			f.at(index(items[p.value]), func() { f.at(".value", func() { f.inParts(found, taken) }) })
		}
	}
	return taken
}

// cutField takes a last word off the name of a field: imageRepository,
// image_repository, image.repository.
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
	return "\x00" // names nothing
}

// besideOf gives the field with that prefix and last word.
func besideOf(fields []pair, prefix, last string) *tree {
	return firstOf(fields, prefix+strings.ToUpper(last[:1])+last[1:], prefix+"_"+last, prefix+"-"+last)
}

// enclosing gives the field of that name of the nearest mapping around this one.
func (f *finder) enclosing(name string) *tree {
	for i := len(f.around) - 2; i >= 0; i-- {
		if t := get(f.around[i], name); t.word() != "" {
			return t
		}
	}
	return nil
}

// global gives a field of what the object says about all its images.
func (f *finder) global(name string) *tree {
	for i := len(f.around) - 1; i >= 0; i-- {
		if t := get(f.fields(get(f.around[i], "global")), name); t.word() != "" {
			return t
		}
	}
	return nil
}

// compose puts the image together, and reports whether it has a tag or digest.
func (p *parts) compose() (text string, tagged bool) {
	text = p.repository.word()
	if registry := p.registry.word(); registry != "" {
		text = strings.TrimSuffix(registry, "/") + "/" + text
	}
	if image := p.image.word(); image != "" {
		text = strings.TrimSuffix(text, "/") + "/" + image
	}
	tagged = hasSuffix(text)
	if tag := p.tag.word(); tag != "" && !tagged {
		separator := ":"
		if strings.HasPrefix(tag, "sha256:") {
			separator = "@"
		}
		text, tagged = text+separator+tag, true
	}
	if digest := p.digest.word(); digest != "" && !strings.Contains(text, "@") {
		if !strings.Contains(digest, ":") {
			digest = "sha256:" + digest
		}
		text, tagged = text+"@"+digest, true
	}
	return text, tagged
}

func registryOf(fields []pair) *tree { return firstOf(fields, "registry", "imageRegistry") }

func tagOf(fields []pair) *tree { return firstOf(fields, "versionTag", "tag", "imageTag") }

// digestIn gives the digest of an image in parts, unless a switch beside it is
// off.
func digestIn(fields []pair, k key) *tree {
	if get(fields, "useDigest").word() == "false" {
		return nil
	}
	if k.about {
		return firstOf(fields, "digest", "imageDigest", "sha")
	}
	return firstOf(fields, "digest", "imageDigest")
}

func firstOf(fields []pair, names ...string) *tree {
	all := make([]*tree, len(names))
	for i, name := range names {
		all[i] = get(fields, name)
	}
	return firstWord(all...)
}

// firstWord gives the first that says something, or else the first that is there.
func firstWord(all ...*tree) *tree {
	var found *tree
	for _, t := range all {
		if t != nil && (found == nil || found.word() == "") {
			found = t
		}
	}
	return found
}
