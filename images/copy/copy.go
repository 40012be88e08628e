package copy

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/berth-registry/berth/credprovider/ecr"
	"github.com/berth-registry/berth/images/layout"
	"github.com/berth-registry/berth/images/manifest"
	"github.com/berth-registry/berth/images/reference"
	"github.com/berth-registry/berth/images/registry"
)

// Copier copies images: each with all its platforms, signatures and
// attestations, under the same repository path and tag, the same by digest.
//
// It asks before it sends, so that what is there is never sent again: a run
// that was killed at any moment is completed by another one. A tag appears when
// everything behind it is there.
type Copier struct {
	Access registry.Access
	Jobs   int           // 0: DefaultJobs
	Wait   time.Duration // 0: DefaultWait
	// Verify computes the digest of each blob that a layout has already; without it the size
	// decides. Registries do so themselves.
	Verify bool
	// Platforms are what is copied of an image that has several; nil: all. The index stays as it
	// is, although not all that it lists is there then; with ReduceIndex it is made one that lists
	// these alone, and has another digest.
	Platforms   []manifest.Platform
	ReduceIndex bool
	// Repositories makes repositories of ECR that do not exist yet; nil: the
	// images that need them fail.
	Repositories RepositoryMaker
	// Done is told of each image as it ends, one at a time, but not of those
	// that the end of the run leaves; nil for nobody.
	Done     func(Copied)
	Progress *Progress // nil: nobody looks
	Log      *slog.Logger
}

// RepositoryMaker makes repositories. [credprovider.Tokens] does.
type RepositoryMaker interface {
	CreateRepository(ctx context.Context, r ecr.Registry, repository string) error
}

// Status is what came of an image.
type Status string

// The values of Status.
const (
	StatusCopied  Status = "copied"  // something had to be sent
	StatusPresent Status = "present" // everything was there
	StatusFailed  Status = "failed"
)

// Copied is what came of one image.
type Copied struct {
	Image  reference.Reference `json:"image" yaml:"image"`
	Target string              `json:"target" yaml:"target"` // its reference there
	Digest string              `json:"digest,omitempty" yaml:"digest,omitempty"`
	Status Status              `json:"status" yaml:"status"`
	// Left are platforms that it has and that are not copied, Missing those that are wanted and
	// that it has not. Reduced says that its index lists what is copied alone.
	Left    []string `json:"platformsLeftOut,omitempty" yaml:"platformsLeftOut,omitempty"`
	Missing []string `json:"missingPlatforms,omitempty" yaml:"missingPlatforms,omitempty"`
	Reduced bool     `json:"reduced,omitempty" yaml:"reduced,omitempty"`
	// Attached counts signatures, attestations and what else refers to it.
	Attached int `json:"attached" yaml:"attached"`
	// Uploaded, Mounted and Present count blobs; a blob that several images
	// share is counted with one of them.
	Uploaded int   `json:"uploaded" yaml:"uploaded"`
	Mounted  int   `json:"mounted" yaml:"mounted"`
	Present  int   `json:"alreadyThere" yaml:"alreadyThere"`
	Bytes    int64 `json:"bytes" yaml:"bytes"` // uploaded
	// Err is why it failed, in one line; Error is its text.
	Err   error  `json:"-" yaml:"-"`
	Error string `json:"error,omitempty" yaml:"error,omitempty"`
}

// Copy copies images to a location: from the registries that they name, or from
// a layout; all images of the layout if none is given. The result has the order
// of images; a failed image keeps no other from being copied. The error is
// about what keeps all of them, about what a layout holds under no name, or the end of ctx.
func (c *Copier) Copy(ctx context.Context, images []reference.Reference, from, to reference.Location) ([]Copied, error) {
	r, err := c.begin(from, to)
	if err != nil {
		return nil, err
	}
	var problems []error
	if len(images) == 0 && r.from != nil {
		images, problems = r.from.References()
	}
	r.addTasks(images)
	r.planAll(ctx)
	r.chooseHolders()
	r.copyAll(ctx)
	results := make([]Copied, len(r.tasks))
	for i, t := range r.tasks {
		results[i] = t.result
	}
	return results, errors.Join(errors.Join(problems...), r.end(), context.Cause(ctx))
}

// run is one call of Copy.
type run struct {
	copier *Copier
	wires  *registry.Client
	from   *layout.Layout // nil: the registries
	into   *layout.Layout // nil: a registry
	to     reference.Location
	slots  chan struct{}
	tasks  []*task

	mu        sync.Mutex
	repoPairs map[repoPairKey]*repoPair
	onces     map[string]*onceResult
	// holders says for a blob in which repository of the target it is, or will
	// be first; the others take it over from there.
	holders map[string]*repoPair
	moved   map[string]bool // blobs that were not there before, by blobKey
}

// onceResult is what came of something that is done once a run.
type onceResult struct {
	once sync.Once
	err  error
}

func (c *Copier) begin(from, to reference.Location) (*run, error) {
	jobs, wait, log := c.Jobs, c.Wait, c.Log
	if jobs <= 0 {
		jobs = registry.DefaultJobs
	}
	if wait <= 0 {
		wait = registry.DefaultWait
	}
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	r := &run{
		copier: c, to: to, wires: registry.NewClient(c.Access, jobs, wait, log), slots: make(chan struct{}, jobs),
		repoPairs: map[repoPairKey]*repoPair{}, onces: map[string]*onceResult{}, holders: map[string]*repoPair{}, moved: map[string]bool{},
	}
	var err error
	if from.Layout() != "" {
		if r.from, err = layout.Open(from.Layout()); err != nil {
			return nil, err
		}
	}
	if to.Layout() != "" {
		if r.into, err = layout.Create(to.Layout()); err != nil {
			return nil, errors.Join(err, r.end())
		}
	}
	return r, nil
}

func (r *run) end() error {
	r.wires.Close()
	var errs []error
	for _, l := range []*layout.Layout{r.from, r.into} {
		if l != nil {
			errs = append(errs, l.Close())
		}
	}
	return errors.Join(errs...)
}

// slot does f when there is room. f must not wait for anything that needs a
// slot itself.
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

// once does f for the first who asks for key; the others wait for what comes of
// it.
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

// Cause is the same for images that failed for one reason, "" for one that did not fail.
func (c Copied) Cause() string { return registry.Cause(c.Err) }
