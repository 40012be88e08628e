package check

import (
	"context"
	"errors"
	"fmt"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sync/errgroup"

	"github.com/berth-registry/berth/images/bundle"
	"github.com/berth-registry/berth/images/layout"
	"github.com/berth-registry/berth/images/manifest"
	"github.com/berth-registry/berth/images/reference"
)

// CheckLayout checks each image in a directory or a bundle: index, manifests, blobs by size and
// with Verify by digest, signatures and other referrers; and compares with the source if it can be
// asked. Without images it checks all that From has, or else the directory; problems are then entries
// without a name. The error is about the directory, the bundle or From, or the cause of the end of
// ctx.
func (c *Checker) CheckLayout(ctx context.Context, images []reference.Reference, at reference.Location) (all []Checked, problems []error, err error) {
	l, err := bundle.OpenLocation(at)
	if err != nil {
		return nil, nil, err
	}
	k, err := c.begin()
	if err != nil {
		return nil, nil, errors.Join(err, l.Close())
	}
	if len(images) == 0 {
		named := l
		if k.from != nil {
			named = k.from
		}
		images, problems = named.References()
	}
	all = make([]Checked, len(images))
	var g errgroup.Group
	g.SetLimit(k.client.Jobs())
	for i, image := range images {
		g.Go(func() error {
			all[i] = k.inLayout(ctx, l, image, at)
			return nil
		})
	}
	_ = g.Wait() // each image has its own finding
	return all, problems, errors.Join(l.Close(), k.end(), context.Cause(ctx))
}

// inLayout checks one image.
func (k *run) inLayout(ctx context.Context, l *layout.Layout, image reference.Reference, at reference.Location) Checked {
	found := Checked{Image: image, Target: at.String()}
	repo := l.Repository(image.Name())
	ref := image.Tag()
	if ref == "" {
		ref = image.Digest()
	}
	have, err := repo.Manifest(ctx, ref)
	switch {
	case manifest.IsDamaged(err):
		return found.with(FoundIncomplete, err)
	case manifest.IsNeeded(err):
		if d, digestErr := repo.Digest(ctx, ref); digestErr == nil {
			found.Digest = d.String()
		}
		return found.with(FoundNeedsBase, err)
	case errors.Is(err, manifest.ErrNotFound):
		return found.with(FoundMissing, nil)
	case err != nil:
		return found.with(FoundUnreachable, err)
	}
	source := k.source(ctx, image)
	if source.err == nil {
		found.Source = source.digest.String()
	}
	if found, same := found.compare(have, source, k.platforms == nil); !same {
		return found
	}
	found.Digest = have.Desc.Digest.String()
	w := &completeness{k: k, store: layoutStore{l, k.verify}, repo: repo, seen: map[v1.Hash]bool{}}
	return w.check(ctx, have, found).same(source)
}

// store has the content of images, whatever their names.
type store interface {
	manifest(ctx context.Context, d v1.Hash) (manifest.Manifest, error)
	checkBlob(ctx context.Context, d v1.Descriptor) error
	// isWrong reports whether an error is about content, and not about reading it.
	isWrong(err error) bool
}

// layoutStore is a layout with all of its files.
type layoutStore struct {
	*layout.Layout
	verify bool
}

func (l layoutStore) manifest(_ context.Context, d v1.Hash) (manifest.Manifest, error) {
	return l.Manifest(d)
}

func (l layoutStore) checkBlob(ctx context.Context, d v1.Descriptor) error {
	return l.CheckBlob(ctx, d, l.verify)
}

func (layoutStore) isWrong(error) bool { return true }

// completeness checks that a layout or a registry has all content of an image.
type completeness struct {
	k      *run
	store  store
	repo   namedSource
	seen   map[v1.Hash]bool
	err    error // the first
	more   int   // number of further errors
	needed error // something is left out, because the base of a bundle has it
}

// namedSource is a repository in which images are found by their names.
type namedSource interface {
	platformSource
	Manifest(ctx context.Context, ref string) (manifest.Manifest, error)
	Attached(ctx context.Context, d v1.Hash) (manifest.Attached, error)
}

