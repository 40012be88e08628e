package images

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// listReader reads a document that is a list of images for another program: what zarf, hauler,
// skopeo sync and regsync copy. It goes to the places where these have images, and nowhere else:
// beside them are logins.
type listReader struct {
	src  *source
	list *List
	kind string // of the object, for places
}

// addImageList puts the images of such a document on the list, and what it leaves to the other
// program to find out among the problems: patterns, whole repositories. It reports false for any
// other document.
func (l *List) addImageList(src *source, root *tree) bool {
	r := &listReader{src: src, list: l}
	root = root.resolve()
	if root == nil || root.kind != mapping {
		return false
	}
	group, _, _ := strings.Cut(child(root, "apiVersion").word(), "/")
	r.kind = child(root, "kind").word()
	switch {
	case r.kind == "ZarfPackageConfig" || r.kind == "ZarfInitConfig":
		r.zarf(root)
	case group == "content.hauler.cattle.io" || group == "collection.hauler.cattle.io":
		r.hauler(root)
	case r.kind == "" && isRegsync(root):
		r.regsync(root)
	case r.kind == "" && isSkopeoSync(root):
		r.skopeo(root)
	default:
		return false
	}
	return true
}

// child is the value of a field of a mapping, nil if there is none.
func child(t *tree, name string) *tree {
	if t = t.resolve(); t == nil || t.kind != mapping {
		return nil
	}
	for _, p := range t.pairs {
		if p.name.word() == name {
			return p.value.resolve()
		}
	}
	return nil
}

// items are those of a sequence, nil for anything else.
func items(t *tree) []*tree {
	if t = t.resolve(); t == nil || t.kind != sequence {
		return nil
	}
	all := make([]*tree, len(t.items))
	for i, item := range t.items {
		all[i] = item.resolve()
	}
	return all
}

func (r *listReader) place(t *tree, field string) Place {
	p := r.src.place(t.at)
	p.Kind, p.Field, p.Use = r.kind, field, UseListed
	return p
}

func (r *listReader) image(t *tree, field, text string) {
	ref, err := Parse(text)
	if err != nil {
		r.problem(t, field, err)
		return
	}
	r.list.Add(ref, r.place(t, field))
}

func (r *listReader) problem(t *tree, field string, err error) {
	r.list.AddProblem(&Problem{Place: r.place(t, field), Err: err})
}

// zarf reads components[].images, each a name or an object with one.
// https://docs.zarf.dev/ref/components/
func (r *listReader) zarf(root *tree) {
	for i, c := range items(child(root, "components")) {
		at := fmt.Sprintf("components[%d]", i)
		for j, image := range items(child(c, "images")) {
			field := fmt.Sprintf("%s.images[%d]", at, j)
			if image != nil && image.kind == mapping {
				field, image = field+".name", child(image, "name")
			}
			if image != nil {
				r.image(image, field, image.word())
			}
		}
		if t := child(c, "imageArchives"); len(items(t)) > 0 {
			r.problem(t, at+".imageArchives", errors.New("images out of an archive are not listed: no registry need have them; name those that one has with --plain"))
		}
		if t := child(c, "import"); t != nil && t.kind == mapping {
			r.problem(t, at+".import", errors.New("the images of another package are not listed; name its zarf.yaml, too"))
		}
	}
}

// annotationHaulerRegistry is the registry of images that name none.
const annotationHaulerRegistry = "hauler.dev/registry"

// hauler reads spec.images[].name of Images.
// https://docs.hauler.dev/docs/guides-references/manifests
func (r *listReader) hauler(root *tree) {
	spec := child(root, "spec")
	switch r.kind {
	case "Files":
		return
	case "Images":
	default:
		r.problem(root, "spec", fmt.Errorf("the images of hauler's %s are not found out; render its charts with helm template, and list what that prints", quote(r.kind)))
		return
	}
	registry := child(child(child(root, "metadata"), "annotations"), annotationHaulerRegistry).word()
	for i, image := range items(child(spec, "images")) {
		name := child(image, "name")
		if name == nil {
			continue
		}
		text := name.word()
		if first, _, path := strings.Cut(text, "/"); registry != "" && (!path || first != "localhost" && !strings.ContainsAny(first, ".:")) {
			text = strings.TrimSuffix(registry, "/") + "/" + text
		}
		r.image(name, fmt.Sprintf("spec.images[%d].name", i), text)
	}
}

