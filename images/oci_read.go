package images

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"sync"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/berth-registry/berth/internal/plainfile"
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

// entry is what index.json lists for a tag or a digest.
func (r *layoutRepository) entry(ref string) (v1.Descriptor, bool) {
	r.layout.mu.Lock()
	defer r.layout.mu.Unlock()
	d, ok := r.layout.byName[r.full(ref)]
	return d, ok
}

// digest gives the digest of a tag, or of a digest if its content is there.
func (r *layoutRepository) digest(_ context.Context, ref string) (v1.Hash, error) {
	d, listed := r.entry(ref)
	if !strings.Contains(ref, ":") {
		if !listed {
			return v1.Hash{}, errNotThere
		}
		return d.Digest, nil
	}
	digest, err := v1.NewHash(ref)
	if err != nil {
		return digest, fmt.Errorf("digest %q: %w", ref, err)
	}
	_, err = plainfile.Stat(r.layout.root, blobPath(digest))
	switch {
	case errors.Is(err, fs.ErrNotExist) && !listed:
		return digest, errNotThere
	case err != nil:
		return digest, r.layout.damaged(digest, err)
	}
	return digest, nil
}

// manifest reads what a tag or a digest names. What the index does not name is errNotThere alone,
// a file that should be there a *damagedError.
func (r *layoutRepository) manifest(ctx context.Context, ref string) (content, error) {
	d, err := r.digest(ctx, ref)
	if err != nil {
		return content{}, err
	}
	return r.layout.manifest(d)
}

// manifest reads a manifest by its digest.
func (l *layout) manifest(d v1.Hash) (content, error) {
	raw, err := plainfile.Read(l.root, blobPath(d), maxManifest)
	if err != nil {
		return content{}, l.damaged(d, err)
	}
	got, err := digestOf(d.Algorithm, raw)
	if err != nil {
		return content{}, err
	}
	if got != d {
		return content{}, l.damaged(d, errContent)
	}
	return newContent("", d, raw)
}

// blob opens a blob; it is verified while it is read.
func (r *layoutRepository) blob(_ context.Context, d v1.Descriptor) (io.ReadCloser, error) {
	return r.layout.blob(d)
}

func (l *layout) blob(d v1.Descriptor) (io.ReadCloser, error) {
	f, info, err := plainfile.Open(l.root, blobPath(d.Digest), os.O_RDONLY)
	if err != nil {
		return nil, l.damaged(d.Digest, err)
	}
	if err := sized(info, d); err != nil {
		return nil, errors.Join(l.damaged(d.Digest, err), f.Close())
	}
	body, err := verified(f, d)
	if err != nil {
		return nil, err
	}
	return &layoutBlob{body, l}, nil
}

func sized(info fs.FileInfo, d v1.Descriptor) error {
	if info.Size() == d.Size {
		return nil
	}
	return fmt.Errorf("is %d bytes long and not %d", info.Size(), d.Size)
}

// layoutBlob is a blob whose errors name the file.
type layoutBlob struct {
	*verifiedBlob
	layout *layout
}

// Read implements io.Reader.
func (b *layoutBlob) Read(p []byte) (int, error) {
	n, err := b.verifiedBlob.Read(p)
	if err != nil && err != io.EOF {
		if errors.Is(err, errContent) {
			err = errContent
		}
		err = b.layout.damaged(b.desc.Digest, err)
	}
	return n, err
}

// checkBlob reports a blob that is not there, or has another size; with verify also one with
// another digest, which is computed once. The end of ctx is an error.
func (l *layout) checkBlob(ctx context.Context, d v1.Descriptor, verify bool) error {
	info, err := plainfile.Stat(l.root, blobPath(d.Digest))
	if err == nil {
		err = sized(info, d)
	}
	if err != nil {
		return l.damaged(d.Digest, err)
	}
	if !verify {
		return nil
	}
	l.mu.Lock()
	r := l.hashed[d.Digest]
	if r == nil {
		r = &hashed{}
		l.hashed[d.Digest] = r
	}
	l.mu.Unlock()
	r.once.Do(func() {
		var body io.ReadCloser
		if body, r.err = l.blob(d); r.err == nil {
			defer body.Close()
			_, r.err = io.Copy(io.Discard, untilEnd(ctx, body))
		}
	})
	return r.err
}

// hashed is the digest of a blob, which is computed once.
type hashed struct {
	once sync.Once
	err  error // that it is another one
}

// attached finds what belongs to a digest, by the tags that registries without
// the referrers API use.
func (r *layoutRepository) attached(ctx context.Context, d v1.Hash) (attached, error) {
	var a attached
	for _, suffix := range cosignSuffixes {
		tag := referrersTag(d) + suffix
		if _, listed := r.entry(tag); listed {
			a.tags = append(a.tags, tag)
		}
	}
	if _, listed := r.entry(referrersTag(d)); !listed {
		return a, nil
	}
	c, err := r.manifest(ctx, referrersTag(d))
	if err != nil {
		return a, err
	}
	return a, a.takeList(c, referrersTag(d))
}

// listsReferrers: a layout has the tags.
func (r *layoutRepository) listsReferrers(context.Context, v1.Hash) (bool, error) { return false, nil }
