package ecr

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
)

// CreateRepository creates a repository in the registry r; an existing one is no error. For the
// public registry the name is without the alias. The sources are asked in their order until one
// creates it, whatever the failure of those before: as for a token when none is unexpired, also a
// temporary failure leads to the next source. The error is a *RepositoryError.
//
// https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_CreateRepository.html
// https://docs.aws.amazon.com/AmazonECRPublic/latest/APIReference/API_CreateRepository.html
func (c *Chain) CreateRepository(ctx context.Context, r Registry, name string) error {
	run := &fetch{chain: c, req: Request{Registry: r}}
	failed := &RepositoryError{Registry: r.Host, Name: name}
	for i, s := range c.sources {
		k, err := run.keys(ctx, s)
		if err == nil {
			err = c.caller().createRepository(ctx, r, k, name)
		}
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

// createRepository calls the API with one set of keys.
func (c *caller) createRepository(ctx context.Context, r Registry, k keys, name string) error {
	a := tokenAPI(r, c.getenv)
	op := "create the repository " + clean(name) + " in " + a.service + " in " + a.region
	target := "AmazonEC2ContainerRegistry_V20150921.CreateRepository"
	// Without the account, the repository would be created in the account of the keys, whichever
	// registry was meant.
	request := map[string]string{"repositoryName": name, "registryId": r.Account}
	if r.Public {
		target = "SpencerFrontendService.CreateRepository"
		delete(request, "registryId")
	}
	body, err := json.Marshal(request)
	if err != nil {
		return &Error{Outcome: Busy, Op: op, Err: err}
	}
	_, err = c.post(ctx, op, a, k, map[string]string{
		"Content-Type": "application/x-amz-json-1.1",
		"X-Amz-Target": target,
	}, string(body))
	if e := (*Error)(nil); errors.As(err, &e) && e.Err != nil && strings.HasPrefix(e.Err.Error(), "400 RepositoryAlreadyExists") {
		return nil
	}
	return err
}
