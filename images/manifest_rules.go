package images

import (
	"errors"
	"fmt"
	"strings"
)

// imagesOf finds what the fields of one mapping, outside containers, say about
// an image. key is the name of the mapping itself.
func (f *finder) imagesOf(fields []pair, key string) {
	inParts := get(fields, "repository").word() != ""
	for _, p := range fields {
		name := p.name.word()
		switch {
		case (name == "image" || name == "imageName") && !inParts:
			f.at(step(name), func() { f.imageField(p.value, firstOf(fields, "versionTag", "tag", "imageTag")) })
		case strings.HasSuffix(name, "Image") && isFull(p.value.word()):
			f.at(step(name), func() { f.imageField(p.value, nil) })
		case name == "repository":
			f.repository(fields, p.value, key)
		}
	}
}

// imageField is a field outside containers that by its name holds an image.
func (f *finder) imageField(t, tagged *tree) {
	text := t.word()
	if f.template(t, UseField) || !t.isString() || text == "" {
		return
	}
	if !IsPlaceholder(text) {
		if _, err := Parse(text); err != nil {
			return // an icon, a disk, something else that is called image
		}
	}
	if tag := tagged.word(); tag != "" && !hasSuffix(text) && !IsPlaceholder(text) {
		f.add(finding{place: f.here(t, UseField), parts: &parts{repository: t, tag: tagged}}, text+":"+tag)
		return
	}
	f.add(finding{place: f.here(t, UseField), whole: t}, text)
}

// template reports whether t is an unquoted {{ … }}, which to YAML is a mapping
// in a mapping, and notes it.
func (f *finder) template(t *tree, use Use) bool {
	t = t.resolve()
	if t == nil || t.kind != mapping || t.style != flow || !strings.HasPrefix(f.src.text[t.at:], "{{") {
		return false
	}
	text, _, _ := strings.Cut(f.src.text[t.at:], "\n")
	f.add(finding{place: f.here(t, use), whole: t}, strings.TrimSpace(text))
	return true
}

// repository is an image in parts, as custom resources and the values of charts
// have it: repository with a tag beside it, or in something called image, or
// with an image beside it.
func (f *finder) repository(fields []pair, repository *tree, key string) {
	p := &parts{
		repository: repository, image: firstOf(fields, "image"), tag: firstOf(fields, "versionTag", "tag", "imageTag"),
		registry: firstOf(fields, "registry"), digest: firstOf(fields, "digest"),
	}
	if p.image.word() != "" && p.tag.word() == "" {
		p.tag = firstOf(fields, "version")
	}
	inImage := strings.Contains(strings.ToLower(key), "image") || p.image.word() != ""
	name := repository.word()
	if !repository.isString() || name == "" || strings.Contains(name, "://") || !inImage && p.tag == nil && p.digest == nil {
		return
	}
	text, tagged := p.compose()
	f.add(finding{place: f.here(repository, UseField), parts: p}, text)
	if x := &f.found[len(f.found)-1]; !tagged && x.err == nil {
		x.err = fmt.Errorf("image %s: %w", quote(text), errUntagged)
	}
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
	if tag := p.tag.word(); tag != "" {
		separator := ":"
		if strings.HasPrefix(tag, "sha256:") {
			separator = "@"
		}
		text, tagged = text+separator+tag, true
	}
	if digest := p.digest.word(); digest != "" {
		text, tagged = text+"@"+digest, true
	}
	return text, tagged
}

// errUntagged is the error of a finding whose repository is known.
var errUntagged = errors.New("has no tag here, somebody else chooses it: an operator, or a chart (helm template shows what)")

func firstOf(fields []pair, names ...string) *tree {
	var found *tree
	for _, name := range names {
		if t := get(fields, name); t != nil && (found == nil || found.word() == "") {
			found = t
		}
	}
	return found
}

// hasSuffix reports whether an image is written with a tag or a digest.
func hasSuffix(text string) bool {
	return strings.ContainsAny(text[strings.LastIndexByte(text, '/')+1:], ":@")
}

// isFull recognises an image by its looks alone: a path, and a tag or digest.
func isFull(text string) bool {
	if !strings.Contains(text, "/") || !hasSuffix(text) {
		return false
	}
	_, err := Parse(text)
	return err == nil
}

func (f *finder) containers(list *tree) {
	f.each(list, func(fields []pair) {
		name := get(fields, "name").word()
		for _, p := range fields {
			f.at(step(p.name.word()), func() {
				switch p.name.word() {
				case "image":
					f.container(p.value, name)
				case "env":
					f.env(p.value, name)
				case "args", "command":
					f.arguments(p.value, name)
				}
			})
		}
	})
}

func (f *finder) container(t *tree, name string) {
	if f.template(t, UseContainer) {
		f.found[len(f.found)-1].place.Container = name
		return
	}
	if r := t.resolve(); r == nil || r.kind != scalar || !r.str && r.word() == "" {
		return // null is as good as absent
	}
	place := f.here(t, UseContainer)
	place.Container = name
	f.add(finding{place: place, whole: t}, t.word())
}

// env finds the images that an operator is told in its environment:
// RELATED_IMAGE_… by convention of OLM, and other names by their looks.
func (f *finder) env(list *tree, container string) {
	f.each(list, func(fields []pair) {
		name, value := get(fields, "name").word(), get(fields, "value")
		text := value.word()
		related := strings.HasPrefix(name, "RELATED_IMAGE_") && text != ""
		if !value.isString() || !related && (!strings.Contains(strings.ToUpper(name), "IMAGE") || !isFull(text)) {
			return
		}
		f.at(".value", func() {
			place := f.here(value, UseEnv)
			place.Container = container
			f.add(finding{place: place, whole: value}, text)
		})
	})
}

// arguments finds --some-flag=registry.domain/repository:tag. Less than that
// could be anything.
func (f *finder) arguments(list *tree, container string) {
	f.follow(list, func(list *tree) {
		for i, item := range list.items {
			flag, text, ok := strings.Cut(item.word(), "=")
			if !ok || !strings.HasPrefix(flag, "-") || !item.isString() || !isFull(text) {
				continue
			}
			if registry, _, _ := strings.Cut(text, "/"); !strings.Contains(registry, ".") && !strings.HasSuffix(flag, "image") {
				continue
			}
			f.at(index(i), func() {
				place := f.here(item, UseArgument)
				place.Container = container
				f.add(finding{place: place, whole: item, skip: len(flag) + 1}, text)
			})
		}
	})
}

// volumes finds images that are mounted
// (https://kubernetes.io/docs/concepts/storage/volumes/#image).
func (f *finder) volumes(list *tree) {
	f.each(list, func(fields []pair) {
		image := get(fields, "image")
		reference := get(f.fields(image), "reference")
		if reference.isString() && reference.word() != "" {
			f.at(".image", func() {
				f.at(".reference", func() {
					f.add(finding{place: f.here(reference, UseVolume), whole: reference}, reference.word())
				})
			})
		}
	})
}
