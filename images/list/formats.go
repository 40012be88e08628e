package list

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/berth-registry/berth/images/document"
	"github.com/berth-registry/berth/images/place"
	"github.com/berth-registry/berth/images/reference"
	"github.com/berth-registry/berth/internal/imagename"
)

// listReader reads a list of images for another program: zarf, hauler, skopeo sync or regsync. It
// reads only the fields that hold images; other fields hold logins.
type listReader struct {
	src  *document.Source
	list *List
	kind string // of the object, for places
}

// addImageList adds the images of such a document, and reports as problems what the other program
// would look up: patterns, whole repositories. It returns false for any other document.
func (l *List) addImageList(src *document.Source, root *document.Tree) bool {
	r := &listReader{src: src, list: l}
	root = root.Resolve()
	if root == nil || root.Kind != document.Mapping {
		return false
	}
	group, _, _ := strings.Cut(child(root, "apiVersion").Word(), "/")
	r.kind = child(root, "kind").Word()
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
func child(t *document.Tree, name string) *document.Tree {
	if t = t.Resolve(); t == nil || t.Kind != document.Mapping {
		return nil
	}
	for _, p := range t.Pairs {
		if p.Name.Word() == name {
			return p.Value.Resolve()
		}
	}
	return nil
}

// items are the items of a sequence, nil for anything else.
func items(t *document.Tree) []*document.Tree {
	if t = t.Resolve(); t == nil || t.Kind != document.Sequence {
		return nil
	}
	all := make([]*document.Tree, len(t.Items))
	for i, item := range t.Items {
		all[i] = item.Resolve()
	}
	return all
}

func (r *listReader) place(t *document.Tree, field string) place.Place {
	p := r.src.Place(t.At)
	p.Kind, p.Field, p.Use = r.kind, field, place.UseListed
	return p
}

func (r *listReader) image(t *document.Tree, field, text string) {
	ref, err := reference.Parse(text)
	if err != nil {
		r.problem(t, field, err)
		return
	}
	r.list.Add(ref, r.place(t, field))
}

func (r *listReader) problem(t *document.Tree, field string, err error) {
	r.list.AddProblem(&place.Problem{Place: r.place(t, field), Err: err})
}

// zarf reads components[].images, each a name or an object with a name.
// https://docs.zarf.dev/ref/components/
func (r *listReader) zarf(root *document.Tree) {
	for i, c := range items(child(root, "components")) {
		at := fmt.Sprintf("components[%d]", i)
		for j, image := range items(child(c, "images")) {
			field := fmt.Sprintf("%s.images[%d]", at, j)
			if image != nil && image.Kind == document.Mapping {
				field, image = field+".name", child(image, "name")
			}
			if image != nil {
				r.image(image, field, image.Word())
			}
		}
		if t := child(c, "imageArchives"); len(items(t)) > 0 {
			r.problem(t, at+".imageArchives", errors.New("images out of an archive are not listed, because no registry may have them; list those that a registry has with --plain"))
		}
		if t := child(c, "import"); t != nil && t.Kind == document.Mapping {
			r.problem(t, at+".import", errors.New("the images of another package are not listed; name its zarf.yaml, too"))
		}
	}
}

// annotationHaulerRegistry is the registry of images that name none.
const annotationHaulerRegistry = "hauler.dev/registry"

// hauler reads spec.images[].name of Images.
// https://docs.hauler.dev/docs/guides-references/manifests
func (r *listReader) hauler(root *document.Tree) {
	spec := child(root, "spec")
	switch r.kind {
	case "Files":
		return
	case "Images":
	default:
		r.problem(root, "spec", fmt.Errorf("the images of hauler's %s are not looked up; render its charts with helm template and list the output", reference.Quote(r.kind)))
		return
	}
	registry := child(child(child(root, "metadata"), "annotations"), annotationHaulerRegistry).Word()
	for i, image := range items(child(spec, "images")) {
		name := child(image, "name")
		if name == nil {
			continue
		}
		text := name.Word()
		if registry != "" && !imagename.HasRegistry(text) {
			text = strings.TrimSuffix(registry, "/") + "/" + text
		}
		r.image(name, fmt.Sprintf("spec.images[%d].name", i), text)
	}
}

// Fields below a registry in a file of skopeo sync.
// https://github.com/containers/skopeo/blob/main/docs/skopeo-sync.1.md
const (
	skopeoImages = "images"
	skopeoRegex  = "images-by-tag-regex"
	skopeoSemver = "images-by-semver"
)

// isSkopeoSync reports whether every field is a registry with images.
func isSkopeoSync(root *document.Tree) bool {
	for _, p := range root.Pairs {
		v := p.Value.Resolve()
		images := child(v, skopeoImages)
		if child(v, skopeoRegex) == nil && child(v, skopeoSemver) == nil && (images == nil || images.Kind != document.Mapping) {
			return false
		}
		if _, err := reference.ParseTarget(p.Name.Word()); err != nil {
			return false
		}
	}
	return len(root.Pairs) > 0
}

func (r *listReader) skopeo(root *document.Tree) {
	for _, p := range root.Pairs {
		registry := p.Name.Word()
		images := child(p.Value, skopeoImages)
		if images != nil && images.Kind == document.Mapping {
			for _, repository := range images.Pairs {
				r.tags(registry+"/"+repository.Name.Word(), registry+"."+skopeoImages, repository)
			}
		}
		for _, name := range []string{skopeoRegex, skopeoSemver} {
			patterns := child(p.Value, name)
			if patterns == nil || patterns.Kind != document.Mapping {
				continue
			}
			for _, repository := range patterns.Pairs {
				r.problem(repository.Name, registry+"."+name, fmt.Errorf("the tags of %s that match %s are not looked up; list them under images",
					registry+"/"+repository.Name.Word(), reference.Quote(repository.Value.Word())))
			}
		}
	}
}

// tags adds a repository with each of its tags or digests.
func (r *listReader) tags(name, field string, repository document.Pair) {
	tags := items(repository.Value)
	if len(tags) == 0 {
		r.problem(repository.Name, field, fmt.Errorf("all tags of %s are selected, and are not looked up; list the wanted ones", name))
	}
	for _, tag := range tags {
		if tag == nil {
			continue
		}
		separator := ":"
		if reference.IsDigest(tag.Word()) && strings.Contains(tag.Word(), ":") {
			separator = "@"
		}
		r.image(tag, field, name+separator+tag.Word())
	}
}

// isRegsync reports whether there are sync steps with a source and a type.
func isRegsync(root *document.Tree) bool {
	steps := items(child(root, "sync"))
	for _, step := range steps {
		if child(step, "source") == nil || child(step, "type") == nil {
			return false
		}
	}
	return len(steps) > 0
}

// plainTag is a regular expression that matches one tag. Its dots are taken literally.
var plainTag = regexp.MustCompile(`^\^?([A-Za-z0-9_][A-Za-z0-9_.-]*)\$?$`)

// regsync reads the source of each step.
// https://regclient.org/usage/regsync/
func (r *listReader) regsync(root *document.Tree) {
	for i, step := range items(child(root, "sync")) {
		field := fmt.Sprintf("sync[%d].source", i)
		from := child(step, "source")
		switch kind := child(step, "type").Word(); kind {
		case "image":
			r.image(from, field, from.Word())
		case "repository":
			r.repository(from, field, child(step, "tags"))
		default:
			r.problem(from, field, fmt.Errorf("all of %s is selected (type %s), and is not looked up; list the wanted images", reference.Quote(from.Word()), reference.Quote(kind)))
		}
	}
}

// repository adds those tags of a repository that are listed one by one.
func (r *listReader) repository(from *document.Tree, field string, tags *document.Tree) {
	allow := items(child(tags, "allow"))
	if len(allow) == 0 {
		r.problem(from, field, fmt.Errorf("the tags of %s are not looked up; list the wanted ones", reference.Quote(from.Word())))
	}
	for _, tag := range allow {
		m := plainTag.FindStringSubmatch(tag.Word())
		switch {
		case m == nil:
			r.problem(tag, field, fmt.Errorf("the tags of %s that match %s are not looked up; list the wanted ones", reference.Quote(from.Word()), reference.Quote(tag.Word())))
		case !denied(child(tags, "deny"), m[1]):
			r.image(tag, field, from.Word()+":"+m[1])
		}
	}
}

// denied reports whether an expression of the list matches the whole tag.
func denied(list *document.Tree, tag string) bool {
	for _, t := range items(list) {
		if re, err := regexp.Compile("^(?:" + t.Word() + ")$"); err == nil && re.MatchString(tag) {
			return true
		}
	}
	return false
}
