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

// Source gets tokens; *[credprovider.Tokens] is one. It is used by several
// goroutines, and compared: its type must be comparable.
type Source interface {
	// Cached gives what is stored and good. It asks nobody.
	Cached(ecr.Registry) (credprovider.Token, bool)
	// Get gives what is stored, once a better source of credentials was
	// looked at if it is time for that.
	Get(context.Context, ecr.Registry) (credprovider.Token, error)
	// Renew gets and stores a new one.
	Renew(context.Context, ecr.Registry) (credprovider.Token, error)
	// Scopes lists the services and regions for which something is stored, by
	// whatever process; the registries need no host.
	Scopes() ([]ecr.Registry, error)
}

// Options say what a [Keeper] is made of. The zero value serves.
type Options struct {
	Log *slog.Logger // nil: nothing is logged
	// Changed is called when what [Keeper.Token] or [Keeper.Status] give has
	// changed, by one goroutine at a time, without locks held. It must not
	// block.
	Changed func()
	// Rand gives numbers from [0, 1), to one caller at a time; nil:
	// math/rand/v2.
	Rand func() float64
	// Now is the wall clock; nil: time.Now.
	Now func() time.Time
}

// Bounds of what a refresher uses, whatever it finds.
const (
	// maxInFlight bounds how many regions are asked at once, so that one that
	// hangs delays no other.
	maxInFlight = 16
	// maxAdopted bounds how many regions are kept fresh for the credential
	// provider alone.
	maxAdopted = 16
)

// Refresher keeps tokens fresh. Its methods may be called by several goroutines,
// and none of them but Run waits for anything.
type Refresher struct {
	log     *slog.Logger
	changed func()
	rnd     func() float64
	wall    func() time.Time
	wake    chan struct{} // holds one

	mu       sync.Mutex
	running  bool
	source   Source
	entries  map[scope]*entry
	order    []*entry // wanted ones first, then by scope
	dropped  map[scope]pauses
	turn     int // in order: who is looked at first
	inFlight int
	scan     scan
	last     clock     // what jumps of the wall clock are measured from
	due      time.Time // monotonic; when the next step is
	// What the loop tells once it has let go of the lock.
	news      bool
	lines     []line
	clockSaid time.Time // monotonic
}

// New returns a refresher that has nothing to do.
func New(o Options) *Refresher {
	k := &Refresher{
		log: o.Log, changed: o.Changed, rnd: o.Rand, wall: o.Now,
		wake:    make(chan struct{}, 1),
		entries: map[scope]*entry{},
		dropped: map[scope]pauses{},
	}
	if k.log == nil {
		k.log = slog.New(slog.DiscardHandler)
	}
	if k.changed == nil {
		k.changed = func() {}
	}
	if k.rnd == nil {
		k.rnd = rand.Float64
	}
	return k
}

// Set says what is wanted from now on, in whatever order; it may be called at
// any time, also before [Keeper.Run]. When that is what was wanted before,
// nothing happens. Registries of one service, partition and region share a
// token. What is wanted no longer is kept as if the credential provider had
// got it.
//
// A source other than before means that the credentials have changed: it is
// tried at once, whatever failed before. Until it has given a token, that of
// the old one is served: it may be of use, and to nobody else than before.
func (k *Refresher) Set(source Source, want []ecr.Registry) {
	k.mu.Lock()
	defer k.mu.Unlock()
	byScope := map[scope][]ecr.Registry{}
	for _, r := range want {
		byScope[scopeOf(r)] = append(byScope[scopeOf(r)], r)
	}
	changed := source != k.source
	for _, e := range k.order {
		if _, ok := byScope[e.scope]; !ok && e.wanted {
			e.unwant()
			changed = true
		}
	}
	if source != k.source {
		k.replaceSource(source)
	}
	for s, registries := range byScope {
		e, ok := k.entries[s]
		if !ok {
			e = k.add(s)
		}
		changed = e.want(registries) || changed
	}
	if !changed {
		return // whoever is called by Changed may call Set
	}
	k.sort()
	k.trim(k.clock())
	k.scan.requested = true
	k.news = true
	k.wakeUp()
}

// replaceSource starts every entry anew, but for the tokens of those that are
// wanted. Calls that are under way are given up.
func (k *Refresher) replaceSource(source Source) {
	k.source = source
	k.scan.abort()
	clear(k.dropped)
	for s, old := range k.entries {
		old.abort()
		if !old.wanted {
			delete(k.entries, s) // the new source finds it again if it can serve it
			continue
		}
		k.entries[s] = old.reset()
	}
}

// Rescan looks soon at what other processes have stored, as it does every few
// minutes anyway.
func (k *Refresher) Rescan() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.scan.requested = true
	k.wakeUp()
}

// Token gives the token for r if there is one that is good at this very
// moment: not within its margin before expiry, by either clock.
func (k *Refresher) Token(r ecr.Registry) (credprovider.Token, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	e, ok := k.entries[scopeOf(r)]
	if !ok || !e.held.good(k.clock()) {
		return credprovider.Token{}, false
	}
	return e.held.token, true
}

// Run keeps the tokens fresh until ctx is done, and returns nil when all that
// it started has ended. It can be used once.
func (k *Refresher) Run(ctx context.Context) error {
	k.mu.Lock()
	if k.running {
		k.mu.Unlock()
		return errors.New("the token refresher runs already")
	}
	k.running = true
	k.last = k.clock()
	k.mu.Unlock()
	k.loop(ctx)
	return nil
}

// wakeUp makes the loop look at everything.
func (k *Refresher) wakeUp() {
	select {
	case k.wake <- struct{}{}:
	default:
	}
}

func (k *Refresher) clock() clock {
	now := time.Now()
	c := clock{wall: now.Round(0), mono: now}
	if k.wall != nil {
		c.wall = k.wall().Round(0)
	}
	return c
}

// trim drops those that nobody wants and that have nothing to give, and those
// beyond the bound.
func (k *Refresher) trim(c clock) {
	adopted := 0
	for _, e := range k.order {
		if e.wanted {
			continue
		}
		if adopted++; adopted > maxAdopted || !e.held.good(c) {
			k.drop(e, c)
		}
	}
	k.sort()
}

// pauses are what outlives an entry: it may be back the next minute, and
// nobody is to be called sooner for that. Both are monotonic times.
type pauses struct{ notBefore, obeyed time.Time }

// add makes an entry; sort has to follow.
func (k *Refresher) add(s scope) *entry {
	e := newEntry(s)
	e.notBefore, e.obeyed = k.dropped[s].notBefore, k.dropped[s].obeyed
	delete(k.dropped, s)
	k.entries[s] = e
	return e
}

// drop forgets an entry; sort has to follow.
func (k *Refresher) drop(e *entry, c clock) {
	e.abort()
	delete(k.entries, e.scope)
	for s, p := range k.dropped {
		if !c.mono.Before(p.notBefore) {
			delete(k.dropped, s)
		}
	}
	if c.mono.Before(e.notBefore) {
		k.dropped[e.scope] = pauses{e.notBefore, e.obeyed}
	}
}

// sort brings order in line with entries.
func (k *Refresher) sort() {
	k.order = k.order[:0:0]
	for _, e := range k.entries {
		k.order = append(k.order, e)
	}
	slices.SortFunc(k.order, (*entry).compare)
}
