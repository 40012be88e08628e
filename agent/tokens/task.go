package tokens

import (
	"context"

	"github.com/berth-registry/berth/credprovider"
	"github.com/berth-registry/berth/credprovider/ecr"
)

// task is an action for an entry.
type task int

const (
	noTask task = iota
	// readCache: use a better stored token, if there is one.
	readCache
	// searchCache: the same, and ask the source for a better token.
	searchCache
	// renewToken: as readCache, and ask AWS if that found nothing.
	renewToken
)

// taskRun is a task with its input.
type taskRun struct {
	what     task
	source   Source
	registry ecr.Registry
	held     credprovider.Token // may be the zero value
	heldGood bool
	due      bool // held is due for renewal
	fresh    bool // held is from other credentials
}

// answer is the result of a task: a token, an error, or neither.
type answer struct {
	what   task
	token  credprovider.Token
	got    bool
	called bool // AWS was asked, as far as this package can tell
	err    error
}

func (j taskRun) run(ctx context.Context) answer {
	a := answer{what: j.what}
	stored, ok := j.source.Cached(j.registry)
	if ok && j.better(stored) {
		a.token, a.got = stored, true
		return a
	}
	switch {
	case j.what == renewToken && ok && j.heldGood && !j.due:
		// Other credentials, but the same token: the credentials are the same.
	case j.what == renewToken:
		a.called = true
		a.token, a.err = j.source.Renew(ctx, j.registry)
		a.got = a.err == nil
	case j.what == searchCache && ok:
		// Get returns the stored token unless a better source has one. An error here changes
		// nothing.
		if t, err := j.source.Get(ctx, j.registry); err == nil && j.better(t) {
			a.token, a.got = t, true
		}
	}
	return a
}

// better reports whether a stored token must replace the held one. An older one of the same source
// must not: it is stored because the newer one could not be.
func (j taskRun) better(t credprovider.Token) bool {
	switch {
	case t.Password == j.held.Password:
		return false
	case !j.heldGood || j.fresh:
		return true
	}
	return t.Issued.After(j.held.Issued)
}
