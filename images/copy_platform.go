package images

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/berth-registry/berth/internal/plainfile"
)

const (
	// annotationPlatforms stands in index.json of a layout beside an index of which only some
	// platforms were copied, and lists them: linux/amd64,linux/arm64.
	annotationPlatforms = "io.github.berth-registry.platforms"
	// annotationReduced stands in an index that was reduced, and holds the digest of the whole.
	annotationReduced = "io.github.berth-registry.reduced-from"
	// annotationSubject is what BuildKit writes beside an attestation: the digest of the manifest
	// that it is about.
	// https://github.com/moby/buildkit/blob/master/docs/attestations/attestation-storage.md
	annotationSubject = "vnd.docker.reference.digest"
)

// choose reports for each manifest of an index whether it is copied: what is for one of the
// platforms, what is about such a manifest, and what is for no platform. nil platforms are all.
func choose(index v1.IndexManifest, platforms []Platform) []bool {
	chosen := make([]bool, len(index.Manifests))
	digests := map[string]bool{}
	for i, d := range index.Manifests {
		p := platformOf(d.Platform)
		chosen[i] = platforms == nil || p.OS == "" || slices.ContainsFunc(platforms, p.is)
		if chosen[i] {
			digests[d.Digest.String()] = true
		}
	}
	for i, d := range index.Manifests {
		if platformOf(d.Platform).OS != "unknown" {
			continue
		}
		subject, about := d.Annotations[annotationSubject]
		chosen[i] = !about || digests[subject]
	}
	return chosen
}

// choose says what of an index is copied. What a layout does not hold of an index that was copied
// in part cannot be.
func (r *run) choose(p *part, index v1.IndexManifest) []bool {
	chosen := choose(index, r.copier.Platforms)
	if p.there || r.from == nil {
		return chosen
	}
	held, partial := r.from.partial(p.content.desc.Digest)
	if !partial {
		return chosen
	}
	for i, c := range choose(index, held) {
		chosen[i] = chosen[i] && c
	}
	return chosen
}

// leftOut lists the platforms of an index that are not copied.
func leftOut(index v1.IndexManifest, chosen []bool) []string {
	var all []string
	for i, d := range index.Manifests {
		if p := platformOf(d.Platform); !chosen[i] && p.OS != "unknown" && !slices.Contains(all, p.String()) {
			all = append(all, p.String())
		}
	}
	return all
}

// partial gives the platforms that a layout holds of an index, if these are not all.
func (l *layout) partial(d v1.Hash) ([]Platform, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	list, ok := l.parts[d]
	if !ok {
		return nil, false
	}
	platforms := []Platform{}
	for name := range strings.SplitSeq(list, ",") {
		if p, err := ParsePlatform(name); err == nil {
			platforms = append(platforms, p)
		}
	}
	return platforms, true
}

// held is the annotation of an index of which the layout does not hold all, "" otherwise.
func (l *layout) held(c content) string {
	if !c.desc.MediaType.IsIndex() {
		return ""
	}
	index, err := readIndex(c)
	if err != nil {
		return ""
	}
	var platforms []string
	all := true
	for _, d := range index.Manifests {
		_, err := plainfile.Stat(l.root, blobPath(d.Digest))
		p := platformOf(d.Platform)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			all = false
		case p.OS != "" && p.OS != "unknown" && !slices.Contains(platforms, p.String()):
			platforms = append(platforms, p.String())
		}
	}
	if all {
		return ""
	}
	return strings.Join(platforms, ",")
}

// reduce makes of the index of a source one that lists what is copied alone, with the digest of
// the whole in an annotation, and tells what it leaves out. An index of which all is copied, and
// what is no index, stays byte for byte.
func (r *run) reduce(c content) (reduced content, left []string, err error) {
	if !c.desc.MediaType.IsIndex() {
		return c, nil, nil
	}
	index, err := readIndex(c)
	if err != nil {
		return c, nil, err
	}
	chosen := r.choose(&part{content: c}, index)
	if !slices.Contains(chosen, false) {
		return c, nil, nil
	}
	reduced, err = withChosen(c, index, chosen)
	return reduced, leftOut(index, chosen), err
}

