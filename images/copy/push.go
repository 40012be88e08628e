package copy

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"golang.org/x/sync/errgroup"

	"github.com/berth-registry/berth/images/manifest"
	"github.com/berth-registry/berth/images/registry"
	"github.com/berth-registry/berth/images/transfer"
)

// tally counts what was done for one image.
type tally struct {
	mu                         sync.Mutex
	uploaded, mounted, present int
	bytes                      int64
	sent                       bool // anything at all
}

func (t *tally) blob(came transfer.Outcome, size int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch came {
	case transfer.Uploaded:
		t.uploaded++
		t.bytes += size
	case transfer.Mounted:
		t.mounted++
	default:
		t.present++
	}
	t.sent = t.sent || came != transfer.AlreadyPresent
}

func (t *tally) manifest() {
	t.mu.Lock()
	t.sent = true
	t.mu.Unlock()
}

// walk calls f for each part of the task, once.
func (t *task) walk(f func(*part)) {
	seen := map[*part]bool{}
	var visit func(*part)
	visit = func(p *part) {
		if p == nil || seen[p] {
			return
		}
		seen[p] = true
		f(p)
		for _, c := range p.children {
			visit(c)
		}
	}
	if t.main != nil {
		visit(t.main.part)
	}
	for _, a := range t.attached {
		for _, n := range a.named {
			visit(n.part)
		}
		for _, p := range a.referrers {
			visit(p)
		}
	}
}

// chooseHolders chooses for each blob the repository that has it or gets it first. The choice
// depends only on the images, so a run never uploads a blob that an earlier, killed run has
// uploaded to another repository.
func (r *run) chooseHolders() {
	present := map[string]bool{}
	var total int64
	for _, atTarget := range []bool{true, false} {
		for _, t := range r.tasks {
			if t.err != nil {
				continue
			}
			t.walk(func(p *part) {
				if p.atTarget != atTarget {
					return
				}
				for _, d := range p.blobs {
					key := blobKey(p.pair, d)
					if present[key] {
						continue
					}
					present[key] = true
					if atTarget {
						_ = r.once(key, func() error { return nil })
					} else {
						total += d.Size
					}
					if r.holders[d.Digest.String()] == nil {
						r.holders[d.Digest.String()] = p.pair
					}
				}
			})
		}
	}
	r.copier.Progress.expect(total)
}

// copyAll copies all planned tasks, in their order.
func (r *run) copyAll(ctx context.Context) {
	var g errgroup.Group
	g.SetLimit(cap(r.slots))
	var done sync.Mutex
	for _, t := range r.tasks {
		g.Go(func() error {
			r.copyTask(ctx, t)
			done.Lock()
			defer done.Unlock()
			r.copier.Progress.ended(t.result.Status)
			// Cancelled images are not reported.
			if r.copier.Done != nil && (ctx.Err() == nil || t.result.Status != StatusFailed) {
				r.copier.Done(t.result)
			}
			return nil
		})
	}
	_ = g.Wait() // each task has its own error
}

func (r *run) copyTask(ctx context.Context, t *task) {
	count := &tally{}
	if t.err == nil {
		t.err = r.copyImage(ctx, t, count)
	}
	res := &t.result
	res.Uploaded, res.Mounted, res.Present, res.Bytes = count.uploaded, count.mounted, count.present, count.bytes
	switch {
	case t.err != nil:
		res.Status, res.Err, res.Error = StatusFailed, t.err, manifest.OneLine(t.err.Error())
	case count.sent:
		res.Status = StatusCopied
	default:
		res.Status = StatusPresent
	}
}

// copyImage copies one image. Its name is set last.
func (r *run) copyImage(ctx context.Context, t *task, count *tally) error {
	if err := r.createRepository(ctx, t.pair); err != nil {
		return err
	}
	if len(t.attached) > 0 && !t.main.atTarget {
		// A signature refers to a manifest that must exist.
		if err := r.putPart(ctx, t.main.part, count); err != nil {
			return err
		}
	}
	for _, a := range t.attached {
		if err := r.putAttachment(ctx, a, count); err != nil {
			return err
		}
	}
	return r.putNamed(ctx, t.main, count)
}

// putNamed puts a manifest and its dependencies to the target, and sets its name.
func (r *run) putNamed(ctx context.Context, n *namedPart, count *tally) error {
	if n.atTarget {
		return nil
	}
	if err := r.putDependencies(ctx, n.part, count); err != nil {
		return err
	}
	return r.once("name "+n.pair.name+" "+n.ref, func() error {
		count.manifest()
		return r.slot(ctx, func() error {
			return registry.WithIndexHint(n.pair.dst.PutNamed(ctx, n.ref, n.part.content), n.part.left)
		})
	})
}

