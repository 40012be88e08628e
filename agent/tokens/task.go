package tokens

import (
	"context"

	"github.com/berth-registry/berth/credprovider"
	"github.com/berth-registry/berth/credprovider/ecr"
)

// task is what is to be done for an entry.
type task int

const (
	noTask task = iota
	// readCache: see whether another process has stored something better.
	readCache
	// searchCache: the same, and see whether a better source serves by now.
	searchCache
	// renewToken: the same as peek, and ask AWS unless that brought something.
	renewToken
)

// taskRun is an errand with all that it needs.
type taskRun struct {
	what     task
	source   Source
	registry ecr.Registry
	held     credprovider.Token // may be none
	heldGood bool
	due      bool // held is to be renewed
	fresh    bool // held came from another source
}

// answer is what came of a job: a token, an error, or neither.
type answer struct {
	what   task
	token  credprovider.Token
	got    bool
	called bool // AWS was asked, as far as one can tell
	err    error
}

func (j taskRun) do(ctx context.Context) answer {
	a := answer{what: j.what}
	stored, ok := j.source.Cached(j.registry)
	if ok && j.better(stored) {
		a.token, a.got = stored, true
		return a
	}
	switch {
	case j.what == renewToken && ok && j.heldGood && !j.due:
		// Another source, and the same token: the same credentials.
	case j.what == renewToken:
		a.called = true
		a.token, a.err = j.source.Renew(ctx, j.registry)
		a.got = a.err == nil
	case j.what == searchCache && ok:
		// It answers from what is stored, unless it found something better.
		// If it could do neither, there is nothing to look at.
		if t, err := j.source.Get(ctx, j.registry); err == nil && j.better(t) {
			a.token, a.got = t, true
		}
	}
	return a
}

// better reports whether a token that was stored is to be taken instead of the
// one that is held. Of one source, an older one is not: it is there because
// the newer one could not be stored.
func (j taskRun) better(t credprovider.Token) bool {
	switch {
	case t.Password == j.held.Password:
		return false
	case !j.heldGood || j.fresh:
		return true
	}
	return t.Issued.After(j.held.Issued)
}