func withChosen(c content, index v1.IndexManifest, chosen []bool) (content, error) {
	var fields map[string]json.RawMessage
	var manifests []json.RawMessage
	if err := json.Unmarshal(c.raw, &fields); err != nil {
		return c, err
	}
	if err := json.Unmarshal(fields["manifests"], &manifests); err != nil {
		return c, err
	}
	kept := []json.RawMessage{}
	for i, m := range manifests {
		if chosen[i] {
			kept = append(kept, m)
		}
	}
	annotations := map[string]string{}
	for name, value := range index.Annotations {
		annotations[name] = value
	}
	annotations[annotationReduced] = c.desc.Digest.String()
	var err error
	for name, value := range map[string]any{"manifests": kept, "annotations": annotations} {
		if fields[name], err = json.Marshal(value); err != nil {
			return c, err
		}
	}
	raw, err := json.Marshal(fields) // in the order of the names: the same every time
	if err != nil {
		return c, err
	}
	digest, err := digestOf("sha256", raw)
	if err != nil {
		return c, err
	}
	return newContent(string(c.desc.MediaType), digest, raw)
}

// reducedFrom is the digest of the index that c was made of, "" if it is none that was reduced.
func reducedFrom(c content) string {
	if !c.desc.MediaType.IsIndex() {
		return ""
	}
	index, err := readIndex(c)
	if err != nil {
		return ""
	}
	return index.Annotations[annotationReduced]
}

// platforms finds out which of the platforms that are wanted an image has. One that has none of
// them is an error.
func (r *run) platforms(ctx context.Context, t *task) error {
	main := t.main.part
	if !main.content.desc.MediaType.IsIndex() {
		return r.onePlatform(ctx, t)
	}
	t.result.Left, t.result.Reduced = main.left, len(t.main.left) > 0
	if t.result.Reduced {
		t.result.Left = t.main.left
	}
	if wanted := t.result.Image.Digest(); t.result.Reduced && wanted != "" {
		return errors.New("is named by the digest of the whole index, which a reduced one does not have; copy it without --reduce-index, or name it by its tag alone")
	}
	if r.copier.Platforms == nil {
		return nil
	}
	var has []Platform
	var look func(p *part) error
	look = func(p *part) error {
		index, err := readIndex(p.content)
		if err != nil {
			return err
		}
		for _, d := range index.Manifests {
			has = append(has, platformOf(d.Platform))
		}
		for _, c := range p.children {
			if c.content.desc.MediaType.IsIndex() {
				if err := look(c); err != nil {
					return err
				}
			}
		}
		return nil
	}
	if err := look(main); err != nil {
		return err
	}
	// What a layout does not hold is as good as not in the index.
	held := func(p Platform) bool { return !slices.Contains(main.left, p.String()) }
	for _, wanted := range r.copier.Platforms {
		if !slices.ContainsFunc(has, func(p Platform) bool { return p.is(wanted) && held(p) }) {
			t.result.Missing = append(t.result.Missing, wanted.String())
		}
	}
	if len(main.children)+len(main.blobs) == 0 {
		return fmt.Errorf("has none of the platforms that are wanted, but %s", strings.Join(t.result.Left, ", "))
	}
	return nil
}

// onePlatform looks what an image without an index is for. What is for no platform, as a chart, is
// copied.
func (r *run) onePlatform(ctx context.Context, t *task) error {
	if r.copier.Platforms == nil {
		return nil
	}
	var at origin = t.lane.src
	if t.main.part.there {
		at = t.lane.dst
	}
	var is Platform
	err := r.slot(ctx, func() error {
		var err error
		is, err = configPlatform(ctx, at, t.main.part.content)
		return err
	})
	if err != nil || is.OS == "" {
		return err
	}
	for _, wanted := range r.copier.Platforms {
		if !is.is(wanted) {
			t.result.Missing = append(t.result.Missing, wanted.String())
		}
	}
	if len(t.result.Missing) == len(r.copier.Platforms) {
		return fmt.Errorf("has none of the platforms that are wanted, but %s", is)
	}
	return nil
}

// wantsWhole adds to the refusal of an index, of which these platforms are not there, what to do.
func wantsWhole(err error, left []string) error {
	refusal, ok := errors.AsType[*refusedError](err)
	if ok && len(left) > 0 && (refusal.status == http.StatusBadRequest || refusal.status == http.StatusNotFound || refusal.status == http.StatusUnprocessableEntity) {
		refusal.hint = "this registry wants every platform of an index: add --reduce-index, or copy all platforms"
	}
	return err
}
