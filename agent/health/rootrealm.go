package health

import (
	"github.com/berth-registry/berth/hostsconf"
	"github.com/berth-registry/berth/node/probestate"
)

// noteRootRealm compares the token server that the API root names in r with the facts about the
// endpoints of t. If it is another one than before, it counts until the login is probed, which is
// due at once: the header must not wait for that. It returns the facts that changed this way. The
// caller holds the lock.
func (p *Prober) noteRootRealm(t *target, r result) []probestate.Fact {
	if !r.namesRealm() {
		return nil
	}
	var renamed []probestate.Fact
	for _, e := range t.loginEndpoints() {
		name := probestate.FactURL(e.URL)
		fact, known := p.facts[name]
		if !known || fact.Basic == probestate.Unknown {
			continue // the login is probed soon, and this answer is kept then
		}
		before := fact
		if server := newLoginProbe(e, nil, 0).masked(r.realm); server != fact.RootRealm {
			fact.RootRealm = server
			if server != "" && server != fact.Realm {
				fact.Realm = server
				renamed = append(renamed, fact)
			}
			if before.RootRealm != "" || fact.Realm != before.Realm {
				l := p.schedules[name]
				l.login = "" // due at once
				p.schedules[name] = l
			}
		}
		if fact = fact.Note(e.URL, e.TokenRealms); fact != before {
			p.facts[name] = fact
		}
	}
	return renamed
}

// LoginPending reports whether the first probe of a login for u has not ended, or not begun. It is
// false for a registry that does not answer.
func (p *Prober) LoginPending(u hostsconf.URL) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.settings.active() {
		return false
	}
	if _, known := p.facts[probestate.FactURL(u)]; known {
		return false
	}
	targets := p.byURL[u]
	for _, t := range targets {
		if t.probes == 0 || t.learning {
			return true
		}
	}
	return len(targets) == 0
}
