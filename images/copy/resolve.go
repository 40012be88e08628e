package copy

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sync/errgroup"

	"github.com/berth-registry/berth/images/manifest"
	"github.com/berth-registry/berth/images/reference"
	"github.com/berth-registry/berth/images/registry"
)

// task is one image to copy.
type task struct {
	result    Copied
	pair      *repoPair
	sourceRef string // tag or digest at the source
	targetRef string // tag or digest at the target
	main      *namedPart
	// attached are the referrers of the image and its platforms.
	attached []*attachment
	count    tally
	err      error
	reported bool // its end
}

// namedPart is a manifest and the name that it gets at the target.
type namedPart struct {
	pair     *repoPair
	ref      string
	part     *part
	left     []string // platforms that a reduced index leaves out
	atTarget bool     // the target has this digest under this name
}

// part is a manifest or an index, with its dependencies.
type part struct {
	pair     *repoPair
	content  manifest.Manifest
	children []*part
	blobs    []v1.Descriptor
	left     []string // platforms of an index that are not copied
	atTarget bool     // read from the target
}

type partKey struct {
	digest   v1.Hash
	atTarget bool
}

// resolvedPart is resolved once.
type resolvedPart struct {
	once sync.Once
	part *part
	err  error
}

// attachment is what refers to one digest.
type attachment struct {
	pair    *repoPair
	subject v1.Hash
	named   []*namedPart
	// referrers are the manifests in list, which is nil if the source has the referrers API.
	referrers []*part
	entries   []v1.Descriptor
	list      *manifest.Manifest
}

// maxChildren limits the manifests of one index.
const maxChildren = 4096

// addTasks adds a task for each image, once.
func (r *run) addTasks(images []reference.Reference) {
	seen := map[reference.Reference]bool{}
	for _, image := range images {
		if seen[image] {
			continue
		}
		seen[image] = true
		target := image
		if !r.keep {
			target = r.to.Target().Reference(image)
		}
		t := &task{result: Copied{Image: image, Target: target.String(), Digest: image.Digest()}, sourceRef: image.Tag(), targetRef: image.Tag()}
		if image.Digest() != "" {
			t.sourceRef = image.Digest()
		}
		if t.targetRef == "" {
			t.targetRef = t.sourceRef
		}
		t.pair, t.err = r.repoPair(image, target)
		r.tasks = append(r.tasks, t)
	}
	r.copier.Progress.begin(len(r.tasks))
}

// resolveImages makes tasks of images, or of all that the layout has if there are none, and finds the
// content of each, and how much of it is at the target. The problems are entries without a name; a
// task has its own error.
func (r *run) resolveImages(ctx context.Context, images []reference.Reference) (problems []error) {
	if len(images) == 0 && r.from != nil {
		images, problems = r.from.References()
	}
	r.addTasks(images)
	var g errgroup.Group
	g.SetLimit(cap(r.slots))
	for _, t := range r.tasks {
		g.Go(func() error {
			if t.err == nil {
				t.err = r.resolve(ctx, t)
			}
			r.copier.Progress.resolvedOne()
			return nil
		})
	}
	_ = g.Wait() // each task has its own error
	names := map[string]*task{}
	for _, t := range r.tasks {
		if t.err != nil {
			continue
		}
		key := t.pair.store + " " + t.result.Target
		if first := names[key]; first == nil {
			names[key] = t
		} else if first.main.part.content.Desc.Digest != t.main.part.content.Desc.Digest {
			t.err = fmt.Errorf("%s would be overwritten, it is also the name of %s; copy one of them to another path", t.result.Target, first.result.Image)
		}
	}
	return problems
}

func (r *run) resolve(ctx context.Context, t *task) error {
	var err error
	if t.main, err = r.resolveName(ctx, t.pair, t.sourceRef, t.targetRef, nil); err != nil {
		return err
	}
	t.result.Digest = t.main.part.content.Desc.Digest.String()
	if err := r.platforms(ctx, t); err != nil {
		return err
	}
	seen := map[v1.Hash]bool{}
	t.attached, err = r.resolveAttached(ctx, t.main.part, seen, 0)
	for _, a := range t.attached {
		t.result.Attached += len(a.named) + len(a.referrers)
	}
	return err
}

