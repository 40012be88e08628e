package inventory

import (
	"errors"
	"path/filepath"
	"strings"

	"github.com/berth-registry/berth/images/document"
	"github.com/berth-registry/berth/images/place"
	"github.com/berth-registry/berth/images/reference"
)

// isKustomization reports whether the walk is in a kustomization, also Flux's: by its kind, or by
// the name of its file, because kustomize needs no kind.
// https://kubectl.docs.kubernetes.io/references/kustomize/kustomization/
func (f *finder) isKustomization() bool {
	if f.object.kind == "" {
		name, ext, _ := strings.Cut(strings.ToLower(filepath.Base(f.src.Name)), ".")
		return name == "kustomization" && (ext == "" || ext == "yaml" || ext == "yml")
	}
	group, _, _ := strings.Cut(f.object.apiVersion, "/")
	return strings.HasPrefix(group, "kustomize.")
}

// errKustomized is why an image of a kustomization is not rewritten: kustomize finds the image by
// its name in other manifests, and a rewrite changes the name there.
var errKustomized = errors.New("kustomize substitutes it for another image; rewrite the output of kubectl kustomize")

// kustomized finds the images that a kustomization substitutes: name is the old name; newName,
// newTag and digest are the new ones. Argo CD writes name=newName:newTag.
// https://kubectl.docs.kubernetes.io/references/kustomize/kustomization/images/
// https://argo-cd.readthedocs.io/en/stable/user-guide/kustomize/
func (f *finder) kustomized(list *document.Tree) {
	f.follow(list, func(list *document.Tree) {
		for i, item := range list.Items {
			f.step(itemStep(i), func() {
				f.follow(item, func(resolved *document.Tree) {
					if resolved.Kind == document.Mapping {
						f.with(resolved, f.kustomizedFields)
					} else if text := item.Word(); item.IsString() && text != "" {
						f.kustomizedText(item, text)
					}
				})
			})
		}
	})
}

func (f *finder) kustomizedFields(fields []document.Pair) {
	name, step := document.Get(fields, "newName"), ".newName"
	if name.Word() == "" {
		name, step = document.Get(fields, "name"), ".name"
	}
	p := &Parts{Repository: name, Tag: document.Get(fields, "newTag"), Digest: document.Get(fields, "digest")}
	if !name.IsString() || step == ".name" && p.Tag.Word()+p.Digest.Word()+document.Get(fields, "tagSuffix").Word() == "" {
		return // no substitution
	}
	text, tagged := p.compose()
	f.step(step, func() {
		f.add(Occurrence{Place: f.placeHere(name, place.UseField), Parts: p, Fixed: errKustomized}, text)
	})
	if !tagged {
		f.fail(errKustomizedTag)
	}
}

func (f *finder) kustomizedText(t *document.Tree, text string) {
	x := Occurrence{Whole: t, Span: document.Span{Start: strings.LastIndexByte(text, '=') + 1, End: len(text)}}
	if x.Span.Start == 0 {
		x.Fixed = errKustomized
	}
	x.Place = f.placeAt(t, x.Span.Start, place.UseField)
	f.add(x, text[x.Span.Start:])
	if !reference.HasSuffix(text[x.Span.Start:]) {
		f.fail(errKustomizedTag)
	}
}

// errKustomizedTag is the error of an image to which only a name is given.
var errKustomizedTag = errors.New("its tag is in other manifests; use the output of kubectl kustomize")

// systemImages finds the images in system_images of RKE's cluster.yml, one for each component.
// https://rke.docs.rancher.com/config-options/system-images
func (f *finder) systemImages(t *document.Tree) {
	f.follow(t, func(t *document.Tree) {
		f.with(t, func(fields []document.Pair) {
			for _, p := range fields {
				if text := p.Value.Word(); p.Value.IsString() && text != "" {
					f.step(fieldStep(p.Name.Word()), func() {
						f.add(Occurrence{Place: f.placeHere(p.Value, place.UseField), Whole: p.Value, Span: document.Span{Start: 0, End: len(text)}}, text)
					})
				}
			}
		})
	})
}
