package ecr

import (
	"context"
	"log/slog"
)

// CreateRepository creates a repository in the registry r; an existing one is no error. For the
// public registry the name is without the alias. The sources are asked in their order until one
// creates it, whatever the failure of those before: as for a token when none is unexpired, also a
// temporary failure leads to the next source. The error is a *RepositoryError.
//
// https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_CreateRepository.html
// https://docs.aws.amazon.com/AmazonECRPublic/latest/APIReference/API_CreateRepository.html
func (c *Chain) CreateRepository(ctx context.Context, r Registry, name string) error {
	failed := &RepositoryError{Registry: r.Host, Name: name}
	for i, s := range c.sources {
		err := c.client.CreateRepository(ctx, r, s, name)
		if err == nil {
			c.log.LogAttrs(ctx, slog.LevelInfo, "made an ECR repository", slog.String("registry", r.Host), slog.String("repository", name))
			return nil
		}
		failed.Errs = append(failed.Errs, SourceError{Source: c.Identity(i).Source, Err: err})
	}
	return failed
}

// RepositoryError means that no source could create a repository; it has the reason of each source.
type RepositoryError struct {
	Registry, Name string
	Errs           []SourceError
}

// Error implements error, in one line.
func (e *RepositoryError) Error() string {
	return "repository " + e.Name + " not created in " + e.Registry + ": " + bySource(e.Errs)
}

// Unwrap returns the errors of all sources.
func (e *RepositoryError) Unwrap() []error { return causes(e.Errs) }
