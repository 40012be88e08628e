package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/berth-registry/berth/images/manifest"
)

// Attached returns what refers to a digest.
func (r *Repository) Attached(ctx context.Context, d v1.Hash) (manifest.Attached, error) {
	var a manifest.Attached
	if err := r.loadTags(ctx); err != nil {
		return a, err
	}
	for _, suffix := range manifest.CosignSuffixes {
		tag := manifest.ReferrersTag(d) + suffix
		has, err := r.hasTag(ctx, tag)
		if err != nil {
			return a, err
		}
		if has {
			a.Tags = append(a.Tags, tag)
		}
	}
	list, api, err := r.referrers(ctx, d)
	if err != nil {
		return a, err
	}
	if api {
		a.Referrers = list
		return a, nil
	}
	has, err := r.hasTag(ctx, manifest.ReferrersTag(d))
	if err != nil || !has {
		return a, err
	}
	c, err := r.Manifest(ctx, manifest.ReferrersTag(d))
	if errors.Is(err, manifest.ErrNotFound) {
		return a, nil
	}
	if err != nil {
		return a, err
	}
	return a, a.TakeList(c, manifest.ReferrersTag(d))
}

// loadTags lists the tags once, which saves a request for each digest.
func (r *Repository) loadTags(ctx context.Context) error {
	r.tagsMu.Lock()
	defer r.tagsMu.Unlock()
	if r.tagsLoaded {
		return nil
	}
	tags, err := r.listTags(ctx)
	if err != nil {
		return err
	}
	r.tagsLoaded, r.tags = true, tags
	return nil
}

// hasTag asks for a tag unless all are known. Some registries answer 401 or 403 for a missing tag.
func (r *Repository) hasTag(ctx context.Context, tag string) (bool, error) {
	if r.tags != nil {
		return r.tags[tag], nil
	}
	_, err := r.Digest(ctx, tag)
	if refusal, ok := errors.AsType[*statusError](err); ok && refusal.isDenied() || errors.Is(err, manifest.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

// referrers asks the referrers API. A registry without it answers 404, and is not asked again for
// this repository; other repositories may be on another backend.
// https://github.com/opencontainers/distribution-spec/blob/main/spec.md#listing-referrers
func (r *Repository) referrers(ctx context.Context, d v1.Hash) (list []v1.Descriptor, api bool, err error) {
	if known, has := r.referrersAPI(); known && !has {
		return nil, false, nil
	}
	next := "referrers/" + d.String()
	for next != "" {
		var page v1.IndexManifest
		err = r.Retry(ctx, "referrers", func(ctx context.Context) error {
			resp, err := r.send(ctx, call{
				method: http.MethodGet, url: next, what: "referrers of " + d.String(),
				header: map[string]string{"Accept": string(types.OCIImageIndex)},
				// Registries without the API answer in many ways.
				ok: []int{http.StatusOK, http.StatusNotFound, http.StatusBadRequest, http.StatusMethodNotAllowed, http.StatusNotAcceptable, http.StatusUnauthorized, http.StatusForbidden},
			})
			if err != nil {
				return err
			}
			defer resp.Body.Close()
			kind, _, _ := strings.Cut(resp.Header.Get("Content-Type"), ";")
			api = resp.StatusCode == http.StatusOK && kind == string(types.OCIImageIndex)
			if !api {
				drain(resp.Body)
				return nil
			}
			next = nextPage(resp)
			if err := json.NewDecoder(io.LimitReader(resp.Body, manifest.MaxSize)).Decode(&page); err != nil {
				return netErrorOf(ctx, r.registry.name, fmt.Errorf("referrers: %w", err))
			}
			return nil
		})
		if err != nil {
			return nil, false, err
		}
		if !api {
			r.setReferrersAPI(false)
			return nil, false, nil
		}
		list = append(list, page.Manifests...)
	}
	r.setReferrersAPI(true)
	return list, true, nil
}

// ListsReferrers reports whether the registry itself lists the referrers of a digest.
func (r *Repository) ListsReferrers(ctx context.Context, d v1.Hash) (bool, error) {
	if known, has := r.referrersAPI(); known {
		return has, nil
	}
	_, api, err := r.referrers(ctx, d)
	return api, err
}

func (r *Repository) referrersAPI() (known, has bool) {
	r.tagsMu.Lock()
	defer r.tagsMu.Unlock()
	return r.apiKnown, r.api
}

func (r *Repository) setReferrersAPI(has bool) {
	r.tagsMu.Lock()
	defer r.tagsMu.Unlock()
	r.apiKnown, r.api = true, has
}
