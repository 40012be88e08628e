package tokens

import (
	"context"
	"sync"
	"time"

	"github.com/berth-registry/berth/credprovider"
	"github.com/berth-registry/berth/credprovider/ecr"
)

const (
	// adoptEvery is how often stored tokens are read without a request. The credential chain's
	// verdicts about a source hold five minutes or more.
	adoptEvery = 5 * time.Minute
	// scanPause limits how often Rescan can make the loop read the directory.
	scanPause = time.Second
)

// scan is the search for tokens that other processes stored. The zero value is due.
type scan struct {
	running     bool
	cancelled   bool // its result is for another source
	requested   bool
	last        time.Time // when it ended; monotonic
	askedBetter time.Time // when Get was last asked for the wanted tokens; monotonic
	lastError   string    // the last error that was logged
}

func (s *scan) abort() {
	s.cancelled = s.running
	s.requested = true
}

// stepScan starts a scan if one is due, and returns how long none will be. It also makes the loop
// check the stored token of each wanted entry, and every adoptEvery ask the source for a better
// token. A request alone does not ask: Get may write files, and a caller that watches them would
// request again.
func (rf *Refresher) stepScan(ctx context.Context, calls *sync.WaitGroup, c clock) time.Duration {
	s := &rf.scan
	if s.running || rf.source == nil {
		return maxSleep
	}
	next := s.last.Add(adoptEvery)
	if s.requested {
		next = s.last.Add(scanPause)
	}
	if wait := next.Sub(c.mono); wait > 0 && !s.last.IsZero() {
		return wait
	}
	askBetter := c.mono.Sub(s.askedBetter) >= adoptEvery
	if askBetter {
		s.askedBetter = c.mono
	}
	known := make(map[scope]bool, len(rf.entries))
	for _, e := range rf.order {
		known[e.scope] = true
		if e.wanted {
			e.checkStored, e.askBetter, e.due = true, e.askBetter || askBetter, time.Time{}
		}
	}
	s.running, s.requested = true, false
	source := rf.source
	calls.Go(func() {
		found, err := search(ctx, source, known)
		rf.adopt(found, err)
	})
	return maxSleep
}

// stored is a token that was found.
type stored struct {
	registry ecr.Registry
	token    credprovider.Token
}

// search returns the good tokens of scopes that are not known yet.
func search(ctx context.Context, source Source, known map[scope]bool) ([]stored, error) {
	listed, err := source.Scopes()
	if err != nil {
		return nil, err
	}
	var found []stored
	for _, r := range listed {
		if ctx.Err() != nil || len(found) == maxAdopted {
			break
		}
		if known[scopeOf(r)] {
			continue
		}
		known[scopeOf(r)] = true
		if t, ok := source.Cached(r); ok {
			found = append(found, stored{r, t})
		}
	}
	return found, nil
}

// adopt makes entries of the tokens found, up to maxAdopted.
func (rf *Refresher) adopt(found []stored, err error) {
	rf.mu.Lock()
	defer rf.mu.Unlock()
	defer rf.wakeUp()
	c := rf.clock()
	s := &rf.scan
	s.running, s.last = false, c.mono
	if s.cancelled {
		s.cancelled = false
		return
	}
	rf.logScan(err)
	room := maxAdopted
	for _, e := range rf.order {
		if !e.wanted {
			room--
		}
	}
	for _, f := range found {
		if _, ok := rf.entries[scopeOf(f.registry)]; ok || room <= 0 {
			continue
		}
		h := newHeldToken(f.token, c, rf.random(), nil)
		if !h.good(c) {
			continue
		}
		e := rf.add(scopeOf(f.registry))
		e.registry, e.held, e.served, e.fresh = f.registry, h, true, false
		e.picked++
		room--
		rf.notify = true
		rf.logAdopted(e)
	}
	rf.sort()
}
