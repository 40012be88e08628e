package images

import (
	"errors"
	"path/filepath"
	"strings"
)

// isKustomization reports whether the walk is in a kustomization: by its kind,
// that of Flux too, or by its file, because kustomize needs no kind.
// https://kubectl.docs.kubernetes.io/references/kustomize/kustomization/
func (f *finder) isKustomization() bool {
	if f.object.kind == "" {
		name, ext, _ := strings.Cut(strings.ToLower(filepath.Base(f.src.name)), ".")
		return name == "kustomization" && (ext == "" || ext == "yaml" || ext == "yml")
	}
	group, _, _ := strings.Cut(f.object.apiVersion, "/")
	return strings.HasPrefix(group, "kustomize.")
}

// errKustomized is why an image of a kustomization is not rewritten: it is found
// by the name that the image has in other manifests, and these would change.
var errKustomized = errors.New("kustomize puts it in the place of another; rewrite what kubectl kustomize prints")

// kustomized finds the images that a kustomization puts in the place of others:
// name is that of the image before, and newName, newTag and digest are what
// becomes of it. Argo CD writes name=newName:newTag.
// https://kubectl.docs.kubernetes.io/references/kustomize/kustomization/images/
// https://argo-cd.readthedocs.io/en/stable/user-guide/kustomize/
func (f *finder) kustomized(list *tree) {
	f.follow(list, func(list *tree) {
		for i, item := range list.items {
			f.at(index(i), func() {
				f.follow(item, func(resolved *tree) {
					if resolved.kind == mapping {
						f.with(resolved, f.kustomizedFields)
					} else if text := item.word(); item.isString() && text != "" {
						f.kustomizedText(item, text)
					}
				})
			})
		}
	})
}

func (f *finder) kustomizedFields(fields []pair) {
	name, step := get(fields, "newName"), ".newName"
	if name.word() == "" {
		name, step = get(fields, "name"), ".name"
	}
	p := &parts{repository: name, tag: get(fields, "newTag"), digest: get(fields, "digest")}
	if !name.isString() || step == ".name" && p.tag.word()+p.digest.word()+get(fields, "tagSuffix").word() == "" {
		return // nothing is replaced
	}
	text, tagged := p.compose()
	f.at(step, func() {
		f.add(finding{place: f.here(name, UseField), parts: p, fixed: errKustomized}, text)
	})
	if !tagged {
		f.fail(errKustomizedTag)
	}
}

func (f *finder) kustomizedText(t *tree, text string) {
	x := finding{whole: t, span: span{strings.LastIndexByte(text, '=') + 1, len(text)}}
	if x.span.start == 0 {
		x.fixed = errKustomized
	}
	x.place = f.hereAt(t, x.span.start, UseField)
	f.add(x, text[x.span.start:])
	if !hasSuffix(text[x.span.start:]) {
		f.fail(errKustomizedTag)
	}
}

// errKustomizedTag is the error of an image to which only a name is given.
var errKustomizedTag = errors.New("its tag stands in other manifests; read what kubectl kustomize prints")

// systemImages finds the images of RKE's cluster.yml, each the value of the
// field of a component.
// https://rke.docs.rancher.com/config-options/system-images
func (f *finder) systemImages(t *tree) {
	f.follow(t, func(t *tree) {
		f.with(t, func(fields []pair) {
			for _, p := range fields {
				if text := p.value.word(); p.value.isString() && text != "" {
					f.at(step(p.name.word()), func() {
						f.add(finding{place: f.here(p.value, UseField), whole: p.value, span: span{0, len(text)}}, text)
					})
				}
			}
		})
	})
}
