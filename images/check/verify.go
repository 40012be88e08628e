package check

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/berth-registry/berth/images/manifest"
	"github.com/berth-registry/berth/images/registry"
	"github.com/berth-registry/berth/images/transfer"
)

// repositoryStore is a repository of a registry whose blobs are read.
type repositoryStore struct {
	k    *run
	repo *registry.Repository
	host string
}

func (r repositoryStore) manifest(ctx context.Context, d v1.Hash) (manifest.Manifest, error) {
	return r.repo.Manifest(ctx, d.String())
}

// checkBlob asks whether the repository has a blob, and computes its digest once for the registry.
func (r repositoryStore) checkBlob(ctx context.Context, d v1.Descriptor) error {
	what := "blob " + d.Digest.String()
	there := false
	err := r.repo.Retry(ctx, what, func(ctx context.Context) (err error) {
		there, err = r.repo.HasBlob(ctx, d)
		return err
	})
	if err == nil && !there {
		err = manifest.ErrNotFound
	}
	if err != nil {
		return r.about(d, err)
	}
	once, _ := r.k.verified.LoadOrStore(r.host+" "+d.Digest.String(), sync.OnceValue(func() error {
		return r.repo.Retry(ctx, what, func(ctx context.Context) error {
			return transfer.Do(ctx, func(ctx context.Context) (io.ReadCloser, error) { return r.repo.Blob(ctx, d) },
				func(_ context.Context, body io.Reader) error {
					_, err := io.Copy(io.Discard, body)
					return err
				})
		})
	}))
	return r.about(d, once.(func() error)())
}

// about names the blob of an error about content.
func (r repositoryStore) about(d v1.Descriptor, err error) error {
	switch {
	case errors.Is(err, manifest.ErrNotFound):
		return fmt.Errorf("blob %s: %w", d.Digest, manifest.ErrNotFound)
	case errors.Is(err, manifest.ErrContent):
		return fmt.Errorf("blob %s: %w", d.Digest, manifest.ErrContent)
	}
	return err
}

func (repositoryStore) isWrong(err error) bool {
	return errors.Is(err, manifest.ErrNotFound) || errors.Is(err, manifest.ErrContent)
}
