package copy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/berth-registry/berth/credprovider/ecr"
	"github.com/berth-registry/berth/images/manifest"
	"github.com/berth-registry/berth/images/reference"
	"github.com/berth-registry/berth/images/registry"
	"github.com/berth-registry/berth/images/transfer"
)

// origin is a repository that is read, of a registry or of a layout. ref is a tag or a digest.
// Missing content is [manifest.ErrNotFound].
type origin interface {
	Manifest(ctx context.Context, ref string) (manifest.Manifest, error)
	Digest(ctx context.Context, ref string) (v1.Hash, error)
	Blob(ctx context.Context, d v1.Descriptor) (io.ReadCloser, error)
	Attached(ctx context.Context, d v1.Hash) (manifest.Attached, error)
}

// destination is a repository that is written.
type destination interface {
	origin
	// Ensure puts a blob unless it is there; from is another repository that may have it.
	Ensure(ctx context.Context, d v1.Descriptor, from string, open transfer.Opener) (transfer.Outcome, error)
	// Put stores a manifest by its digest; PutNamed under a name: a tag, or a digest that the user
	// gave.
	Put(ctx context.Context, ref string, c manifest.Manifest) error
	PutNamed(ctx context.Context, ref string, c manifest.Manifest) error
	// ListsReferrers reports whether the referrers of d are listed without a tag.
	ListsReferrers(ctx context.Context, d v1.Hash) (bool, error)
}

// repoPair is a source repository and its target.
type repoPair struct {
	src origin
	dst destination
	// name is the target repository with its registry. store is the scope of blobs and manifests:
	// name, or a layout as a whole.
	name, store string
	// path is the repository on the target registry; mountFrom is the source repository if it is on
	// the same registry.
	path, mountFrom string

	mu      sync.Mutex
	parts   map[partKey]*resolvedPart
	missing bool // the target registry has no such repository yet
}

type repoPairKey struct{ src, dst string }

// repoPair returns the pair of an image.
func (r *run) repoPair(image, target reference.Reference) (*repoPair, error) {
	key := repoPairKey{image.Name(), target.Name()}
	r.mu.Lock()
	defer r.mu.Unlock()
	if pair := r.repoPairs[key]; pair != nil {
		return pair, nil
	}
	pair := &repoPair{name: target.Name(), parts: map[partKey]*resolvedPart{}}
	var err error
	if pair.src, err = r.origin(image); err != nil {
		return nil, err
	}
	switch {
	case r.into != nil:
		pair.dst, pair.store = r.into.Repository(pair.name), "layout"
	case r.keep:
		pair.dst, pair.store = unwritten{}, "bundle"
	default:
		reg, err := r.client.At(target.Registry(), target.Repository())
		if err != nil {
			return nil, err
		}
		pair.dst, pair.store, pair.path = reg.Repository(target.Repository(), true), pair.name, target.Repository()
		if r.from == nil && reference.SameRegistry(image.Registry(), target.Registry()) {
			pair.mountFrom = image.Repository()
		}
	}
	r.repoPairs[key] = pair
	return pair, nil
}

func (r *run) origin(image reference.Reference) (origin, error) {
	if r.from != nil {
		return r.from.Repository(image.Name()), nil
	}
	reg, err := r.client.At(image.Registry(), image.Repository())
	if err != nil {
		return nil, err
	}
	return reg.Repository(image.Repository(), false), nil
}

// unwritten is a repository of a bundle, of which nothing can be read before it is complete.
type unwritten struct{ destination }

func (unwritten) Manifest(context.Context, string) (manifest.Manifest, error) {
	return manifest.Manifest{}, manifest.ErrNotFound
}

// createRepository creates the target repository if it is missing and needed.
func (r *run) createRepository(ctx context.Context, pair *repoPair) error {
	pair.mu.Lock()
	missing := pair.missing
	pair.mu.Unlock()
	if !missing || r.keep {
		return nil
	}
	registry, isECR := r.copier.Access.ECRNames.Parse(r.to.Target().Registry())
	if !isECR {
		return nil // other registries create repositories on push
	}
	return r.once("repository "+pair.store, func() error {
		if r.copier.Repositories == nil {
			return fmt.Errorf("%s: ECR has no repository %s; create it, or add --create-repositories", r.to.Target().Registry(), pair.path)
		}
		return r.slot(ctx, func() error {
			return r.copier.Repositories.CreateRepository(ctx, registry, repositoryName(registry, pair.path))
		})
	})
}

// repositoryName is path in the form of ECR's API. On the public registry, path begins with the
// alias of the account.
func repositoryName(r ecr.Registry, path string) string {
	if r.Public {
		_, path, _ = strings.Cut(path, "/")
	}
	return path
}

// noteMissing records that the target repository does not exist.
func (pair *repoPair) noteMissing(err error) {
	if errors.Is(err, registry.ErrNoRepository) {
		pair.mu.Lock()
		pair.missing = true
		pair.mu.Unlock()
	}
}
