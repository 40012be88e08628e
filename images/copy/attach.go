package copy

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/berth-registry/berth/images/manifest"
	"github.com/berth-registry/berth/images/registry"
)

// putAttachment puts everything that refers to a digest.
func (r *run) putAttachment(ctx context.Context, a *attachment, count *tally) error {
	for _, n := range a.named {
		if err := r.putNamed(ctx, n, count); manifest.IsDamaged(err) {
			return err
		} else if err != nil {
			return fmt.Errorf("%s: %w", n.ref, err)
		}
	}
	for _, p := range a.referrers {
		if err := r.putPart(ctx, p, count); err != nil {
			return err
		}
	}
	if len(a.referrers) == 0 {
		return nil
	}
	return r.once("list "+a.pair.name+" "+a.subject.String(), func() error {
		return r.slot(ctx, func() error { return r.putReferrersList(ctx, a, count) })
	})
}

// putReferrersList updates the list of referrers where the registry does not keep one. Entries that
// only the target has stay.
func (r *run) putReferrersList(ctx context.Context, a *attachment, count *tally) error {
	dst := a.pair.dst
	if api, err := dst.ListsReferrers(ctx, a.subject); err != nil || api {
		return err
	}
	tag := manifest.ReferrersTag(a.subject)
	have, err := dst.Manifest(ctx, tag)
	if err != nil && !registry.IsHidden(err) && !manifest.IsDamaged(err) {
		return err
	}
	var index v1.IndexManifest
	if err == nil && have.Desc.MediaType.IsIndex() {
		if index, err = manifest.ReadIndex(have); err != nil {
			return err
		}
	}
	want, changed, err := mergeReferrers(a, index.Manifests)
	if err != nil || !changed {
		return err
	}
	count.manifest()
	return dst.PutNamed(ctx, tag, want)
}

// mergeReferrers makes the list of referrers, given the target's list: byte for byte the list of
// the source if the target has no other entries.
func mergeReferrers(a *attachment, have []v1.Descriptor) (list manifest.Manifest, changed bool, err error) {
	known := map[v1.Hash]bool{}
	var all []v1.Descriptor
	for _, p := range a.referrers {
		known[p.content.Desc.Digest] = true
	}
	for _, d := range a.entries {
		if known[d.Digest] {
			all = append(all, d)
		}
	}
	fromSource := len(all)
	missing := fromSource
	for _, d := range have {
		if known[d.Digest] {
			missing--
		} else {
			all = append(all, d)
		}
	}
	switch {
	case missing == 0:
		return manifest.Manifest{}, false, nil
	case a.list != nil && len(all) == len(a.entries):
		return *a.list, true, nil
	}
	if a.list == nil {
		// The API promises no order; sorted, the list is reproducible.
		slices.SortFunc(all, func(x, y v1.Descriptor) int { return strings.Compare(x.Digest.String(), y.Digest.String()) })
	}
	raw, err := json.Marshal(v1.IndexManifest{SchemaVersion: 2, MediaType: types.OCIImageIndex, Manifests: all})
	if err != nil {
		return manifest.Manifest{}, false, err
	}
	digest, err := manifest.DigestOf("sha256", raw)
	if err != nil {
		return manifest.Manifest{}, false, err
	}
	list, err = manifest.New(string(types.OCIImageIndex), digest, raw)
	return list, true, errors.Join(err)
}
