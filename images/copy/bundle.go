package copy

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"sync"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/berth-registry/berth/images/bundle"
	"github.com/berth-registry/berth/images/layout"
	"github.com/berth-registry/berth/images/manifest"
	"github.com/berth-registry/berth/images/transfer"
)

// entry is a blob or a manifest of a bundle.
type entry struct {
	desc v1.Descriptor
	raw  []byte // of a manifest
	pair *repoPair
	task *task // the first that needs it
}

// sequence collects the entries of a bundle in their order: a function of the images alone.
type sequence struct {
	except  *Contents // may be nil
	entries []entry
	has     map[v1.Hash]bool
	needed  map[v1.Hash]bundle.Needed
	named   map[string]v1.Descriptor
	task    *task
}

// addTask adds an image: blobs before manifests, and what refers to it at the end.
func (s *sequence) addTask(t *task) error {
	s.task = t
	s.addPart(t.main.part)
	s.addName(t.main)
	for _, a := range t.attached {
		for _, n := range a.named {
			s.addPart(n.part)
			s.addName(n)
		}
		for _, p := range a.referrers {
			s.addPart(p)
		}
		if len(a.referrers) == 0 {
			continue
		}
		list, _, err := mergeReferrers(a, nil)
		if err != nil {
			return err
		}
		// The list is how a reader finds referrers, so it is never left out.
		s.add(entry{desc: list.Desc, raw: list.Raw, pair: a.pair})
		s.addName(&namedPart{pair: a.pair, ref: manifest.ReferrersTag(a.subject), part: &part{content: list}})
	}
	return nil
}

func (s *sequence) addPart(p *part) {
	for _, d := range p.blobs {
		s.addOrNeed(entry{desc: d, pair: p.pair}, false)
	}
	for _, c := range p.children {
		s.addPart(c)
	}
	own := entry{desc: p.content.Desc, raw: p.content.Raw, pair: p.pair}
	if p.content.Desc.MediaType.IsIndex() {
		s.add(own) // the target may have a reduced one in its place
		return
	}
	s.addOrNeed(own, true)
}

// addOrNeed adds an entry unless the base has it: in any repository, or with same in this one.
func (s *sequence) addOrNeed(e entry, same bool) {
	if s.except == nil || s.has[e.desc.Digest] {
		s.add(e)
		return
	}
	repositories := s.except.repositories[e.desc.Digest]
	switch {
	case slices.Contains(repositories, e.pair.name):
		s.need(e, e.pair.name)
	case len(repositories) > 0 && !same:
		s.need(e, repositories[0])
	default:
		s.add(e)
	}
}

func (s *sequence) need(e entry, repository string) {
	if _, known := s.needed[e.desc.Digest]; !known {
		s.needed[e.desc.Digest] = bundle.Needed{Digest: e.desc.Digest, Size: e.desc.Size, Repository: repository}
	}
}

func (s *sequence) add(e entry) {
	if s.has[e.desc.Digest] {
		return
	}
	s.has[e.desc.Digest] = true
	delete(s.needed, e.desc.Digest)
	e.task = s.task
	s.entries = append(s.entries, e)
}

func (s *sequence) addName(n *namedPart) {
	held := layout.HeldPlatforms(n.part.content, func(d v1.Hash) bool {
		_, needed := s.needed[d]
		return needed || s.has[d]
	})
	name := layout.FullName(n.pair.name, n.ref)
	s.named[name] = layout.Name(n.part.content.Desc, name, held)
}

// plan is the bundle of all entries.
func (s *sequence) plan() (bundle.Plan, error) {
	var p bundle.Plan
	for _, e := range s.entries {
		p.Blobs = append(p.Blobs, v1.Descriptor{Digest: e.desc.Digest, Size: e.desc.Size})
	}
	index := v1.IndexManifest{SchemaVersion: 2, MediaType: types.OCIImageIndex, Manifests: []v1.Descriptor{}}
	for _, name := range slices.Sorted(maps.Keys(s.named)) {
		index.Manifests = append(index.Manifests, s.named[name])
	}
	for _, n := range s.needed {
		p.Needed = append(p.Needed, n)
	}
	slices.SortFunc(p.Needed, func(a, b bundle.Needed) int { return cmp.Compare(a.Digest.String(), b.Digest.String()) })
	if len(p.Needed) > 0 {
		p.Base = s.except.Name
	}
	var err error
	p.Index, err = json.Marshal(index)
	if err == nil && len(p.Index) > manifest.MaxSize {
		err = fmt.Errorf("index.json would be larger than the limit of %d MiB; copy to several bundles", manifest.MaxSize>>20)
	}
	return p, err
}

// errUnwritten is the error of images that are right, and are not in a bundle because of others.
var errUnwritten = errors.New("is not written, because another image cannot be copied")

// fill writes a bundle of all images, or nothing if one of them was not found.
func (r *run) fill(ctx context.Context) error {
	tasks := slices.Clone(r.tasks)
	slices.SortStableFunc(tasks, func(a, b *task) int { return cmp.Compare(a.result.Target, b.result.Target) })
	err := r.write(ctx, tasks)
	for _, t := range tasks {
		if t.result.Status == "" && t.err == nil {
			t.err = errUnwritten
		}
		r.report(ctx, t)
	}
	return err
}

// report ends a task, once.
func (r *run) report(ctx context.Context, t *task) {
	if t.reported {
		return
	}
	t.reported = true
	t.finish()
	r.copier.Progress.ended(t.result.Status)
	if r.copier.Done != nil && (ctx.Err() == nil || t.result.Status != StatusFailed) {
		r.copier.Done(t.result)
	}
}

