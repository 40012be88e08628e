package copy

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/berth-registry/berth/images/manifest"
)

// choose selects the manifests of an index to copy. A partly copied index in a layout limits them
// to what the layout has.
func (r *run) choose(p *part, index v1.IndexManifest) []bool {
	chosen := manifest.Choose(index, r.copier.Platforms)
	if p.atTarget || r.from == nil {
		return chosen
	}
	held, partial := r.from.Partial(p.content.Desc.Digest)
	if !partial {
		return chosen
	}
	for i, c := range manifest.Choose(index, held) {
		chosen[i] = chosen[i] && c
	}
	return chosen
}

// reduce makes an index of the selected manifests, with the digest of the whole in an annotation,
// and returns the platforms that it leaves out. A complete index, and a manifest that is not an
// index, is returned unchanged.
func (r *run) reduce(c manifest.Manifest) (reduced manifest.Manifest, left []string, err error) {
	if !c.Desc.MediaType.IsIndex() {
		return c, nil, nil
	}
	index, err := manifest.ReadIndex(c)
	if err != nil {
		return c, nil, err
	}
	chosen := r.choose(&part{content: c}, index)
	if !slices.Contains(chosen, false) {
		return c, nil, nil
	}
	reduced, err = manifest.WithChosen(c, index, chosen)
	return reduced, manifest.LeftOut(index, chosen), err
}

// platforms finds which of the requested platforms an image has. It is an error if there is none.
func (r *run) platforms(ctx context.Context, t *task) error {
	main := t.main.part
	if !main.content.Desc.MediaType.IsIndex() {
		return r.onePlatform(ctx, t)
	}
	t.result.Left, t.result.Reduced = main.left, len(t.main.left) > 0
	if t.result.Reduced {
		t.result.Left = t.main.left
	}
	if wanted := t.result.Image.Digest(); t.result.Reduced && wanted != "" {
		return errors.New("is named by the digest of the whole index, which a reduced one does not have; copy it without --reduce-index, or name it by its tag only")
	}
	if r.copier.Platforms == nil {
		return nil
	}
	var has []manifest.Platform
	var look func(p *part) error
	look = func(p *part) error {
		index, err := manifest.ReadIndex(p.content)
		if err != nil {
			return err
		}
		for _, d := range index.Manifests {
			has = append(has, manifest.PlatformOf(d.Platform))
		}
		for _, c := range p.children {
			if c.content.Desc.MediaType.IsIndex() {
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
	// A platform that the layout does not have counts as missing.
	held := func(p manifest.Platform) bool { return !slices.Contains(main.left, p.String()) }
	for _, wanted := range r.copier.Platforms {
		if !slices.ContainsFunc(has, func(p manifest.Platform) bool { return p.Matches(wanted) && held(p) }) {
			t.result.Missing = append(t.result.Missing, wanted.String())
		}
	}
	if len(main.children)+len(main.blobs) == 0 {
		return fmt.Errorf("has none of the wanted platforms; it has %s", strings.Join(t.result.Left, ", "))
	}
	return nil
}

// onePlatform checks the platform of an image without an index. Content without a platform, as a
// chart, is copied.
func (r *run) onePlatform(ctx context.Context, t *task) error {
	if r.copier.Platforms == nil {
		return nil
	}
	at := origin(t.pair.src)
	if t.main.part.atTarget {
		at = t.pair.dst
	}
	is, err := slotted(ctx, r, func() (manifest.Platform, error) {
		return manifest.ConfigPlatform(ctx, at, t.main.part.content)
	})
	if err != nil || is.OS == "" {
		return err
	}
	for _, wanted := range r.copier.Platforms {
		if !is.Matches(wanted) {
			t.result.Missing = append(t.result.Missing, wanted.String())
		}
	}
	if len(t.result.Missing) == len(r.copier.Platforms) {
		return fmt.Errorf("has none of the wanted platforms; it has %s", is)
	}
	return nil
}
