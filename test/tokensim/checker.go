package tokensim

import (
	"errors"
	"sync"
	"time"

	"github.com/berth-registry/berth/credprovider"
	"github.com/berth-registry/berth/credprovider/ecr"
	"github.com/berth-registry/berth/internal/redact"
)

// checker holds the rules. It sees the same events as the node, in true time.
type checker struct {
	subject func(ecr.Registry) (credprovider.Token, bool)
	wall    func() time.Time

	mu         sync.Mutex
	ahead      time.Duration
	lastPut    time.Time          // of the wall clock
	tokens     map[string]*record // by password
	calling    map[string]*history
	violations []string
	broken     map[Rule]int
	pruned     int // number of tokens that remained
	counts     Counts
	inFlight   int
}

// Counts is the extent of a trial.
type Counts struct {
	Calls, Failures, Renewals int
	Checks, Served            int
	MostInFlight              int
}

// history is the calls for one region.
type history struct {
	inFlight int
	// The last call: when it ended, and its consequences.
	ended    time.Time
	err      error // nil: it returned a token
	life     time.Duration
	hadToken bool
	token    redact.Secret // that it had
	draw     float64
	drawn    bool
	newest   *record
	failures int // in a row, at least
	// interfered: another process stored a token during the call.
	interfered bool
	// The refresher's token, and whether it changed since the last call without a call: a token may
	// come from a file, expire, or be dropped and regained because of the clock.
	as    ecr.Registry
	seen  redact.Secret
	moved bool
}

// The limits of the rules, as designed.
const (
	leastPause     = 500 * time.Millisecond
	mostWithout    = 20 * time.Second
	mostWith       = 5 * time.Minute
	mostTemporary  = 10 * time.Second
	obeyedWithout  = time.Minute
	obeyedWith     = 5 * time.Minute
	mostAtOnce     = 16
	keptViolations = 8
)

func newChecker(wall func() time.Time) *checker {
	return &checker{wall: wall, tokens: map[string]*record{}, broken: map[Rule]int{}, calling: map[string]*history{}}
}

func (j *checker) region(r ecr.Registry) *history {
	g, ok := j.calling[keyOf(r)]
	if !ok {
		g = &history{as: r}
		j.calling[keyOf(r)] = g
	}
	return g
}

// newCredentials: all regions may be tried at once, independent of earlier failures.
func (j *checker) newCredentials() {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, g := range j.calling {
		*g = history{inFlight: g.inFlight, newest: g.newest, as: g.as}
	}
}

// drew is called for each random number that the refresher draws.
func (j *checker) drew(x float64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	now := time.Now()
	for _, g := range j.calling {
		if g.ended.Equal(now) && (!g.drawn || x < g.draw) {
			g.draw, g.drawn = x, true
		}
	}
}

// changed is called when the refresher reports a change.
func (j *checker) changed() {
	j.mu.Lock()
	var all []*history
	for _, g := range j.calling {
		all = append(all, g)
	}
	j.mu.Unlock()
	for _, g := range all {
		token, _ := j.subject(g.as) // not under the lock: the refresher has its own
		j.mu.Lock()
		if token.Password != g.seen {
			g.seen, g.moved = token.Password, true
			if !token.Password.IsZero() {
				g.failures = 0
			}
		}
		j.mu.Unlock()
	}
}

// call is one call of AWS.
type call struct {
	source *source
	region ecr.Registry
}

// calls checks the backoff: a call must not come too soon after the one before.
func (j *checker) calls(s *source, r ecr.Registry) call {
	token, have := j.subject(r)
	j.mu.Lock()
	defer j.mu.Unlock()
	j.counts.Calls++
	g := j.region(r)
	if g.inFlight++; g.inFlight > 2 {
		j.violation(RuleGrowth, "%s: %d calls at once", keyOf(r), g.inFlight)
	}
	j.inFlight++
	if j.counts.MostInFlight = max(j.counts.MostInFlight, j.inFlight); j.inFlight > mostAtOnce {
		j.violation(RuleGrowth, "%d calls at once", j.inFlight)
	}
	if g.ended.IsZero() {
		return call{s, r}
	}
	same := have == g.hadToken && token.Password == g.token && !g.moved
	least, most := g.pause(same)
	switch gap := time.Since(g.ended); {
	case gap < least:
		j.violation(RuleBackoff, "%s: called %s after the last call (%v, failure %d), want at least %s", keyOf(r), gap, g.err, g.failures, least)
	case gap > most && !have && !g.hadToken && g.failures > 0 && g.ended.After(j.lastPut):
		j.violation(RuleBackoff, "%s: called only %s after the last failure without a token, want at most %s", keyOf(r), gap, most)
	}
	if !same {
		g.failures = 0 // it may have found one in a file
	}
	return call{s, r}
}

// pause returns the shortest pause of the refresher, and the longest one without a token. same
// means that it has the same token as when the last call ended.
func (g *history) pause(same bool) (least, most time.Duration) {
	if g.err == nil {
		return max(time.Second, min(10*time.Second, g.life/4)), 0
	}
	limit, obeyed := mostWithout, obeyedWithout
	if errors.Is(g.err, ecr.Busy) {
		limit = mostTemporary
	}
	if g.hadToken {
		limit, obeyed = mostWith, obeyedWith
	}
	asked := time.Duration(0)
	var e *ecr.Error
	if errors.As(g.err, &e) {
		asked = e.RetryAfter
	}
	most = min(asked, obeyedWithout) + mostWithout
	if g.hadToken && !same {
		// The token has expired in between, which shortens the pause.
		return max(leastPause, min(asked, obeyedWithout)), most
	}
	bound := limit
	if g.failures <= 16 {
		bound = min(limit, time.Second<<max(g.failures-1, 0))
	}
	// A nanosecond for rounding.
	least = leastPause + time.Duration(g.draw*float64(bound-leastPause)) - 1
	return least + min(asked, obeyed), most
}

func (j *checker) ends(c call) *history {
	g := j.region(c.region)
	g.inFlight--
	j.inFlight--
	g.ended = time.Now()
	g.drawn, g.draw, g.moved = false, 0, false
	return g
}

func (j *checker) gaveUp(c call) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.region(c.region).inFlight--
	j.inFlight--
}

func (j *checker) failed(c call, err error) {
	token, have := j.subject(c.region)
	j.mu.Lock()
	defer j.mu.Unlock()
	g := j.ends(c)
	j.counts.Failures++
	g.failures++
	if g.interfered {
		g.failures, g.interfered = 0, false
	}
	g.err, g.hadToken, g.token = err, have, token.Password
}

func (j *checker) succeeded(c call, t credprovider.Token) {
	if !t.Usable(j.wall()) {
		j.failed(c, ecr.Busy)
		return
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	g := j.ends(c)
	j.counts.Renewals++
	g.interfered = false
	g.err, g.failures, g.life = nil, 0, t.Expires.Sub(t.Issued)
}
