package health

import (
	"maps"
	"time"

	"github.com/berth-registry/berth/hostsconf"
)

// SavedState is a registry that did not answer when an earlier Prober last asked.
type SavedState struct {
	Since time.Time // it did not answer
	Until time.Time // the memory counts
}

// RestoreHealth takes in which registries, by the address of their endpoints, did
// not answer before this Prober was made. Such a one is down from the start: it
// is asked at once, and comes up after so many successes as any other. It may
// be called once, before [Prober.Set]; a memory serves once, so an endpoint that
// goes and comes back begins anew.
func (p *Prober) RestoreHealth(down map[string]SavedState) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.saved = maps.Clone(down)
}

// savedState gives what is remembered of an address. The lock is held.
func (p *Prober) savedState(u hostsconf.URL, now time.Time) (SavedState, bool) {
	m, ok := p.saved[u.String()]
	return m, ok && now.Before(m.Until)
}

// health is that of a registry that did not answer.
func (m SavedState) health(now time.Time) health {
	return health{known: true, since: m.Since, alive: now}
}
