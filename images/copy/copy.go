// Package copy copies images between registries, OCI layouts and bundles.
//
// It promises that a copy has the same digests, that existing content is not sent again, and that a
// tag is set last, so that a run after a kill completes it. Start reading at [Copier.Copy]: resolve.go
// finds the content of each image, push.go sends it, and bundle.go writes it into one file.
package copy

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/berth-registry/berth/credprovider/ecr"
	"github.com/berth-registry/berth/images/bundle"
	"github.com/berth-registry/berth/images/layout"
	"github.com/berth-registry/berth/images/manifest"
	"github.com/berth-registry/berth/images/reference"
	"github.com/berth-registry/berth/images/registry"
)

// Copier copies images with the same digest: each with all platforms, signatures and attestations,
// under the same repository path and tag.
//
// It asks before it sends, so content that is there is never sent again: after a kill at any
// moment, the next run completes the copy. A tag is set only when everything it refers to is there.
type Copier struct {
	Access registry.Access
	Jobs   int           // 0: [registry.DefaultJobs]
	Wait   time.Duration // 0: [registry.DefaultWait]
	// Verify computes the digest of each blob that a target directory has; without it the size is
	// compared. Registries verify themselves.
	Verify bool
	// Platforms are copied of an image that has several; nil: all. The index stays as it is,
	// although the target then lacks some of its manifests; with ReduceIndex the target gets an
	// index of these platforms only, which has another digest.
	Platforms   []manifest.Platform
	ReduceIndex bool
	// Split is the size of the parts of a bundle that is written, in bytes; 0: one file. Except has
	// what it leaves out; nil: nothing.
	Split  int64
	Except *Contents
	// Repositories creates missing repositories of ECR; nil: images that need one fail.
	Repositories RepositoryMaker
	// Done is called for each image when it ends, one call at a time, but not for images that are
	// cancelled. It may be nil.
	Done     func(Copied)
	Progress *Progress // may be nil
	Log      *slog.Logger
}

// RepositoryMaker creates repositories. It is implemented by [credprovider.Tokens].
type RepositoryMaker interface {
	CreateRepository(ctx context.Context, r ecr.Registry, repository string) error
}

// Status is the outcome for an image.
type Status string

// The values of Status.
const (
	StatusCopied  Status = "copied"  // something was sent
	StatusPresent Status = "present" // everything was there
	StatusFailed  Status = "failed"
)

// Copied is the result for one image.
type Copied struct {
	Image  reference.Reference `json:"image" yaml:"image"`
	Target string              `json:"target" yaml:"target"` // its name there
	Digest string              `json:"digest,omitempty" yaml:"digest,omitempty"`
	Status Status              `json:"status" yaml:"status"`
	// Left are platforms of the image that are not copied, Missing are requested platforms that it
	// does not have. Reduced says that the copied index lists only the copied platforms.
	Left    []string `json:"platformsLeftOut,omitempty" yaml:"platformsLeftOut,omitempty"`
	Missing []string `json:"missingPlatforms,omitempty" yaml:"missingPlatforms,omitempty"`
	Reduced bool     `json:"reduced,omitempty" yaml:"reduced,omitempty"`
	// Attached counts signatures, attestations and other referrers.
	Attached int `json:"attached" yaml:"attached"`
	// Uploaded, Mounted and Present count blobs; a blob of several images is counted for one of
	// them.
	Uploaded int   `json:"uploaded" yaml:"uploaded"`
	Mounted  int   `json:"mounted" yaml:"mounted"`
	Present  int   `json:"alreadyThere" yaml:"alreadyThere"`
	Bytes    int64 `json:"bytes" yaml:"bytes"` // uploaded
	// Err is the reason of a failure, in one line; Error is its text.
	Err   error  `json:"-" yaml:"-"`
	Error string `json:"error,omitempty" yaml:"error,omitempty"`
}