// resolveName resolves sourceRef, which is copied to targetRef. The target keeps what it has under that name
// if it is the same, or if accepts says so.
func (r *run) resolveName(ctx context.Context, pair *repoPair, sourceRef, targetRef string, accepts func(have, source manifest.Manifest) bool) (*namedPart, error) {
	n := &namedPart{pair: pair, ref: targetRef}
	have, err := slotted(ctx, r, func() (manifest.Manifest, error) { return pair.dst.Manifest(ctx, targetRef) })
	pair.noteMissing(err)
	reduces := r.copier.ReduceIndex && accepts == nil
	if err == nil && !reduces {
		same, err := r.isSame(ctx, pair, sourceRef, have)
		if err != nil {
			return nil, err
		}
		if same {
			n.part, err = r.resolvePart(ctx, pair, have, true, 0)
			if err == nil {
				n.atTarget = true
				return n, nil
			}
			// A dependency is missing: copy it.
		}
	} else if err != nil && !registry.IsHidden(err) && !manifest.IsDamaged(err) && (accepts != nil || !registry.IsUnreadable(err)) {
		return nil, err
	}
	c, err := slotted(ctx, r, func() (manifest.Manifest, error) { return pair.src.Manifest(ctx, sourceRef) })
	switch {
	case manifest.IsDamaged(err):
		return nil, err
	case manifest.IsNeeded(err):
		n.part, err = r.resolveNeededName(ctx, pair, sourceRef, err)
		n.atTarget = err == nil && have.Desc.Digest == n.part.content.Desc.Digest
		return n, err
	case errors.Is(err, manifest.ErrNotFound):
		return nil, errors.New("there is no such image at the source")
	}
	if err == nil && reduces {
		c, n.left, err = r.reduce(c)
	}
	if err != nil {
		return nil, err
	}
	if reduces && have.Raw != nil && have.Desc.Digest == c.Desc.Digest {
		accepts = func(manifest.Manifest, manifest.Manifest) bool { return true }
	}
	if accepts != nil && have.Raw != nil && accepts(have, c) {
		if n.part, err = r.resolvePart(ctx, pair, have, true, 0); err == nil {
			n.atTarget = true
			return n, nil
		}
	}
	n.part, err = r.resolvePart(ctx, pair, c, false, 0)
	return n, err
}

// isSame reports whether the source has the same digest as the target.
func (r *run) isSame(ctx context.Context, pair *repoPair, sourceRef string, have manifest.Manifest) (bool, error) {
	if want, err := v1.NewHash(sourceRef); err == nil {
		return want == have.Desc.Digest, nil
	}
	same, err := slotted(ctx, r, func() (bool, error) {
		if src, ok := pair.src.(*registry.Repository); ok {
			return src.HasManifest(ctx, sourceRef, have.Desc)
		}
		want, err := pair.src.Digest(ctx, sourceRef)
		return want == have.Desc.Digest, err
	})
	if errors.Is(err, manifest.ErrNotFound) {
		return false, fmt.Errorf("there is no such image at the source; the target has one with the digest %s", have.Desc.Digest)
	}
	return same, err
}

// resolvePart resolves a manifest and its dependencies, read from the target if atTarget.
func (r *run) resolvePart(ctx context.Context, pair *repoPair, c manifest.Manifest, atTarget bool, depth int) (*part, error) {
	if depth > manifest.MaxNesting {
		return nil, fmt.Errorf("index %s: is nested deeper than %d levels", c.Desc.Digest, manifest.MaxNesting)
	}
	key := partKey{c.Desc.Digest, atTarget}
	pair.mu.Lock()
	p := pair.parts[key]
	if p == nil {
		p = &resolvedPart{}
		pair.parts[key] = p
	}
	pair.mu.Unlock()
	p.once.Do(func() {
		p.part = &part{pair: pair, content: c, atTarget: atTarget}
		if c.Desc.MediaType.IsIndex() {
			p.err = r.resolveIndex(ctx, p.part, depth)
		} else {
			p.part.blobs, p.err = manifest.Blobs(c)
		}
		if atTarget && r.into != nil && p.err == nil {
			p.err = r.slot(ctx, func() error { return r.checkBlobs(ctx, p.part) })
		}
	})
	return p.part, p.err
}

// checkBlobs returns an error if a blob of a manifest is missing from the target directory.
func (r *run) checkBlobs(ctx context.Context, p *part) error {
	for _, d := range p.blobs {
		if err := r.into.CheckBlob(ctx, d, r.copier.Verify); err != nil {
			return err
		}
	}
	return nil
}

