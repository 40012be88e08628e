package tokensim

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/berth-registry/berth/credprovider"
	"github.com/berth-registry/berth/credprovider/ecr"
	"github.com/berth-registry/berth/internal/redact"
)

// node is one machine: its clock, its token files, and AWS as the machine sees it.
type node struct {
	checker *checker

	mu      sync.Mutex
	seed    uint64
	ahead   time.Duration // of the wall clock
	regions map[string]*region
	serial  int
	full    bool // the disk: nothing is stored
}

// region is the state of one service, region and identity for the node.
type region struct {
	as     ecr.Registry // without a host and a chain
	rnd    *rand.Rand   // its own, so that the order of calls at one moment does not matter
	phase  phase
	stored credprovider.Token // in the file
}

// keyOf names what one token serves: the registries of a service and region with the same identity.
func keyOf(r ecr.Registry) string {
	key := string(r.Service()) + " " + r.Region
	if r.Chain != "" {
		key += " of " + r.Chain
	}
	return key
}

func (n *node) wall() time.Time {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.wallLocked()
}

func (n *node) wallLocked() time.Time { return time.Now().Add(n.ahead).Round(0) }

// putClock moves the wall clock.
func (n *node) putClock(by time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.ahead += by
	n.checker.clockPut(n.ahead)
}

// at returns the current state of the region. The caller holds the lock.
func (n *node) at(r ecr.Registry) *region {
	g, ok := n.regions[keyOf(r)]
	if !ok {
		g = &region{}
		h := fnv.New64a()
		_, _ = h.Write([]byte(keyOf(r))) // never fails
		g.rnd = rand.New(rand.NewPCG(n.seed, h.Sum64()))
		g.as, _ = ecr.InRegion(r.Service(), r.Region)
		n.regions[keyOf(r)] = g
	}
	for now := time.Now(); !now.Before(g.phase.until); {
		begin := g.phase.until
		if begin.IsZero() {
			begin = now
		}
		g.phase = g.phase.following(g.rnd, begin)
	}
	return g
}

// issue makes a token. The caller holds the lock.
func (n *node) issue(life time.Duration) credprovider.Token {
	n.serial++
	now := n.wallLocked()
	return credprovider.Token{
		Token: ecr.Token{
			Username: "AWS", Password: redact.New(fmt.Sprintf("token-%d", n.serial)),
			Issued: now, Expires: now.Add(life),
		},
		Source: "instance profile", Identity: "profile",
	}
}

// other is another process of the node that gets a token and stores it.
func (n *node) other(r ecr.Registry) {
	n.mu.Lock()
	defer n.mu.Unlock()
	g := n.at(r)
	if g.phase.kind != fair && g.phase.kind != slow {
		return
	}
	t := n.issue(g.phase.life)
	g.stored = t
	n.checker.issued(r, t, n.ahead, true)
}

// forget removes the stored tokens: a restart of the machine, or a clean-up.
func (n *node) forget() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, g := range n.regions {
		g.stored = credprovider.Token{}
	}
}

// source is the refresher's access to the node. There is a new one for each change of the
// credentials.
type source struct {
	node *node
	name int
}

func (s *source) Cached(r ecr.Registry) (credprovider.Token, bool) {
	s.node.mu.Lock()
	defer s.node.mu.Unlock()
	t := s.node.at(r).stored
	return t, !t.Password.IsZero() && t.Usable(s.node.wallLocked())
}

// Get sometimes finds a better source.
func (s *source) Get(ctx context.Context, r ecr.Registry) (credprovider.Token, error) {
	t, ok := s.Cached(r)
	if !ok {
		return credprovider.Token{}, errors.New("nothing is stored any more")
	}
	s.node.mu.Lock()
	better := s.node.at(r).rnd.IntN(5000) == 0
	s.node.mu.Unlock()
	if better {
		s.node.other(r)
		t, _ = s.Cached(r)
	}
	return t, nil
}

func (s *source) Renew(ctx context.Context, r ecr.Registry) (credprovider.Token, error) {
	n := s.node
	call := n.checker.calls(s, r)
	n.mu.Lock()
	g := n.at(r)
	phase := g.phase
	wait, err := phase.outcome(g.rnd)
	n.mu.Unlock()
	if !sleep(ctx, wait) {
		n.checker.gaveUp(call)
		return credprovider.Token{}, ctx.Err()
	}
	if err != nil {
		n.checker.failed(call, err)
		return credprovider.Token{}, err
	}
	n.mu.Lock()
	t := n.issue(phase.life)
	if phase.kind == stale {
		t.Issued, t.Expires = t.Issued.Add(-13*time.Hour), t.Issued.Add(-time.Hour)
	} else if !n.full {
		n.at(r).stored = t
	}
	n.checker.issued(r, t, n.ahead, false)
	n.mu.Unlock()
	n.checker.succeeded(call, t)
	return t, nil
}

// Scopes knows no chains, as the real one: the name of a file has a hash of the identity.
func (s *source) Scopes() ([]ecr.Registry, error) {
	s.node.mu.Lock()
	defer s.node.mu.Unlock()
	found := make([]ecr.Registry, 0, len(s.node.regions))
	for _, g := range s.node.regions {
		if !g.stored.Password.IsZero() && !slices.Contains(found, g.as) {
			found = append(found, g.as)
		}
	}
	return found, nil
}