// check returns the finding for an image, without one if nothing is wrong.
func (w *completeness) check(ctx context.Context, have manifest.Manifest, found Checked) Checked {
	w.image(ctx, have, &found)
	switch {
	case ctx.Err() != nil:
		return found.with(FoundUnreachable, context.Cause(ctx))
	case w.err != nil:
		finding := FoundIncomplete
		if !w.store.isWrong(w.err) {
			finding = FoundUnreachable
		}
		if w.more > 0 {
			w.err = fmt.Errorf("%w; and %d more of its files", w.err, w.more)
		}
		return found.with(finding, w.err)
	case len(found.Missing) > 0:
		return found.complete()
	case w.needed != nil:
		return found.with(FoundNeedsBase, w.needed)
	}
	return found
}

func (w *completeness) addError(err error) {
	switch {
	case err == nil:
	case manifest.IsNeeded(err):
		w.needed = err
	case w.err == nil:
		w.err = err
	default:
		w.more++
	}
}

// image checks an image, its required platforms, and their referrers.
func (w *completeness) image(ctx context.Context, c manifest.Manifest, found *Checked) {
	if !c.Desc.MediaType.IsIndex() {
		w.content(ctx, c, 0)
		if w.err == nil {
			w.addError(w.k.comparePlatforms(ctx, w.repo, c, found))
		}
		return
	}
	w.addError(w.k.comparePlatforms(ctx, w.repo, c, found))
	index, err := manifest.ReadIndex(c)
	if err != nil {
		w.addError(err)
		return
	}
	w.attached(ctx, c.Desc.Digest, 0)
	for _, d := range index.Manifests {
		if w.k.wants(d) {
			w.child(ctx, d, 0)
		}
	}
}

// wants reports whether a manifest of an index is for a required platform.
func (k *run) wants(d v1.Descriptor) bool {
	if k.platforms == nil {
		return true
	}
	p := manifest.PlatformOf(d.Platform)
	for _, wanted := range k.platforms {
		if p.Matches(wanted) {
			return true
		}
	}
	return false
}

// child checks a manifest of an index. If it is missing, its platform is already in Missing.
func (w *completeness) child(ctx context.Context, d v1.Descriptor, depth int) {
	if !d.MediaType.IsIndex() && !d.MediaType.IsImage() {
		w.addError(w.store.checkBlob(ctx, d))
		return
	}
	c, err := w.store.manifest(ctx, d.Digest)
	switch {
	case errors.Is(err, manifest.ErrNotFound) && depth == 0:
	case err != nil:
		w.addError(err)
	default:
		w.content(ctx, c, depth)
	}
}

// content checks a manifest, its dependencies, and its referrers.
func (w *completeness) content(ctx context.Context, c manifest.Manifest, depth int) {
	if depth > manifest.MaxNesting || ctx.Err() != nil || w.seen[c.Desc.Digest] {
		return
	}
	w.seen[c.Desc.Digest] = true
	w.attached(ctx, c.Desc.Digest, depth)
	if c.Desc.MediaType.IsIndex() {
		index, err := manifest.ReadIndex(c)
		w.addError(err)
		for _, d := range index.Manifests {
			w.child(ctx, d, depth+1)
		}
		return
	}
	blobs, err := manifest.Blobs(c)
	w.addError(err)
	for _, d := range blobs {
		if ctx.Err() != nil {
			return
		}
		w.addError(w.store.checkBlob(ctx, d))
	}
}

// attached checks signatures and referrers.
func (w *completeness) attached(ctx context.Context, d v1.Hash, depth int) {
	a, err := w.repo.Attached(ctx, d)
	w.addError(err)
	for _, tag := range a.Tags {
		c, err := w.repo.Manifest(ctx, tag)
		w.addError(err)
		if err == nil {
			w.content(ctx, c, depth+1)
		}
	}
	for _, d := range a.Referrers {
		w.child(ctx, d, depth+1)
	}
}
