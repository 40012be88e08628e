package images

import (
	"errors"
	"fmt"
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
// becomes of it.
// https://kubectl.docs.kubernetes.io/references/kustomize/kustomization/images/
func (f *finder) kustomized(list *tree) {
	f.each(list, func(fields []pair) {
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
		if x := &f.found[len(f.found)-1]; !tagged && x.err == nil {
			x.err = fmt.Errorf("image %s: its tag stands in other manifests; read what kubectl kustomize prints", quote(text))
		}
	})
}

// systemImages finds the images of RKE's cluster.yml, each the value of the
// field of a component.
// https://rke.docs.rancher.com/config-options/system-images
func (f *finder) systemImages(t *tree) {
	f.follow(t, func(t *tree) {
		f.with(t, func(fields []pair) {
			for _, p := range fields {
				if text := p.value.word(); p.value.isString() && text != "" {
					f.at(step(p.name.word()), func() {
						f.add(finding{place: f.here(p.value, UseField), whole: p.value}, text)
					})
				}
			}
		})
	})
}
