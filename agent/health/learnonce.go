package health

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/berth-registry/berth/config"
	"github.com/berth-registry/berth/node/probestate"
)

const (
	// onceLimit is how long LearnOnce takes at most.
	onceLimit = 8 * time.Second
	// onceParallel is how many registries it asks at a time.
	onceParallel = 32
)

// LearnOnce asks each registry of endpoints with Learn set once and returns all facts, with those
// of earlier probes. It takes at most eight seconds. About a registry that does not answer an
// earlier fact stays as it is; a new one is Unknown, and its Error is the reason.
func LearnOnce(ctx context.Context, o Options, s Settings, endpoints []Endpoint, earlier []probestate.Fact) []probestate.Fact {
	p := New(o)
	p.RestoreFacts(earlier)
	s.Mode = config.HealthReport
	p.Set(s, endpoints)
	asking, cancel := context.WithTimeout(ctx, onceLimit)
	defer cancel()
	var tasks errgroup.Group
	tasks.SetLimit(onceParallel)
	for _, t := range p.targets {
		login := t.loginEndpoints()
		if len(login) == 0 {
			continue
		}
		tasks.Go(func() error {
			p.probe(asking, t)
			for _, e := range login {
				if !t.health.known || !t.last.healthy() {
					p.unreachable(t, e)
					continue
				}
				p.learnOne(ctx, asking, t, e)
			}
			return nil
		})
	}
	_ = tasks.Wait() // no task fails
	return p.Learned()
}

// unreachable records that nothing could be learned about an endpoint.
func (p *Prober) unreachable(t *target, e Endpoint) {
	p.mu.Lock()
	defer p.mu.Unlock()
	name := probestate.FactURL(e.URL)
	if p.facts[name].Basic == probestate.Accepted || p.facts[name].Basic == probestate.Refused {
		return
	}
	p.facts[name] = probestate.Fact{
		URL: name, Login: p.login(e.Authorization), Basic: probestate.Unknown, Redirect: probestate.Unknown,
		Time: time.Now(), Error: cmp.Or(t.last.err, fmt.Sprintf("no answer within %s", onceLimit)),
	}
}
