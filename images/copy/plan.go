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
	result Copied
	lane   *repoPair
	get    string // tag or digest at the source
	name   string // tag or digest at the target
	main   *named
	// attached is what belongs to the image and its platforms.
	attached []*attachment
	err      error
}

// named is a manifest and the name under which it goes to the target.
type named struct {
	lane  *repoPair
	name  string
	part  *part
	left  []string // platforms that a reduced index does not list
	there bool     // the target has the name already, for the same digest
}

// part is a manifest or an index, and what it needs.
type part struct {
	lane     *repoPair
	content  manifest.Manifest
	children []*part
	blobs    []v1.Descriptor
	left     []string // platforms of an index that are not copied
	there    bool     // read from the target
}

type partKey struct {
	digest v1.Hash
	there  bool
}

// plannedPart is a part that is planned once.
type plannedPart struct {
	once sync.Once
	part *part
	err  error
}

// attachment is what belongs to one digest.
type attachment struct {
	lane    *repoPair
	subject v1.Hash
	named   []*named
	// referrers are the manifests that list (an index, or nil where the
	// source has the API) lists.
	referrers []*part
	entries   []v1.Descriptor
	list      *manifest.Manifest
}

// maxChildren is how many manifests one index may list.
const maxChildren = 4096

// addTasks makes a task of each image, once.
func (r *run) addTasks(images []reference.Reference) {
	seen := map[reference.Reference]bool{}
	for _, image := range images {
		if seen[image] {
			continue
		}
		seen[image] = true
		target := image
		if r.into == nil {
			target = r.to.Target().Reference(image)
		}
		t := &task{result: Copied{Image: image, Target: target.String(), Digest: image.Digest()}, get: image.Tag(), name: image.Tag()}
		if image.Digest() != "" {
			t.get = image.Digest()
		}
		if t.name == "" {
			t.name = t.get
		}
		t.lane, t.err = r.repoPair(image, target)
		r.tasks = append(r.tasks, t)
	}
	r.copier.Progress.begin(len(r.tasks))
}

// planAll finds out what each image is made of, and what of it is there.
func (r *run) planAll(ctx context.Context) {
	var g errgroup.Group
	g.SetLimit(cap(r.slots))
	for _, t := range r.tasks {
		g.Go(func() error {
			if t.err == nil {
				t.err = r.plan(ctx, t)
			}
			r.copier.Progress.planned()
			return nil
		})
	}
	_ = g.Wait() // each task has its own error
	names := map[string]*task{}
	for _, t := range r.tasks {
		if t.err != nil {
			continue
		}
		key := t.lane.store + " " + t.result.Target
		if first := names[key]; first == nil {
			names[key] = t
		} else if first.main.part.content.Desc.Digest != t.main.part.content.Desc.Digest {
			t.err = fmt.Errorf("%s would be overwritten, which is what %s becomes; copy one of them to another path", t.result.Target, first.result.Image)
		}
	}
}

func (r *run) plan(ctx context.Context, t *task) error {
	var err error
	if t.main, err = r.planName(ctx, t.lane, t.get, t.name, nil); err != nil {
		return err
	}
	t.result.Digest = t.main.part.content.Desc.Digest.String()
	if err := r.platforms(ctx, t); err != nil {
		return err
	}
	seen := map[v1.Hash]bool{}
	t.attached, err = r.planAttached(ctx, t.main.part, seen, 0)
	for _, a := range t.attached {
		t.result.Attached += len(a.named) + len(a.referrers)
	}
	return err
}

// planName plans what get names at the source, to become name at the target.
// What the target has under that name stays if it is the same, or if good says
// that it will do.
func (r *run) planName(ctx context.Context, l *repoPair, get, name string, good func(have, source manifest.Manifest) bool) (*named, error) {
	n := &named{lane: l, name: name}
	var have manifest.Manifest
	err := r.slot(ctx, func() error {
		var err error
		have, err = l.dst.Manifest(ctx, name)
		return err
	})
	l.had(err)
	reduces := r.copier.ReduceIndex && good == nil
	if err == nil && !reduces {
		same, err := r.same(ctx, l, get, have)
		if err != nil {
			return nil, err
		}
		if same {
			n.part, err = r.planPart(ctx, l, have, true, 0)
			if err == nil {
				n.there = true
				return n, nil
			}
			// Something that it needs is missing after all.
		}
	} else if err != nil && !registry.IsHidden(err) && !manifest.IsDamaged(err) && (good != nil || !registry.IsUnreadable(err)) {
		return nil, err
	}
	var c manifest.Manifest
	err = r.slot(ctx, func() error {
		var err error
		c, err = l.src.Manifest(ctx, get)
		return err
	})
	if manifest.IsDamaged(err) {
		return nil, err
	}
	if errors.Is(err, manifest.ErrNotFound) {
		return nil, errors.New("there is no such image at the source")
	}
	if err == nil && reduces {
		c, n.left, err = r.reduce(c)
	}
	if err != nil {
		return nil, err
	}
	if reduces && have.Raw != nil && have.Desc.Digest == c.Desc.Digest {
		good = func(manifest.Manifest, manifest.Manifest) bool { return true }
	}
	if good != nil && have.Raw != nil && good(have, c) {
		if n.part, err = r.planPart(ctx, l, have, true, 0); err == nil {
			n.there = true
			return n, nil
		}
	}
	n.part, err = r.planPart(ctx, l, c, false, 0)
	return n, err
}