// The fields below a registry in a file of skopeo sync.
// https://github.com/containers/skopeo/blob/main/docs/skopeo-sync.1.md
const (
	skopeoImages = "images"
	skopeoRegex  = "images-by-tag-regex"
	skopeoSemver = "images-by-semver"
)

// isSkopeoSync reports whether every field is a registry with images.
func isSkopeoSync(root *tree) bool {
	for _, p := range root.pairs {
		v := p.value.resolve()
		images := child(v, skopeoImages)
		if child(v, skopeoRegex) == nil && child(v, skopeoSemver) == nil && (images == nil || images.kind != mapping) {
			return false
		}
		if _, err := ParseTarget(p.name.word()); err != nil {
			return false
		}
	}
	return len(root.pairs) > 0
}

func (r *listReader) skopeo(root *tree) {
	for _, p := range root.pairs {
		registry := p.name.word()
		images := child(p.value, skopeoImages)
		if images != nil && images.kind == mapping {
			for _, repository := range images.pairs {
				r.tags(registry+"/"+repository.name.word(), registry+"."+skopeoImages, repository)
			}
		}
		for _, name := range []string{skopeoRegex, skopeoSemver} {
			patterns := child(p.value, name)
			if patterns == nil || patterns.kind != mapping {
				continue
			}
			for _, repository := range patterns.pairs {
				r.problem(repository.name, registry+"."+name, fmt.Errorf("the tags of %s that match %s are not looked up; list them under images",
					registry+"/"+repository.name.word(), quote(repository.value.word())))
			}
		}
	}
}

// tags puts a repository with its tags or digests on the list.
func (r *listReader) tags(name, field string, repository pair) {
	tags := items(repository.value)
	if len(tags) == 0 {
		r.problem(repository.name, field, fmt.Errorf("all tags of %s are meant, and are not looked up; list those that are wanted", name))
	}
	for _, tag := range tags {
		if tag == nil {
			continue
		}
		separator := ":"
		if isDigest(tag.word()) && strings.Contains(tag.word(), ":") {
			separator = "@"
		}
		r.image(tag, field, name+separator+tag.word())
	}
}

// isRegsync reports whether there are steps with a source and a type.
func isRegsync(root *tree) bool {
	steps := items(child(root, "sync"))
	for _, step := range steps {
		if child(step, "source") == nil || child(step, "type") == nil {
			return false
		}
	}
	return len(steps) > 0
}

// plainTag is an expression for tags that stands for one tag. The dot, which stands for any
// character, is meant as a dot.
var plainTag = regexp.MustCompile(`^\^?([A-Za-z0-9_][A-Za-z0-9_.-]*)\$?$`)

// regsync reads the sources of the steps.
// https://regclient.org/usage/regsync/
func (r *listReader) regsync(root *tree) {
	for i, step := range items(child(root, "sync")) {
		field := fmt.Sprintf("sync[%d].source", i)
		from := child(step, "source")
		switch kind := child(step, "type").word(); kind {
		case "image":
			r.image(from, field, from.word())
		case "repository":
			r.repository(from, field, child(step, "tags"))
		default:
			r.problem(from, field, fmt.Errorf("all of %s is meant (type %s), and is not looked up; list the images that are wanted", quote(from.word()), quote(kind)))
		}
	}
}

// repository puts the tags of a repository on the list that are named one by one.
func (r *listReader) repository(from *tree, field string, tags *tree) {
	allow := items(child(tags, "allow"))
	if len(allow) == 0 {
		r.problem(from, field, fmt.Errorf("the tags of %s are not looked up; list those that are wanted", quote(from.word())))
	}
	for _, tag := range allow {
		m := plainTag.FindStringSubmatch(tag.word())
		switch {
		case m == nil:
			r.problem(tag, field, fmt.Errorf("the tags of %s that match %s are not looked up; list those that are wanted", quote(from.word()), quote(tag.word())))
		case !denied(child(tags, "deny"), m[1]):
			r.image(tag, field, from.word()+":"+m[1])
		}
	}
}

// denied reports whether an expression of a list matches all of a tag.
func denied(list *tree, tag string) bool {
	for _, t := range items(list) {
		if re, err := regexp.Compile("^(?:" + t.word() + ")$"); err == nil && re.MatchString(tag) {
			return true
		}
	}
	return false
}
