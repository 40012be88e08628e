package tokensim

import (
	"time"

	"github.com/berth-registry/berth/credprovider"
	"github.com/berth-registry/berth/credprovider/ecr"
)

// record is the checker's knowledge about a token.
type record struct {
	region  string
	expires time.Time // in true time
	ends    time.Time // the margin before
	// foreign: the keeper read it from a file, and knows only what the wall
	// clock says of it.
	foreign bool
	// ahead is how far the wall clock was ahead when the token was issued; least is the smallest
	// such number since. Their difference is the largest possible error of a reader.
	ahead, least time.Duration
}

// forgot: the refresher may have dropped its tokens and read them again from their files. It has
// kept those of the regions in still.
func (j *checker) forgot(still []ecr.Registry) {
	j.mu.Lock()
	defer j.mu.Unlock()
	kept := map[string]bool{}
	for _, r := range still {
		kept[keyOf(r)] = true
	}
	for _, t := range j.tokens {
		t.foreign = t.foreign || !kept[t.region]
	}
}

func (j *checker) clockPut(ahead time.Duration) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.ahead, j.lastPut = ahead, time.Now()
	for _, t := range j.tokens {
		t.least = min(t.least, ahead)
	}
}

// prune removes tokens that no clock can make valid again.
func (j *checker) prune() {
	for password, t := range j.tokens {
		if time.Since(t.expires) > 90*24*time.Hour {
			delete(j.tokens, password)
		}
	}
	j.pruned = len(j.tokens)
}

func (j *checker) issued(r ecr.Registry, t credprovider.Token, ahead time.Duration, foreign bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	expires := t.Expires.Add(-ahead)
	if len(j.tokens) > 2*j.pruned+100 {
		j.prune()
	}
	g := j.region(r)
	if g.newest != nil {
		// Once it is replaced, it can only come back from its file.
		g.newest.foreign = true
	}
	g.newest = &record{region: keyOf(r), expires: expires, ends: t.UsableUntil().Add(-ahead), foreign: foreign, ahead: ahead, least: ahead}
	j.tokens[t.Password.Reveal()] = g.newest
	if foreign {
		// If the refresher takes it, it ends a series of failures.
		g.failures, g.interfered = 0, g.inFlight > 0
	}
}

// look checks the rules of expiry and of identity. It returns when to look again: at the edges of
// the token's life, in true time.
func (j *checker) look(r ecr.Registry) (served bool, edges []time.Time) {
	t, ok := j.subject(r)
	wall := j.wall()
	j.mu.Lock()
	defer j.mu.Unlock()
	j.counts.Checks++
	if !ok {
		return false, nil
	}
	j.counts.Served++
	now := time.Now()
	known, ok := j.tokens[t.Password.Reveal()]
	if !ok {
		j.violation(RuleExpiry, "%s: a token that was not issued", keyOf(r))
		return true, nil
	}
	if known.region != keyOf(r) {
		j.violation(RuleIdentity, "%s: the token of %s is served", keyOf(r), known.region)
	}
	wrong := time.Duration(0)
	if known.foreign {
		wrong = known.ahead - known.least
	}
	switch {
	case !now.Before(known.expires.Add(wrong)):
		j.violation(RuleExpiry, "%s: served %s after it expired", keyOf(r), now.Sub(known.expires))
	case !now.Before(known.ends.Add(wrong)):
		j.violation(RuleMargin, "%s: served %s before it expires, within the margin", keyOf(r), known.expires.Sub(now))
	case !t.Usable(wall):
		j.violation(RuleMargin, "%s: served at %s, issued %s, expires %s by the wall clock", keyOf(r), wall, t.Issued, t.Expires)
	}
	for _, edge := range []time.Time{t.UsableUntil().Add(-j.ahead), known.ends, known.expires} {
		edges = append(edges, edge.Add(-1), edge, edge.Add(1))
	}
	return true, edges
}