// same tells whether what the target has is what the source has.
func (r *run) same(ctx context.Context, l *repoPair, get string, have manifest.Manifest) (bool, error) {
	if want, err := v1.NewHash(get); err == nil {
		return want == have.Desc.Digest, nil
	}
	same := false
	err := r.slot(ctx, func() error {
		if src, ok := l.src.(*registry.Repository); ok {
			var err error
			same, err = src.HasManifest(ctx, get, have.Desc)
			return err
		}
		want, err := l.src.Digest(ctx, get)
		same = want == have.Desc.Digest
		return err
	})
	if errors.Is(err, manifest.ErrNotFound) {
		return false, fmt.Errorf("there is no such image at the source; the target has one with the digest %s", have.Desc.Digest)
	}
	return same, err
}

// planPart reads a manifest and what it holds, from the target if it is there.
func (r *run) planPart(ctx context.Context, l *repoPair, c manifest.Manifest, there bool, depth int) (*part, error) {
	if depth > manifest.MaxNesting {
		return nil, fmt.Errorf("index %s: lies deeper than %d others", c.Desc.Digest, manifest.MaxNesting)
	}
	key := partKey{c.Desc.Digest, there}
	l.mu.Lock()
	p := l.parts[key]
	if p == nil {
		p = &plannedPart{}
		l.parts[key] = p
	}
	l.mu.Unlock()
	p.once.Do(func() {
		p.part = &part{lane: l, content: c, there: there}
		if c.Desc.MediaType.IsIndex() {
			p.err = r.planIndex(ctx, p.part, depth)
		} else {
			p.part.blobs, p.err = manifest.BlobsOf(c)
		}
		if there && r.into != nil && p.err == nil {
			p.err = r.slot(ctx, func() error { return r.checkBlobs(ctx, p.part) })
		}
	})
	return p.part, p.err
}

// checkBlobs reports a blob that a layout has not, although it has the manifest.
func (r *run) checkBlobs(ctx context.Context, p *part) error {
	for _, d := range p.blobs {
		if err := r.into.CheckBlob(ctx, d, r.copier.Verify); err != nil {
			return err
		}
	}
	return nil
}

func (r *run) planIndex(ctx context.Context, p *part, depth int) error {
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
	// What is planned here, others may wait for: an error must not end it.
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
			p.children[i], err = r.planDigest(ctx, p.lane, d, p.there, depth+1)
			return err
		})
	}
	err = g.Wait()
	p.children = slices.DeleteFunc(p.children, func(c *part) bool { return c == nil })
	return err
}

// planDigest gets a manifest by digest and plans it.
func (r *run) planDigest(ctx context.Context, l *repoPair, d v1.Descriptor, there bool, depth int) (*part, error) {
	var at origin = l.src
	if there {
		at = l.dst
	}
	var c manifest.Manifest
	err := r.slot(ctx, func() error {
		var err error
		c, err = at.Manifest(ctx, d.Digest.String())
		return err
	})
	if !there && r.from != nil && errors.Is(err, manifest.ErrNotFound) {
		return nil, r.from.Damaged(d.Digest, err)
	}
	if manifest.IsDamaged(err) {
		return nil, err // it names the file
	}
	if err != nil {
		return nil, fmt.Errorf("manifest %s: %w", d.Digest, err)
	}
	return r.planPart(ctx, l, c, there, depth)
}

// planAttached finds what belongs to a part, to its children, and to what
// refers to them.
func (r *run) planAttached(ctx context.Context, p *part, seen map[v1.Hash]bool, depth int) ([]*attachment, error) {
	d := p.content.Desc.Digest
	if seen[d] || depth > manifest.MaxNesting {
		return nil, nil
	}
	seen[d] = true
	var all []*attachment
	for _, child := range p.children {
		more, err := r.planAttached(ctx, child, seen, depth)
		if err != nil {
			return nil, err
		}
		all = append(all, more...)
	}
	a, err := r.planAttachment(ctx, p.lane, d)
	if err != nil || a == nil {
		return all, err
	}
	all = append(all, a)
	for _, referrer := range a.referrers {
		more, err := r.planAttached(ctx, referrer, seen, depth+1)
		if err != nil {
			return nil, err
		}
		all = append(all, more...)
	}
	return all, nil
}

// planAttachment gives nil if nothing belongs to d.
func (r *run) planAttachment(ctx context.Context, l *repoPair, d v1.Hash) (*attachment, error) {
	var found manifest.Attached
	err := r.slot(ctx, func() error {
		var err error
		found, err = l.src.Attached(ctx, d)
		return err
	})
	if err != nil || len(found.Tags) == 0 && len(found.Referrers) == 0 {
		return nil, err
	}
	a := &attachment{lane: l, subject: d, list: found.List, entries: found.Referrers}
	for _, tag := range found.Tags {
		n, err := r.planName(ctx, l, tag, tag, manifest.HoldsLayers)
		if manifest.IsDamaged(err) {
			return nil, err
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", tag, err)
		}
		a.named = append(a.named, n)
	}
	for _, entry := range found.Referrers {
		p, err := r.planDigest(ctx, l, entry, false, 1)
		if errors.Is(err, manifest.ErrNotFound) && !manifest.IsDamaged(err) {
			continue // the list is out of date
		}
		if err != nil {
			return nil, err
		}
		a.referrers = append(a.referrers, p)
	}
	return a, nil
}
