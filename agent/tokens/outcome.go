package tokens

import (
	"errors"
	"time"

	"github.com/berth-registry/berth/credprovider/ecr"
)

// errNotGood: the source returned a token that is not valid now, for example an expired one.
var errNotGood = errors.New("the source returned a token that is not valid by the clock of this machine")

// errNotNew: the source returned the old token again.
var errNotNew = errors.New("the source returned the old token again")

// take serves the token of a, unless it is the held one or not valid.
func (k *Refresher) take(e *entry, c clock, a answer) {
	h := newHeldToken(a.token, c, k.rnd())
	switch {
	case e.held.same(a.token):
		if a.called {
			k.failed(e, c, errNotNew)
		}
		return
	case !h.good(c):
		if a.called {
			k.failed(e, c, errNotGood)
		}
		return
	}
	k.sayTaken(e, a)
	e.held, e.served = h, true
	if a.called {
		e.renewals++
		e.obeyed = time.Time{}
		e.notBefore = c.mono.Add(afterSuccess(a.token.Expires.Sub(a.token.Issued)))
	} else {
		// A token of another process does not change when AWS may be asked.
		e.picked++
	}
	e.failures, e.err = 0, nil
	e.gaveUp, e.fresh = false, false
	k.news = true
}

// failed records a failure and draws the pause after it.
func (k *Refresher) failed(e *entry, c clock, err error) {
	have := e.held.good(c)
	if e.failures == 0 {
		e.since = c.wall
	}
	e.failures++
	e.err, e.errAt = err, c.wall
	e.failed[reason(err)]++
	wait := pause(e.failures, limit(err, have), k.rnd())
	if a := asked(err, have); a > 0 {
		e.obeyed = c.mono.Add(a)
		wait += a
	}
	e.notBefore = c.mono.Add(wait)
	// An adopted scope that AWS refuses needs no retry: the credential provider asks itself when it
	// needs a token.
	switch worstReason(err) {
	case ecr.Denied, ecr.Rejected, ecr.NoRole, ecr.NoKeys:
		e.gaveUp = !e.wanted
	}
	k.sayFailed(e, c, err)
	k.news = true
}