// putDependencies puts everything that a manifest refers to.
func (r *run) putDependencies(ctx context.Context, p *part, count *tally) error {
	if p.atTarget {
		return nil
	}
	return r.once("needs "+p.pair.store+" "+p.content.Desc.Digest.String(), func() error {
		var g errgroup.Group
		for _, d := range p.blobs {
			g.Go(func() error { return r.putBlob(ctx, p.pair, d, count) })
		}
		for _, c := range p.children {
			g.Go(func() error { return r.putPart(ctx, c, count) })
		}
		return g.Wait()
	})
}

// putPart puts a manifest and its dependencies by digest.
func (r *run) putPart(ctx context.Context, p *part, count *tally) error {
	if p.atTarget {
		return nil
	}
	digest := p.content.Desc.Digest.String()
	return r.once("put "+p.pair.store+" "+digest, func() error {
		if there, err := r.isAtTarget(ctx, p, count); err != nil || there {
			return err
		}
		if err := r.putDependencies(ctx, p, count); err != nil {
			return err
		}
		count.manifest()
		return r.slot(ctx, func() error { return registry.WithIndexHint(p.pair.dst.Put(ctx, digest, p.content), p.left) })
	})
}

// isAtTarget reports whether the target has a manifest, and so its dependencies, which are sent
// first. If the first blob of an image is missing, the manifest is missing as well, which saves a
// request.
func (r *run) isAtTarget(ctx context.Context, p *part, count *tally) (bool, error) {
	if r.into != nil {
		// A directory can lose single files, and checking each is cheap.
		there := false
		err := r.slot(ctx, func() error {
			there = r.isComplete(ctx, p)
			return ctx.Err()
		})
		return there, err
	}
	if len(p.blobs) > 0 && len(p.children) == 0 {
		before, err := r.putBlobFirst(ctx, p.pair, p.blobs[0], count)
		if err != nil || !before {
			return false, err
		}
	}
	there := false
	err := r.slot(ctx, func() error {
		d, err := p.pair.dst.Digest(ctx, p.content.Desc.Digest.String())
		there = err == nil && d == p.content.Desc.Digest
		if registry.IsHidden(err) || registry.IsUnreadable(err) {
			return nil
		}
		return err
	})
	return there, err
}

// isComplete reports whether the target directory has a manifest and its dependencies.
func (r *run) isComplete(ctx context.Context, p *part) bool {
	if _, err := r.into.Manifest(p.content.Desc.Digest); err != nil || r.checkBlobs(ctx, p) != nil {
		return false
	}
	for _, c := range p.children {
		if !r.isComplete(ctx, c) {
			return false
		}
	}
	return true
}

// putBlobFirst puts a blob, and reports whether it was there before this run.
func (r *run) putBlobFirst(ctx context.Context, pair *repoPair, d v1.Descriptor, count *tally) (bool, error) {
	err := r.putBlob(ctx, pair, d, count)
	r.mu.Lock()
	defer r.mu.Unlock()
	return !r.moved[blobKey(pair, d)], err
}

func blobKey(pair *repoPair, d v1.Descriptor) string {
	return "blob " + pair.store + " " + d.Digest.String()
}

// putBlob puts a blob: mounted from the repository that holds it, or uploaded.
func (r *run) putBlob(ctx context.Context, pair *repoPair, d v1.Descriptor, count *tally) error {
	return r.once(blobKey(pair, d), func() error {
		from := pair.mountFrom
		if holder := r.holders[d.Digest.String()]; holder != nil && holder.store != pair.store {
			// If the holder cannot have it, this repository still may.
			if r.createRepository(ctx, holder) == nil && r.putBlob(ctx, holder, d, count) == nil {
				from = holder.path
			}
		}
		progress := r.copier.Progress
		var moved *counted
		var came transfer.Outcome
		put := func() error {
			var err error
			came, err = pair.dst.Ensure(ctx, d, from, func(ctx context.Context) (io.ReadCloser, error) {
				body, err := pair.src.Blob(ctx, d)
				if err != nil {
					return nil, err
				}
				moved.undo()
				moved = progress.count(body)
				return moved, nil
			})
			return err
		}
		err := r.slot(ctx, func() error {
			if r.into == nil {
				return put() // it retries and asks first by itself
			}
			return r.wires.Retry(ctx, pair.name+" blob "+d.Digest.String(), put)
		})
		if err != nil {
			moved.undo()
			return err
		}
		if came != transfer.Uploaded {
			moved.undo()
			progress.add(d.Size)
		}
		count.blob(came, d.Size)
		if came != transfer.AlreadyPresent {
			r.mu.Lock()
			r.moved[blobKey(pair, d)] = true
			r.mu.Unlock()
		}
		return nil
	})
}

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
