package health

import (
	"context"
	"log/slog"
	"maps"
	"net/http"
	"sync"
	"time"

	"github.com/berth-registry/berth/hostsconf"
)

// target is one registry that is probed, for all endpoints on it. Prober.mu guards its fields,
// except those that never change.
type target struct {
	key  targetKey
	tls  hostsconf.TLS
	wake chan struct{} // the schedule may have changed

	endpoints []Endpoint
	health    availability
	last      result
	start     time.Time // of the last probe
	fraction  float64   // random, of the pause that follows
	probeNow  bool      // do not wait for the interval
	probes    uint64
	spent     time.Duration // on all probes
	failed    map[Reason]uint64
	learning  bool
	cancel    context.CancelFunc // nil while not watched
}

func newTarget(key targetKey, tls hostsconf.TLS, now time.Time) *target {
	return &target{
		key: key, tls: tls, wake: make(chan struct{}, 1), health: newAvailability(now),
		failed: map[Reason]uint64{},
	}
}

// inheritState copies the state of t, which is no longer watched, to a new target that differs only
// in its certificates: a renewed certificate must not bring a dead mirror back. The caller holds
// the lock.
func (p *Prober) inheritState(t *target) {
	for key, successor := range p.targets {
		key.tls = t.key.tls
		if key != t.key || successor.cancel != nil || successor.probes > 0 {
			continue
		}
		successor.health, successor.last, successor.start = t.health, t.last, t.start
		successor.probeNow = true
		successor.probes, successor.spent, successor.failed = t.probes, t.spent, maps.Clone(t.failed)
	}
}

// stop ends the watching. A probe in flight does not count.
func (t *target) stop() {
	if t.cancel != nil {
		t.cancel()
		t.cancel = nil
	}
}

// reset resets the state. Totals stay: they only grow.
func (t *target) reset(now time.Time) {
	t.health, t.last, t.start = newAvailability(now), result{}, time.Time{}
}

// watch probes t until ctx is done.
func (p *Prober) watch(ctx context.Context, t *target, delay time.Duration, tasks *sync.WaitGroup) {
	timer := time.NewTimer(delay)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.wake:
			timer.Reset(p.untilNext(t))
			continue
		case <-timer.C:
		}
		select {
		case <-ctx.Done():
			return
		case p.slots <- struct{}{}:
		}
		due := p.probe(ctx, t)
		<-p.slots
		if len(due) > 0 {
			tasks.Go(func() { p.learn(ctx, t, due) })
		}
		timer.Reset(p.untilNext(t))
	}
}

func (p *Prober) untilNext(t *target) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if t.probeNow || t.start.IsZero() {
		return 0
	}
	return time.Until(t.start.Add(pause(p.settings.Interval, t.fraction)))
}

// probe makes one probe and records its result. It returns the endpoints to learn about now.
func (p *Prober) probe(ctx context.Context, t *target) []Endpoint {
	p.mu.Lock()
	roundTripper := p.roundTripper(t)
	t.start, t.fraction, t.probeNow = time.Now(), p.random(), false
	limit := t.health.timeLimit(t.start, p.settings)
	p.mu.Unlock()

	r := ask(ctx, roundTripper, t.key.String(), limit)

	p.mu.Lock()
	if ctx.Err() != nil { // stopped in the meantime, by a caller that held the lock
		p.mu.Unlock()
		return nil
	}
	now := time.Now()
	r.took = now.Sub(t.start)
	t.last = r
	t.probes++
	t.spent += r.took
	if !r.healthy() {
		t.failed[r.reason]++
	}
	changed := t.health.observe(r.healthy(), now, p.settings)
	h := t.health
	renamed := p.noteRootRealm(t, r)
	var due []Endpoint
	if r.healthy() && !t.learning {
		due = p.dueLogins(t, now)
		t.learning = len(due) > 0
	}
	p.mu.Unlock()

	if changed {
		p.report(ctx, t.key.String(), h, r)
	}
	for _, f := range renamed {
		p.log.WarnContext(ctx, "registry names another token server", slog.String("url", f.URL),
			slog.String("realm", f.RootRealm), slog.String("noted", f.NotedRealm))
	}
	if changed || len(renamed) > 0 {
		p.changed()
	}
	return due
}

func (p *Prober) report(ctx context.Context, registry string, h availability, r result) {
	if h.up {
		p.log.InfoContext(ctx, "registry answers", slog.String("url", registry),
			slog.Int("status", r.status), slog.Duration("took", r.took))
		return
	}
	p.log.WarnContext(ctx, "registry does not answer", slog.String("url", registry),
		slog.String("reason", string(r.reason)), slog.String("error", r.err),
		slog.Int("failures", h.failures))
}

// roundTripper returns the round tripper for the TLS settings of t, made on first use. The caller
// holds the lock.
func (p *Prober) roundTripper(t *target) http.RoundTripper {
	if rt, ok := p.transports[t.key.tls]; ok {
		return rt
	}
	tls := t.tls
	if t.key.scheme == "http" {
		tls = hostsconf.TLS{}
	}
	rt, err := p.transport(tls)
	if err != nil {
		rt = failedTransport{err}
	}
	p.transports[t.key.tls] = rt
	return rt
}
