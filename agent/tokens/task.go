package tokens

import (
	"context"

	"github.com/berth-registry/berth/credprovider"
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
	task     task
	origin   origin
	held     credprovider.Token // may be the zero value
	heldGood bool
	due      bool // held is due for renewal
	fresh    bool // held is from other credentials
}

// answer is the result of a task: a token, an error, or neither.
type answer struct {
	task   task
	token  credprovider.Token
	got    bool
	called bool // AWS was asked, as far as this package can tell
	err    error
}

func (tr taskRun) run(ctx context.Context) answer {
	a := answer{task: tr.task}
	stored, ok := tr.origin.cached()
	if ok && tr.better(stored) {
		a.token, a.got = stored, true
		return a
	}
	switch {
	case tr.task == renewToken && ok && tr.heldGood && !tr.due:
		// Other credentials, but the same token: the credentials are the same.
	case tr.task == renewToken:
		a.called = true
		a.token, a.err = tr.origin.renew(ctx)
		a.got = a.err == nil
	case tr.task == searchCache && ok:
		// Get returns the stored token unless a better source has one. An error here changes
		// nothing.
		if t, err := tr.origin.better(ctx); err == nil && tr.better(t) {
			a.token, a.got = t, true
		}
	}
	return a
}

// better reports whether a stored token must replace the held one. An older one of the same source
// must not: it is stored because the newer one could not be.
func (tr taskRun) better(t credprovider.Token) bool {
	switch {
	case t.Password == tr.held.Password:
		return false
	case !tr.heldGood || tr.fresh:
		return true
	}
	return t.Issued.After(tr.held.Issued)
}
