package tokens

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/berth-registry/berth/credprovider"
	"github.com/berth-registry/berth/credprovider/ecr"
)

// Source gets tokens, as *[credprovider.Tokens] does. Several goroutines call it at the same time.
// Its type must be comparable.
type Source interface {
	// Cached returns the stored token if it is good. It makes no request.
	Cached(ecr.Registry) (credprovider.Token, bool)
	// Get returns the stored token; if it is time for that, it tries a better source of credentials
	// first.
	Get(context.Context, ecr.Registry) (credprovider.Token, error)
	// Renew fetches and stores a new token.
	Renew(context.Context, ecr.Registry) (credprovider.Token, error)
	// Scopes lists the services and regions that have a stored token of any process. The registries
	// need no host.
	Scopes() ([]ecr.Registry, error)
}

// Options of a [Refresher]. The zero value is ready for use.
type Options struct {
	Log *slog.Logger // nil: nothing is logged
	// Changed is called after the result of [Refresher.Token] or [Refresher.Status] changed, by one
	// goroutine at a time, without locks held. It must not block.
	Changed func()
	// Rand returns numbers in [0, 1), to one caller at a time; nil: math/rand/v2.
	Rand func() float64
	// Now is the wall clock; nil: time.Now.
	Now func() time.Time
}

// Limits of the resources that a refresher uses.
const (
	// maxInFlight limits how many scopes are asked for at the same time. A call that hangs delays
	// no other, up to this number.
	maxInFlight = 16
	// maxAdopted limits how many scopes are kept fresh only for the credential provider.
	maxAdopted = 16
)

// Refresher keeps tokens fresh. Several goroutines may call its methods, and none but Run waits for
// anything.
type Refresher struct {
	logger  *slog.Logger
	changed func()
	random  func() float64
	wall    func() time.Time
	wake    chan struct{} // holds one

	mu       sync.Mutex
	running  bool
	source   Source
	helpers  Helpers
	entries  map[scope]*entry
	order    []*entry // wanted ones first, then by scope
	dropped  map[scope]pauses
	startAt  int // index in order of the entry that step looks at first
	inFlight int
	scan     scan
	last     clock     // wall clock jumps are measured from here
	due      time.Time // when the next step is due; monotonic
	// The loop logs and reports these after it has released the lock.
	notify      bool
	logLines    []line
	clockLogged time.Time // monotonic
}

// New returns a refresher without a task.
func New(o Options) *Refresher {
	rf := &Refresher{
		logger: o.Log, changed: o.Changed, random: o.Rand, wall: o.Now,
		wake:    make(chan struct{}, 1),
		entries: map[scope]*entry{},
		dropped: map[scope]pauses{},
	}
	if rf.logger == nil {
		rf.logger = slog.New(slog.DiscardHandler)
	}
	if rf.changed == nil {
		rf.changed = func() {}
	}
	if rf.random == nil {
		rf.random = rand.Float64
	}
	return rf
}

// Set replaces the registries that need tokens, in any order; it may be called at any time, also
// before [Refresher.Run]. The same set again changes nothing. Registries of one service, partition
// and region share a token. An entry that is no longer wanted is kept as an adopted one.
//
// Another source means that the credentials changed: it is tried at once, whatever failed before.
// Until it returns a token, the token of the old one is served, to the same registries as before.
func (rf *Refresher) Set(source Source, want []ecr.Registry) {
	rf.mu.Lock()
	defer rf.mu.Unlock()
	byScope := map[scope][]ecr.Registry{}
	for _, r := range want {
		byScope[scopeOf(r)] = append(byScope[scopeOf(r)], r)
	}
	changed := source != rf.source
	for _, e := range rf.order {
		if _, ok := byScope[e.scope]; !ok && e.wanted && e.helper == nil {
			e.unwant()
			changed = true
		}
	}
	if source != rf.source {
		rf.replaceSource(source)
	}
	for s, registries := range byScope {
		e, ok := rf.entries[s]
		if !ok {
			e = rf.add(s)
		}
		changed = e.want(registries) || changed
	}
	if !changed {
		return // Set may be called from Changed: an endless loop otherwise
	}
	rf.sort()
	rf.trim(rf.clock())
	rf.scan.requested = true
	rf.notify = true
	rf.wakeUp()
}

