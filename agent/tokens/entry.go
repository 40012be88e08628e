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

// scope is what one token serves.
type scope struct {
	service   ecr.Service
	partition string
	region    string
	chain     string // of credentials
}

func scopeOf(r ecr.Registry) scope {
	return scope{service: r.Service(), partition: r.Partition, region: r.Region, chain: r.Chain}
}

// heldToken is a token and its times; the zero value is none.
type heldToken struct {
	token credprovider.Token
	ends  moment // from when on it is not served
	renew moment // from when on a new one is to be had
	warn  moment // from when on a failure to renew is an alarm
}

// newHeldToken works out the times of a token that came now.
func newHeldToken(t credprovider.Token, c clock, rnd float64) heldToken {
	life := t.Expires.Sub(t.Issued)
	// The monotonic clock starts counting now, so a token from a future that
	// is near enough to be believed must not gain by it.
	ends := c.at(t.UsableUntil())
	if most := c.mono.Add(t.UsableUntil().Sub(t.Issued)); ends.mono.After(most) {
		ends.mono = most
	}
	return heldToken{
		token: t,
		ends:  ends,
		renew: c.at(credprovider.NextRefresh(c.wall, t.Issued.Round(0), t.Expires.Round(0), rnd)),
		warn:  c.at(t.Expires.Add(-life / 4)),
	}
}

func (h heldToken) none() bool { return h.token.Password.IsZero() }

func (h heldToken) good(c clock) bool {
	return !h.none() && !h.ends.reached(c) && h.token.Usable(c.wall)
}

func (h heldToken) same(t credprovider.Token) bool {
	return h.token.Password == t.Password && h.token.Issued.Equal(t.Issued) && h.token.Expires.Equal(t.Expires)
}

// entry is what is known about one scope.
type entry struct {
	scope    scope
	registry ecr.Registry // what is asked for
	hosts    []string     // sorted
	wanted   bool         // else adopted: kept fresh for the credential provider
	held     heldToken
	served   bool // held was good when last looked at

	// What goes on. Pauses are in monotonic time: a clock that is put forward
	// does not shorten them.
	calling   bool
	cancel    context.CancelFunc
	fresh     bool      // what is held, if anything, is of other credentials
	gaveUp    bool      // adopted, and will not be renewed
	notBefore time.Time // no call sooner
	obeyed    time.Time // until then a server wants to be left alone
	peek      bool      // to be looked up among what is stored
	look      bool      // the same, and whether a better source serves

	// due is when it has to be looked at; whoever changes it puts that to
	// zero, which is now. In monotonic time.
	due time.Time

	failures int // in a row
	err      error
	errAt    time.Time
	since    time.Time // of the first of the failures in a row, wall clock
	alarmed  bool
	warned   bool // the log told of a failure, so it tells of its end too

	calls, renewals, picked uint64
	failed                  map[string]uint64    // by reason
	said                    map[string]time.Time // when a reason was logged last, monotonic
}

func newEntry(s scope) *entry {
	return &entry{scope: s, fresh: true, failed: map[string]uint64{}, said: map[string]time.Time{}}
}

// reset is e for another source: what failed, failed with the old one.
func (e *entry) reset() *entry {
	n := newEntry(e.scope)
	n.registry, n.hosts, n.wanted, n.held, n.served = e.registry, e.hosts, e.wanted, e.held, e.served
	n.calls, n.renewals, n.picked, n.failed = e.calls, e.renewals, e.picked, e.failed
	return n
}

// want makes e serve these registries, and reports whether that is new. One of
// them decides which endpoint of AWS is asked: a FIPS one if any of them has
// to be.
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
		e.peek = true
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

// next is what is to be done for e now.
func (e *entry) next(c clock) task {
	if e.calling {
		return noTask
	}
	if !c.mono.Before(e.notBefore) {
		switch {
		case e.renewDue(c):
			return renewToken
		case e.look:
			return searchCache
		}
	}
	if e.peek {
		return readCache
	}
	return noTask
}

func (e *entry) renewDue(c clock) bool {
	return !e.gaveUp && (e.fresh || !e.served || e.held.renew.reached(c))
}

// wait is how long e needs no attention; canStart says whether an errand could
// be started if one were due.
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
	if !e.fresh && e.served && !e.look {
		due = e.held.renew.in(c)
	}
	return min(d, max(due, e.notBefore.Sub(c.mono)))
}