func (r *run) resolveIndex(ctx context.Context, p *part, depth int) error {
	index, err := manifest.ReadIndex(p.content)
	if err != nil {
		return err
	}
	if len(index.Manifests) > maxChildren {
		return fmt.Errorf("index %s: lists %d manifests, which is more than %d", p.content.Desc.Digest, len(index.Manifests), maxChildren)
	}
	p.children = make([]*part, len(index.Manifests))
	chosen := r.choose(p, index)
	p.left = manifest.LeftOut(index, chosen)
	// Other tasks may wait for this part: an error must not cancel it.
	var g errgroup.Group
	for i, d := range index.Manifests {
		if !chosen[i] {
			continue
		}
		if !d.MediaType.IsIndex() && !d.MediaType.IsImage() {
			p.blobs = append(p.blobs, d)
			continue
		}
		g.Go(func() error {
			var err error
			p.children[i], err = r.resolveDigest(ctx, p.pair, d, p.atTarget, depth+1)
			return err
		})
	}
	err = g.Wait()
	p.children = slices.DeleteFunc(p.children, func(c *part) bool { return c == nil })
	return err
}

// resolveDigest reads a manifest by digest and resolves it.
func (r *run) resolveDigest(ctx context.Context, pair *repoPair, d v1.Descriptor, atTarget bool, depth int) (*part, error) {
	at := origin(pair.src)
	if atTarget {
		at = pair.dst
	}
	c, err := slotted(ctx, r, func() (manifest.Manifest, error) { return at.Manifest(ctx, d.Digest.String()) })
	if !atTarget && r.from != nil && errors.Is(err, manifest.ErrNotFound) {
		return nil, r.from.Damaged(d.Digest, err)
	}
	if manifest.IsDamaged(err) {
		return nil, err // names the file already
	}
	if manifest.IsNeeded(err) {
		return r.resolveNeeded(ctx, pair, d.Digest, depth, err)
	}
	if err != nil {
		return nil, fmt.Errorf("manifest %s: %w", d.Digest, err)
	}
	return r.resolvePart(ctx, pair, c, atTarget, depth)
}

// resolveNeededName is resolveNeeded for a tag or a digest of the source.
func (r *run) resolveNeededName(ctx context.Context, pair *repoPair, sourceRef string, needed error) (*part, error) {
	d, err := pair.src.Digest(ctx, sourceRef)
	if err != nil {
		return nil, err
	}
	return r.resolveNeeded(ctx, pair, d, 0, needed)
}

// resolveNeeded resolves a manifest that a bundle leaves out: the target has it if it has the base.
func (r *run) resolveNeeded(ctx context.Context, pair *repoPair, d v1.Hash, depth int, needed error) (*part, error) {
	c, err := slotted(ctx, r, func() (manifest.Manifest, error) { return pair.dst.Manifest(ctx, d.String()) })
	if registry.IsHidden(err) || manifest.IsDamaged(err) {
		return nil, needed
	}
	if err != nil {
		return nil, fmt.Errorf("manifest %s: %w", d, err)
	}
	return r.resolvePart(ctx, pair, c, true, depth)
}

// resolveAttached finds what refers to a part, to its children, and to their referrers.
func (r *run) resolveAttached(ctx context.Context, p *part, seen map[v1.Hash]bool, depth int) ([]*attachment, error) {
	d := p.content.Desc.Digest
	if seen[d] || depth > manifest.MaxNesting {
		return nil, nil
	}
	seen[d] = true
	var all []*attachment
	for _, child := range p.children {
		more, err := r.resolveAttached(ctx, child, seen, depth)
		if err != nil {
			return nil, err
		}
		all = append(all, more...)
	}
	a, err := r.resolveAttachment(ctx, p.pair, d)
	if err != nil || a == nil {
		return all, err
	}
	all = append(all, a)
	for _, referrer := range a.referrers {
		more, err := r.resolveAttached(ctx, referrer, seen, depth+1)
		if err != nil {
			return nil, err
		}
		all = append(all, more...)
	}
	return all, nil
}

// resolveAttachment returns nil if nothing refers to d.
func (r *run) resolveAttachment(ctx context.Context, pair *repoPair, d v1.Hash) (*attachment, error) {
	found, err := slotted(ctx, r, func() (manifest.Attached, error) { return pair.src.Attached(ctx, d) })
	if err != nil || len(found.Tags) == 0 && len(found.Referrers) == 0 {
		return nil, err
	}
	a := &attachment{pair: pair, subject: d, list: found.List, entries: found.Referrers}
	for _, tag := range found.Tags {
		n, err := r.resolveName(ctx, pair, tag, tag, manifest.HoldsLayers)
		if manifest.IsDamaged(err) {
			return nil, err
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", tag, err)
		}
		a.named = append(a.named, n)
	}
	for _, entry := range found.Referrers {
		p, err := r.resolveDigest(ctx, pair, entry, false, 1)
		if errors.Is(err, manifest.ErrNotFound) && !manifest.IsDamaged(err) {
			continue // the list is outdated
		}
		if err != nil {
			return nil, err
		}
		a.referrers = append(a.referrers, p)
	}
	return a, nil
}
