package copy

import (
	"context"
	"io"
	"sync"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sync/errgroup"

	"github.com/berth-registry/berth/images/manifest"
	"github.com/berth-registry/berth/images/reference"
	"github.com/berth-registry/berth/images/registry"
	"github.com/berth-registry/berth/images/transfer"
)

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
						_ = r.once(key, func() error { return nil }) // putBlob then finds it done
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

// copyAll copies all resolved tasks, in their order.
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
	if t.err == nil {
		t.err = r.copyImage(ctx, t, &t.count)
	}
	t.finish()
}

// finish completes the result.
func (t *task) finish() {
	res := &t.result
	res.Uploaded, res.Mounted, res.Present, res.Bytes = t.count.uploaded, t.count.mounted, t.count.present, t.count.bytes
	switch {
	case t.err != nil:
		res.Status, res.Err, res.Error = StatusFailed, t.err, manifest.OneLine(t.err.Error())
	case res.Status != "": // a bundle decides for all of its images
	case t.count.sent:
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

// basePath is the repository of the target from which a blob is mounted that a bundle leaves out,
// "" if there is none.
func (r *run) basePath(pair *repoPair, d v1.Descriptor) string {
	if r.from == nil || r.keep {
		return ""
	}
	needed := r.from.Needed(d.Digest)
	if needed == nil {
		return ""
	}
	there, err := reference.Parse(needed.Repository)
	if err != nil {
		return ""
	}
	if path := r.to.Target().Reference(there).Repository(); path != pair.path {
		return path
	}
	return ""
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
		} else if from == "" {
			from = r.basePath(pair, d)
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
			return r.client.Retry(ctx, pair.name+" blob "+d.Digest.String(), put)
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