// Copy copies images from the registries in their names, or from a layout, to a location; from a
// layout without images all that it has. A bundle gets its name only if all images are in it. The
// result has the order of images; an image that fails does not stop the others. The error is about
// all of them, about entries of a layout without a name, or the cause of the end of ctx.
func (c *Copier) Copy(ctx context.Context, images []reference.Reference, from, to reference.Location) ([]Copied, error) {
	r, err := c.begin(from, to)
	if err != nil {
		return nil, err
	}
	problems := r.resolveImages(ctx, images)
	if to.Bundle() != "" {
		problems = append(problems, r.fill(ctx))
	} else {
		r.chooseHolders()
		r.copyAll(ctx)
	}
	results := make([]Copied, len(r.tasks))
	for i, t := range r.tasks {
		results[i] = t.result
	}
	return results, errors.Join(errors.Join(problems...), r.end(), context.Cause(ctx))
}

// run is one call of Copy.
type run struct {
	copier *Copier
	client *registry.Client
	from   *layout.Layout // nil: registries
	into   *layout.Layout // nil: a registry or a bundle
	to     reference.Location
	// keep says that images keep their names, because the target is no registry.
	keep  bool
	slots chan struct{}
	tasks []*task

	mu        sync.Mutex
	repoPairs map[repoPairKey]*repoPair
	onces     map[string]*onceResult
	// holders has for a blob the repository of the target that has it or gets it first; other
	// repositories mount it from there.
	holders map[string]*repoPair
	moved   map[string]bool // blobs that this run has added, by blobKey
}

// onceResult is the result of something that is done once a run.
type onceResult struct {
	once sync.Once
	err  error
}

func (c *Copier) begin(from, to reference.Location) (*run, error) {
	r, err := c.open(from)
	if err != nil {
		return nil, err
	}
	r.to, r.keep = to, !to.IsRegistry()
	if to.Layout() != "" {
		if r.into, err = layout.Create(to.Layout()); err != nil {
			return nil, errors.Join(err, r.end())
		}
	}
	return r, nil
}

// open begins a run that reads images only.
func (c *Copier) open(from reference.Location) (*run, error) {
	client := registry.NewClient(c.Access, c.Jobs, c.Wait, c.Log)
	r := &run{
		copier: c, keep: true, client: client, slots: make(chan struct{}, client.Jobs()),
		repoPairs: map[repoPairKey]*repoPair{}, onces: map[string]*onceResult{}, holders: map[string]*repoPair{}, moved: map[string]bool{},
	}
	if from.IsRegistry() {
		return r, nil
	}
	var err error
	if r.from, err = bundle.OpenLocation(from); err != nil {
		client.Close()
		return nil, err
	}
	return r, nil
}

func (r *run) end() error {
	r.client.Close()
	var errs []error
	for _, l := range []*layout.Layout{r.from, r.into} {
		if l != nil {
			errs = append(errs, l.Close())
		}
	}
	return errors.Join(errs...)
}

// slot calls f when fewer than Jobs calls are running. f must not call slot.
func (r *run) slot(ctx context.Context, f func() error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	select {
	case r.slots <- struct{}{}:
		defer func() { <-r.slots }()
		return f()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// slotted is [run.slot] for an f with a result.
func slotted[T any](ctx context.Context, r *run, f func() (T, error)) (T, error) {
	var got T
	err := r.slot(ctx, func() (err error) {
		got, err = f()
		return err
	})
	return got, err
}

// once calls f in the first call for key; later calls wait for its result.
func (r *run) once(key string, f func() error) error {
	r.mu.Lock()
	o := r.onces[key]
	if o == nil {
		o = &onceResult{}
		r.onces[key] = o
	}
	r.mu.Unlock()
	o.once.Do(func() { o.err = f() })
	return o.err
}

// Cause is the same for images that failed for one reason, "" if c did not fail.
func (c Copied) Cause() string { return registry.Cause(c.Err) }
