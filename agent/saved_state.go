package agent

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/berth-registry/berth/agent/health"
	"github.com/berth-registry/berth/node/probestate"
	"github.com/berth-registry/berth/node/reconcile"
)

// saveHealth writes which endpoints answer to health.json, if that changed: for commands that
// run meanwhile and for the next agent.
func (a *Agent) saveHealth() error {
	s := probestate.SavedHealth{Endpoints: map[string]probestate.Endpoint{}}
	if a.withdrawEnabled {
		for _, p := range a.prober.Status() {
			for _, u := range p.URLs {
				if p.Known {
					s.Endpoints[u] = a.savedEndpoint(u, p)
				}
			}
		}
	}
	if len(s.Endpoints) == 0 && a.savedFiles[reconcile.HealthFile] == nil && !a.node.HasPrivate(reconcile.HealthFile) {
		return nil
	}
	return a.saveFile(reconcile.HealthFile, s)
}

func (a *Agent) savedEndpoint(u string, p health.Status) probestate.Endpoint {
	s := probestate.Endpoint{Up: p.Up, Since: p.Since.UTC().Round(0)}
	switch {
	case p.Up:
	case p.Probes > 0:
		s.Last = p.LastProbe.UTC().Truncate(time.Minute)
	case a.earlierHealth != nil:
		// Not probed yet: the time of the earlier agent's probe stays.
		s.Last = a.earlierHealth.Endpoints[u].Last
	}
	return s
}

// How long a saved "down" counts: long enough for the update of a DaemonSet or a reboot, too
// short for a repair that takes its time. A wrong "down" costs two answers of the endpoint; a
// missing one costs each pull a timeout until the endpoint has failed again.
// healthMaxAgeIntervals is for a long probe interval, where even the last probe is old.
const (
	healthMaxAge          = 10 * time.Minute
	healthMaxAgeIntervals = 3
)

// loadHealth tells the prober, once, which endpoints were down for an earlier agent.
func (a *Agent) loadHealth(ctx context.Context, interval time.Duration) {
	if a.earlierHealth != nil {
		return
	}
	a.earlierHealth = &probestate.SavedHealth{}
	if err := a.node.ReadPrivate(reconcile.HealthFile, a.earlierHealth); err != nil {
		a.log.WarnContext(ctx, "health.json cannot be read; mirrors are probed again", "error", err)
		return
	}
	down := recentlyDown(*a.earlierHealth, time.Now(), max(healthMaxAge, healthMaxAgeIntervals*interval))
	if len(down) > 0 {
		a.log.InfoContext(ctx, "endpoints were down for the previous agent", "endpoints", slices.Sorted(maps.Keys(down)))
	}
	a.prober.RestoreHealth(down)
}

// recentlyDown returns the endpoints that were down at most maxAge ago. A time in the future,
// from a clock that was wrong, does not count.
func recentlyDown(s probestate.SavedHealth, now time.Time, maxAge time.Duration) map[string]health.SavedState {
	found := map[string]health.SavedState{}
	for u, e := range s.Endpoints {
		if until := e.Last.Add(maxAge); !e.Up && !e.Last.After(now) && now.Before(until) {
			found[u] = health.SavedState{Since: e.Since, Until: now.Add(until.Sub(now))}
		}
	}
	return found
}

// saveLearned writes what the prober learned about logins to learned.json, if it changed.
func (a *Agent) saveLearned() error {
	l := probestate.SavedLogins{Key: a.loginKey, Facts: a.prober.Learned()}
	if len(l.Facts) == 0 && a.savedFiles[reconcile.LearnedFile] == nil {
		return nil
	}
	return a.saveFile(reconcile.LearnedFile, l)
}

func (a *Agent) saveFile(name string, v any) error {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	b = append(b, '\n')
	if bytes.Equal(b, a.savedFiles[name]) && a.node.HasPrivate(name) {
		return nil
	}
	if err := a.node.Store.WritePrivate(name, b); err != nil {
		return err
	}
	a.savedFiles[name] = b
	return nil
}
