package images

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// layoutRepository is the part of a layout that has one name.
type layoutRepository struct {
	layout *layout
	name   string
}

// full is the reference of a tag or a digest here.
func (r *layoutRepository) full(ref string) string {
	if strings.Contains(ref, ":") {
		return r.name + "@" + ref
	}
	return r.name + ":" + ref
}

// digest gives the digest of a tag, or of a digest if its content is there.
func (r *layoutRepository) digest(_ context.Context, ref string) (v1.Hash, error) {
	if !strings.Contains(ref, ":") {
		r.layout.mu.Lock()
		defer r.layout.mu.Unlock()
		d, ok := r.layout.byName[r.full(ref)]
		if !ok {
			return v1.Hash{}, errNotThere
		}
		return d.Digest, nil
	}
	d, err := v1.NewHash(ref)
	if err != nil {
		return d, fmt.Errorf("digest %q: %w", ref, err)
	}
	if _, err := os.Stat(r.layout.blobPath(d)); errors.Is(err, fs.ErrNotExist) {
		return d, errNotThere
	} else if err != nil {
		return d, err
	}
	return d, nil
}

// manifest reads what a tag or a digest names.
func (r *layoutRepository) manifest(ctx context.Context, ref string) (content, error) {
	d, err := r.digest(ctx, ref)
	if err != nil {
		return content{}, err
	}
	f, err := os.Open(r.layout.blobPath(d))
	if errors.Is(err, fs.ErrNotExist) {
		return content{}, errNotThere
	}
	if err != nil {
		return content{}, err
	}
	defer f.Close()
	raw, err := io.ReadAll(io.LimitReader(f, maxManifest+1))
	if err != nil {
		return content{}, err
	}
	if len(raw) > maxManifest {
		return content{}, fmt.Errorf("%s: is larger than the %d MiB of a manifest", f.Name(), maxManifest>>20)
	}
	got, err := digestOf(d.Algorithm, raw)
	if err != nil {
		return content{}, err
	}
	if got != d {
		return content{}, fmt.Errorf("%s: %w", f.Name(), errContent)
	}
	return newContent("", d, raw)
}

// blob opens a blob; it is verified while it is read.
func (r *layoutRepository) blob(_ context.Context, d v1.Descriptor) (io.ReadCloser, error) {
	f, err := os.Open(r.layout.blobPath(d.Digest))
	if err != nil {
		return nil, err
	}
	return verified(f, d)
}

// attached finds what belongs to a digest, by the tags that registries without
// the referrers API use.
func (r *layoutRepository) attached(ctx context.Context, d v1.Hash) (attached, error) {
	var a attached
	for _, suffix := range cosignSuffixes {
		tag := referrersTag(d) + suffix
		if _, err := r.digest(ctx, tag); err == nil {
			a.tags = append(a.tags, tag)
		}
	}
	c, err := r.manifest(ctx, referrersTag(d))
	if errors.Is(err, errNotThere) {
		return a, nil
	}
	if err != nil {
		return a, err
	}
	return a, a.takeList(c, referrersTag(d))
}

// listsReferrers: a layout has the tags.
func (r *layoutRepository) listsReferrers(context.Context, v1.Hash) (bool, error) { return false, nil }
