package health

import (
	"maps"
	"time"

	"github.com/berth-registry/berth/hostsconf"
)

// SavedState is the state of a registry that was down for an earlier Prober.
type SavedState struct {
	Since time.Time // the registry is down
	Until time.Time // this state is valid
}

// RestoreHealth sets which registries, by the address of an endpoint, were down for an earlier
// Prober. They are down from the start, are probed at once, and become up after as many successes
// as any other. Call it at most once, before [Prober.Set]. Each state is used once: an endpoint
// that is removed and added again starts as new.
func (p *Prober) RestoreHealth(down map[string]SavedState) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.saved = maps.Clone(down)
}

// savedState returns the valid saved state of an address. The caller holds the lock.
func (p *Prober) savedState(u hostsconf.URL, now time.Time) (SavedState, bool) {
	saved, ok := p.saved[u.String()]
	return saved, ok && now.Before(saved.Until)
}

// health is the health that a target starts with.
func (saved SavedState) health(now time.Time) availability {
	return availability{known: true, since: saved.Since, alive: now}
}
