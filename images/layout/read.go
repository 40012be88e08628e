package layout

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"strings"
	"sync"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/berth-registry/berth/images/manifest"
	"github.com/berth-registry/berth/images/transfer"
)

// Repository is the part of a layout with one image name.
type Repository struct {
	layout *Layout
	name   string
}

// FullName is the complete reference of a tag or a digest in a repository with its registry.
func FullName(repository, ref string) string {
	if strings.Contains(ref, ":") {
		return repository + "@" + ref
	}
	return repository + ":" + ref
}

func (r *Repository) full(ref string) string { return FullName(r.name, ref) }

// entry returns the entry of index.json for a tag or a digest.
func (r *Repository) entry(ref string) (v1.Descriptor, bool) {
	r.layout.mu.Lock()
	defer r.layout.mu.Unlock()
	d, ok := r.layout.byName[r.full(ref)]
	return d, ok
}

// Digest returns the digest of a tag, or of a digest whose content is there.
func (r *Repository) Digest(_ context.Context, ref string) (v1.Hash, error) {
	d, listed := r.entry(ref)
	if !strings.Contains(ref, ":") {
		if !listed {
			return v1.Hash{}, manifest.ErrNotFound
		}
		return d.Digest, nil
	}
	digest, err := v1.NewHash(ref)
	if err != nil {
		return digest, fmt.Errorf("digest %q: %w", ref, err)
	}
	_, err = r.layout.files.Stat(BlobPath(digest))
	switch {
	case manifest.IsNeeded(err):
		return digest, nil // where the images are used, the other file is there too
	case errors.Is(err, fs.ErrNotExist) && !listed:
		return digest, manifest.ErrNotFound
	case err != nil:
		return digest, r.layout.Damaged(digest, err)
	}
	return digest, nil
}

// Manifest reads the manifest of a tag or a digest. The error is ErrNotFound alone if the index has
// no such entry, and a *manifest.DamagedError if its file is missing or altered.
func (r *Repository) Manifest(ctx context.Context, ref string) (manifest.Manifest, error) {
	d, err := r.Digest(ctx, ref)
	if err != nil {
		return manifest.Manifest{}, err
	}
	return r.layout.Manifest(d)
}

// Manifest reads a manifest by its digest.
func (l *Layout) Manifest(d v1.Hash) (manifest.Manifest, error) {
	raw, err := l.files.Read(BlobPath(d), manifest.MaxSize)
	if err != nil {
		return manifest.Manifest{}, l.Damaged(d, err)
	}
	got, err := manifest.DigestOf(d.Algorithm, raw)
	if err != nil {
		return manifest.Manifest{}, err
	}
	if got != d {
		return manifest.Manifest{}, l.Damaged(d, manifest.ErrContent)
	}
	return manifest.New("", d, raw)
}

// Blob opens a blob, which is verified while it is read.
func (r *Repository) Blob(_ context.Context, d v1.Descriptor) (io.ReadCloser, error) {
	return r.layout.blob(d)
}

func (l *Layout) blob(d v1.Descriptor) (io.ReadCloser, error) {
	f, size, err := l.files.Open(BlobPath(d.Digest))
	if err != nil {
		return nil, l.Damaged(d.Digest, err)
	}
	if err := sized(size, d); err != nil {
		return nil, errors.Join(l.Damaged(d.Digest, err), f.Close())
	}
	body, err := manifest.Verified(f, d)
	if err != nil {
		return nil, err
	}
	return &blob{body, l}, nil
}

// OpenBlob opens a blob without verifying it. The error is manifest.ErrNotFound if it is missing.
func (l *Layout) OpenBlob(d v1.Hash) (io.ReadSeekCloser, error) {
	name := BlobPath(d)
	body, size, err := l.files.Open(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, manifest.ErrNotFound
	case err != nil:
		return nil, l.Damaged(d, err)
	}
	if file, ok := body.(io.ReadSeekCloser); ok {
		return file, nil
	}
	return &seekable{files: l.files, name: name, size: size, body: body}, nil
}

// Named returns the complete reference of each entry of the index, and what it names.
func (l *Layout) Named() map[string]v1.Descriptor {
	l.mu.Lock()
	defer l.mu.Unlock()
	return maps.Clone(l.byName)
}

func sized(size int64, d v1.Descriptor) error {
	if size == d.Size {
		return nil
	}
	return fmt.Errorf("is %d bytes long and not %d", size, d.Size)
}

// blob is a blob whose errors name the file.
type blob struct {
	*manifest.VerifiedBlob
	layout *Layout
}

// Read implements io.Reader.
func (b *blob) Read(p []byte) (int, error) {
	n, err := b.VerifiedBlob.Read(p)
	if err != nil && err != io.EOF {
		if errors.Is(err, manifest.ErrContent) {
			err = manifest.ErrContent
		}
		err = b.layout.Damaged(b.Desc.Digest, err)
	}
	return n, err
}

// CheckBlob returns an error if a blob is missing or has another size; with verify also if it has
// another digest, which is computed once. The end of ctx is an error.
func (l *Layout) CheckBlob(ctx context.Context, d v1.Descriptor, verify bool) error {
	size, err := l.files.Stat(BlobPath(d.Digest))
	if err == nil {
		err = sized(size, d)
	}
	if err != nil {
		return l.Damaged(d.Digest, err)
	}
	if !verify {
		return nil
	}
	l.mu.Lock()
	verified := l.verified[d.Digest]
	if verified == nil {
		verified = sync.OnceValue(func() error { return l.verify(ctx, d) })
		l.verified[d.Digest] = verified
	}
	l.mu.Unlock()
	return verified()
}

// verify computes the digest of a blob.
func (l *Layout) verify(ctx context.Context, d v1.Descriptor) error {
	body, err := l.blob(d)
	if err == nil {
		defer body.Close()
		_, err = io.Copy(io.Discard, transfer.UntilEnd(ctx, body))
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.altered[d.Digest] = err != nil
	return err
}

// Needed returns why a blob is left out of the layout, nil if it is not left out.
func (l *Layout) Needed(d v1.Hash) *manifest.NeededError {
	_, err := l.files.Stat(BlobPath(d))
	needed, _ := errors.AsType[*manifest.NeededError](err)
	return needed
}

// Attached returns what refers to a digest, found by the tags for registries without the referrers
// API.
func (r *Repository) Attached(ctx context.Context, d v1.Hash) (manifest.Attached, error) {
	var a manifest.Attached
	for _, suffix := range manifest.CosignSuffixes {
		tag := manifest.ReferrersTag(d) + suffix
		if _, listed := r.entry(tag); listed {
			a.Tags = append(a.Tags, tag)
		}
	}
	if _, listed := r.entry(manifest.ReferrersTag(d)); !listed {
		return a, nil
	}
	c, err := r.Manifest(ctx, manifest.ReferrersTag(d))
	if err != nil {
		return a, err
	}
	return a, a.TakeList(c, manifest.ReferrersTag(d))
}

// ListsReferrers returns false: in a layout, referrers are listed under a tag.
func (r *Repository) ListsReferrers(context.Context, v1.Hash) (bool, error) { return false, nil }