func (r *run) write(ctx context.Context, tasks []*task) (err error) {
	s := &sequence{except: r.copier.Except, has: map[v1.Hash]bool{}, needed: map[v1.Hash]bundle.Needed{}, named: map[string]v1.Descriptor{}}
	for _, t := range tasks {
		if t.err == nil {
			t.err = s.addTask(t)
		}
		if t.err != nil {
			return fmt.Errorf("%s: not written, because not all images can be copied", r.to)
		}
	}
	plan, err := s.plan()
	if err != nil {
		return err
	}
	there, err := bundle.Written(r.to.Bundle(), plan)
	if err != nil {
		return err
	}
	if there {
		for _, e := range s.entries {
			e.task.count.blob(transfer.AlreadyPresent, e.desc.Size)
		}
		for _, t := range tasks {
			t.result.Status = StatusPresent
		}
		return nil
	}
	w, err := bundle.Create(r.to.Bundle(), r.copier.Split)
	if err != nil {
		return err
	}
	defer func() {
		err = errors.Join(err, w.Close())
	}()
	if err := r.writeEntries(ctx, w, s.entries, tasks); err != nil {
		return fmt.Errorf("%s: not complete; run the same command again, it goes on after what is in %[1]s.partial", r.to)
	}
	return w.Finish(ctx, plan)
}

// writeEntries writes all entries in their order, and reports each image after its last one.
func (r *run) writeEntries(ctx context.Context, w *bundle.Writer, entries []entry, tasks []*task) error {
	var total int64
	last := map[*task]int{}
	for i, e := range entries {
		last[e.task] = i
		if e.raw == nil {
			total += e.desc.Size
		}
	}
	r.copier.Progress.expect(total)
	ended := 0 // tasks
	reached := func(entries int) {
		for ; ended < len(tasks); ended++ {
			if i, any := last[tasks[ended]]; any && i >= entries {
				return
			}
			tasks[ended].result.Status = StatusCopied
			r.report(ctx, tasks[ended])
		}
	}
	begin := 0
	for ; begin < len(entries); begin++ {
		e := entries[begin]
		reached(begin)
		there, err := w.Take(ctx, e.desc)
		if err != nil {
			e.task.err = err
			return err
		}
		if !there {
			break
		}
		e.done(transfer.AlreadyPresent)
		if e.raw == nil {
			r.copier.Progress.add(e.desc.Size)
		}
	}
	ctx, cancel := context.WithCancel(ctx)
	f := &fetcher{run: r, entries: entries, next: begin, got: map[int]chan fetched{}}
	defer func() {
		cancel()
		f.wait.Wait()
	}()
	for i := begin; i < len(entries); i++ {
		reached(i)
		e := entries[i]
		if err := f.add(ctx, w, i); err != nil {
			e.task.err = err
			return err
		}
		e.done(transfer.Uploaded)
	}
	reached(len(entries))
	return nil
}

// done counts an entry for its image.
func (e entry) done(came transfer.Outcome) {
	if e.raw != nil {
		e.task.count.manifest()
		return
	}
	e.task.count.blob(came, e.desc.Size)
}

const (
	// aheadBlobs blobs of at most aheadSize bytes are fetched before it is their turn.
	aheadBlobs = 8
	aheadSize  = 1 << 20
)

// fetcher fetches blobs in the order of a bundle. Small ones are fetched ahead, several at a time.
type fetcher struct {
	run     *run
	entries []entry
	next    int // the first entry that is not looked at
	got     map[int]chan fetched
	wait    sync.WaitGroup
}

type fetched struct {
	content []byte
	err     error
}

// add adds entry i to a bundle.
func (f *fetcher) add(ctx context.Context, w *bundle.Writer, i int) error {
	for ; f.next < min(i+aheadBlobs, len(f.entries)); f.next++ {
		f.begin(ctx, f.next)
	}
	e := f.entries[i]
	if e.raw != nil {
		return w.Add(e.desc, bytes.NewReader(e.raw))
	}
	if got := f.got[i]; got != nil {
		delete(f.got, i)
		all := <-got
		if all.err != nil {
			return all.err
		}
		f.run.copier.Progress.add(e.desc.Size)
		return w.Add(e.desc, bytes.NewReader(all.content))
	}
	var moved *counted
	err := f.fetch(ctx, e, func(_ context.Context, body io.Reader) error {
		moved.undo()
		moved = f.run.copier.Progress.count(io.NopCloser(body))
		return w.Add(e.desc, moved)
	})
	if err != nil {
		moved.undo()
	}
	return err
}

// begin fetches entry i if it is small.
func (f *fetcher) begin(ctx context.Context, i int) {
	e := f.entries[i]
	if e.raw != nil || e.desc.Size > aheadSize {
		return
	}
	got := make(chan fetched, 1)
	f.got[i] = got
	f.wait.Go(func() {
		content := bytes.NewBuffer(make([]byte, 0, e.desc.Size))
		err := f.run.slot(ctx, func() error {
			return f.fetch(ctx, e, func(_ context.Context, body io.Reader) error {
				content.Reset()
				_, err := io.Copy(content, body)
				return err
			})
		})
		got <- fetched{content.Bytes(), err}
	})
}

// fetch reads a blob, with retries. An error of do is not one of the source.
func (f *fetcher) fetch(ctx context.Context, e entry, do func(context.Context, io.Reader) error) error {
	return f.run.client.Retry(ctx, e.pair.name+" blob "+e.desc.Digest.String(), func() error {
		return transfer.Do(ctx, func(ctx context.Context) (io.ReadCloser, error) { return e.pair.src.Blob(ctx, e.desc) }, do)
	})
}
