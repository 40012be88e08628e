package tokens

import (
	"errors"
	"time"

	"github.com/berth-registry/berth/credprovider/ecr"
)

// errNotValid: the source returned a token that is not valid now, for example an expired one.
var errNotValid = errors.New(
	"the source returned a token that is not valid by the clock of this machine")

// errSameToken: the source returned the old token again.
var errSameToken = errors.New("the source returned the old token again")

// take serves the token of a, unless it is the held one or not valid.
func (rf *Refresher) take(e *entry, c clock, a answer) {
	h := newHeldToken(a.token, c, rf.random(), e.helper)
	switch {
	case e.held.same(a.token):
		if a.called {
			rf.failed(e, c, errSameToken)
		}
		return
	case !h.good(c):
		if a.called {
			rf.failed(e, c, errNotValid)
		}
		return
	}
	rf.logTaken(e, a)
	e.held, e.served = h, true
	if a.called {
		e.renewals++
		e.retryAfterEnd = time.Time{}
		e.notBefore = c.mono.Add(afterSuccess(h.ends.wall.Sub(a.token.Issued)))
	} else {
		// A token of another process does not change when AWS may be asked.
		e.picked++
	}
	e.failures, e.err = 0, nil
	e.gaveUp, e.fresh = false, false
	rf.notify = true
}

// failed records a failure and draws the pause after it.
func (rf *Refresher) failed(e *entry, c clock, err error) {
	have := e.held.good(c)
	if e.failures == 0 {
		e.since = c.wall
	}
	e.failures++
	e.err, e.errAt = err, c.wall
	why := worstReason(err)
	e.failed[why.key]++
	wait := pause(e.failures, limit(err, have), rf.random())
	if a := retryAfter(err, have); a > 0 {
		e.retryAfterEnd = c.mono.Add(a)
		wait += a
	}
	e.notBefore = c.mono.Add(wait)
	// An adopted scope that AWS refuses needs no retry: the credential provider asks itself when it
	// needs a token.
	switch why.outcome {
	case ecr.Denied, ecr.Rejected, ecr.NoRole, ecr.NoKeys:
		e.gaveUp = !e.wanted
	}
	rf.logFailed(e, c, why.key, err)
	rf.notify = true
}