// replaceSource resets every entry, except the tokens of wanted ones. Calls in flight are
// cancelled.
func (rf *Refresher) replaceSource(source Source) {
	rf.source = source
	rf.scan.abort()
	clear(rf.dropped)
	for s, old := range rf.entries {
		if old.helper != nil {
			continue
		}
		old.abort()
		if !old.wanted {
			delete(rf.entries, s) // the scan adopts it again if the new source can serve it
			continue
		}
		rf.entries[s] = old.reset()
	}
}

// Rescan makes the loop read the stored tokens soon, as it does every few minutes anyway.
func (rf *Refresher) Rescan() {
	rf.mu.Lock()
	defer rf.mu.Unlock()
	rf.scan.requested = true
	rf.wakeUp()
}

// Token returns the token for r if it is good at this moment: not within its margin before expiry
// by either clock.
func (rf *Refresher) Token(r ecr.Registry) (credprovider.Token, bool) {
	rf.mu.Lock()
	defer rf.mu.Unlock()
	e, ok := rf.entries[scopeOf(r)]
	if !ok || !e.held.good(rf.clock()) {
		return credprovider.Token{}, false
	}
	return e.held.token, true
}

// Run keeps the tokens fresh until ctx is done, and returns nil after everything that it started
// has ended. A second call is an error.
func (rf *Refresher) Run(ctx context.Context) error {
	rf.mu.Lock()
	if rf.running {
		rf.mu.Unlock()
		return errors.New("the token refresher can run only once")
	}
	rf.running = true
	rf.last = rf.clock()
	rf.mu.Unlock()
	rf.loop(ctx)
	return nil
}

// wakeUp makes the loop look at all entries.
func (rf *Refresher) wakeUp() {
	select {
	case rf.wake <- struct{}{}:
	default:
	}
}

func (rf *Refresher) clock() clock {
	now := time.Now()
	c := clock{wall: now.Round(0), mono: now}
	if rf.wall != nil {
		c.wall = rf.wall().Round(0)
	}
	return c
}

// trim drops adopted entries without a good token, and those above maxAdopted.
func (rf *Refresher) trim(c clock) {
	adopted := 0
	for _, e := range rf.order {
		if e.wanted {
			continue
		}
		if adopted++; adopted > maxAdopted || !e.held.good(c) {
			rf.drop(e, c)
		}
	}
	rf.sort()
}

// pauses are the backoff of a dropped entry: it may return the next minute, and AWS must not be
// asked sooner for that. Both times are monotonic.
type pauses struct{ notBefore, retryAfterEnd time.Time }

// add makes an entry. The caller must call sort afterwards.
func (rf *Refresher) add(s scope) *entry {
	e := newEntry(s)
	e.notBefore, e.retryAfterEnd = rf.dropped[s].notBefore, rf.dropped[s].retryAfterEnd
	delete(rf.dropped, s)
	rf.entries[s] = e
	return e
}

// drop removes an entry. The caller must call sort afterwards.
func (rf *Refresher) drop(e *entry, c clock) {
	e.abort()
	delete(rf.entries, e.scope)
	for s, p := range rf.dropped {
		if !c.mono.Before(p.notBefore) {
			delete(rf.dropped, s)
		}
	}
	if c.mono.Before(e.notBefore) {
		rf.dropped[e.scope] = pauses{e.notBefore, e.retryAfterEnd}
	}
}

// sort rebuilds order from entries.
func (rf *Refresher) sort() {
	rf.order = rf.order[:0:0]
	for _, e := range rf.entries {
		rf.order = append(rf.order, e)
	}
	slices.SortFunc(rf.order, (*entry).compare)
}
