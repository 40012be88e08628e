package tokens

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"github.com/berth-registry/berth/credprovider"
	"github.com/berth-registry/berth/credprovider/ecr"
)

// scope is the set of registries that one token serves.
type scope struct {
	service   ecr.Service
	partition string
	region    string
	chain     string // key of the credential chain, see ecr.Registry.Chain
}

func scopeOf(r ecr.Registry) scope {
	return scope{service: r.Service(), partition: r.Partition, region: r.Region, chain: r.Chain}
}

// heldToken is a token with its times; the zero value is none.
type heldToken struct {
	token credprovider.Token
	// helper is true for the login of a credential helper.
	helper bool
	ends   moment // it is not served from here on
	renew  moment // a new one is due from here on
	warn   moment // a failure to renew is an alarm from here on
}

// newHeldToken computes the times of a token that arrived at c; helper is its source, nil for ECR.
func newHeldToken(t credprovider.Token, c clock, rnd float64, helper *credprovider.HelperSource) heldToken {
	if helper != nil {
		l := helperLogin(*helper, t)
		ends := l.UsableUntil(helper.MaxStale)
		return heldToken{
			token: t, helper: true,
			ends: boundedMoment(c, t.Issued, ends), renew: c.at(l.NextRefresh(helper.Refresh, rnd)),
			warn: c.at(ends.Add(-ends.Sub(t.Issued) / 4)),
		}
	}
	life := t.Expires.Sub(t.Issued)
	return heldToken{
		token: t,
		ends:  boundedMoment(c, t.Issued, t.UsableUntil()),
		renew: c.at(credprovider.NextRefresh(c.wall, t.Issued.Round(0), t.Expires.Round(0), rnd)),
		warn:  c.at(t.Expires.Add(-life / 4)),
	}
}

// boundedMoment is the end of a token. The monotonic clock starts counting now: a token issued
// slightly in the future must not gain by that.
func boundedMoment(c clock, issued, ends time.Time) moment {
	m := c.at(ends)
	if most := c.mono.Add(ends.Sub(issued)); m.mono.After(most) {
		m.mono = most
	}
	return m
}

func (h heldToken) isZero() bool { return h.token.Password.IsZero() }

func (h heldToken) good(c clock) bool {
	// A clock that was set back does not end a helper's login: the monotonic clock bounds it.
	return !h.isZero() && !h.ends.reached(c) && (h.helper || h.token.Usable(c.wall))
}

func (h heldToken) same(t credprovider.Token) bool {
	return h.token.Password == t.Password && h.token.Issued.Equal(t.Issued) && h.token.Expires.Equal(t.Expires)
}

// entry is the state of one scope.
type entry struct {
	scope    scope
	registry ecr.Registry               // the registry that AWS is asked for
	helper   *credprovider.HelperSource // the credential helper in place of AWS, nil for ECR
	hosts    []string                   // sorted
	wanted   bool                       // else adopted: kept fresh only for the credential provider
	held     heldToken
	served   bool // held was good at the last observe

	// Pauses are in monotonic time: setting the clock forward does not shorten them.
	calling       bool
	cancel        context.CancelFunc
	fresh         bool      // held, if any, is from other credentials
	gaveUp        bool      // adopted, and not renewed any more
	notBefore     time.Time // no call before this
	retryAfterEnd time.Time // a server's Retry-After ends here
	checkStored   bool      // check the stored token
	askBetter     bool      // check it, and ask the source for a better one

	// due is when step must look at the entry again, in monotonic time. A change sets it to zero,
	// which means now.
	due time.Time

	failures int // in a row
	err      error
	errAt    time.Time
	since    time.Time // of the first failure in a row, wall clock
	alarmed  bool
	warned   bool // the log has a failure, so it must get the recovery too

	calls, renewals, picked uint64
	failed                  map[string]uint64    // by reason
	lastLogged              map[string]time.Time // when a reason was last logged, monotonic
}

func newEntry(s scope) *entry {
	return &entry{scope: s, fresh: true, failed: map[string]uint64{}, lastLogged: map[string]time.Time{}}
}

// reset returns e for a new source, without the failures of the old one.
func (e *entry) reset() *entry {
	n := newEntry(e.scope)
	n.helper = e.helper
	n.registry, n.hosts, n.wanted, n.held, n.served = e.registry, e.hosts, e.wanted, e.held, e.served
	n.calls, n.renewals, n.picked, n.failed = e.calls, e.renewals, e.picked, e.failed
	return n
}

// want makes e serve these registries, and reports whether that is new. The first in order is the
// one that AWS is asked for: one that needs a FIPS endpoint comes first.
func (e *entry) want(registries []ecr.Registry) bool {
	slices.SortFunc(registries, func(a, b ecr.Registry) int {
		if a.FIPS != b.FIPS {
			if a.FIPS {
				return -1
			}
			return 1
		}
		return cmp.Compare(a.Host, b.Host)
	})
	var hosts []string
	for _, r := range registries {
		hosts = append(hosts, r.Host)
	}
	slices.Sort(hosts)
	hosts = slices.Compact(hosts)
	if e.wanted && e.registry == registries[0] && slices.Equal(e.hosts, hosts) {
		return false
	}
	if !e.wanted {
		e.gaveUp = false
		e.checkStored = true
	}
	e.registry, e.hosts, e.wanted, e.due = registries[0], hosts, true, time.Time{}
	return true
}

func (e *entry) unwant() {
	e.wanted, e.hosts, e.alarmed, e.due = false, nil, false, time.Time{}
}

func (e *entry) abort() {
	if e.cancel != nil {
		e.cancel()
	}
}

// compare sorts wanted entries before adopted ones.
func (e *entry) compare(o *entry) int {
	if e.wanted != o.wanted {
		if e.wanted {
			return -1
		}
		return 1
	}
	return cmp.Or(strings.Compare(string(e.scope.service), string(o.scope.service)),
		strings.Compare(e.scope.partition, o.scope.partition), strings.Compare(e.scope.region, o.scope.region),
		strings.Compare(e.scope.chain, o.scope.chain))
}

// next decides the task for e now.
func (e *entry) next(c clock) task {
	if e.calling {
		return noTask
	}
	if !c.mono.Before(e.notBefore) {
		switch {
		case e.renewDue(c):
			return renewToken
		case e.askBetter:
			return searchCache
		}
	}
	if e.checkStored {
		return readCache
	}
	return noTask
}

func (e *entry) renewDue(c clock) bool {
	return !e.gaveUp && (e.fresh || !e.served || e.held.renew.reached(c))
}

// wait is how long e needs no attention; canStart says whether a due task could start.
func (e *entry) wait(c clock, canStart bool) time.Duration {
	d := maxSleep
	if e.served {
		d = e.held.ends.in(c)
		if warn := e.held.warn.in(c); warn > 0 {
			d = min(d, warn)
		}
	}
	if e.calling || !canStart || e.gaveUp {
		return d
	}
	due := time.Duration(0)
	if !e.fresh && e.served && !e.askBetter {
		due = e.held.renew.in(c)
	}
	return min(d, max(due, e.notBefore.Sub(c.mono)))
}
