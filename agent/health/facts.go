package health

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"slices"
	"time"

	"github.com/berth-registry/berth/internal/realm"
	"github.com/berth-registry/berth/internal/redact"
	"github.com/berth-registry/berth/node/probestate"
)

// Learned returns all facts, sorted by URL, for the caller to save.
func (p *Prober) Learned() []probestate.Fact {
	p.mu.Lock()
	defer p.mu.Unlock()
	facts := make([]probestate.Fact, 0, len(p.facts))
	for _, name := range slices.Sorted(maps.Keys(p.facts)) {
		facts = append(facts, p.facts[name])
	}
	return facts
}

// RestoreFacts adds saved facts, but for those about which the Prober has a newer one. A value that
// this version does not know becomes Unknown.
func (p *Prober) RestoreFacts(facts []probestate.Fact) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, f := range facts {
		if f.URL == "" || p.facts[f.URL].Time.After(f.Time) {
			continue
		}
		if !slices.Contains([]string{probestate.Accepted, probestate.Refused}, f.Basic) {
			f.Basic = probestate.Unknown
		}
		if !slices.Contains([]string{probestate.NoRedirect, probestate.OtherHost, probestate.OtherPort, probestate.Subdomain}, f.Redirect) {
			f.Redirect, f.To = probestate.Unknown, ""
		}
		for _, server := range []*string{&f.Realm, &f.RootRealm, &f.NotedRealm} {
			if parsed, err := realm.Parse(*server); err != nil || parsed != *server {
				*server = ""
			}
		}
		p.facts[f.URL] = f
	}
}

// login computes Fact.Login.
func (p *Prober) login(authorization redact.Secret) string {
	mac := hmac.New(sha256.New, p.loginKey)
	mac.Write([]byte(authorization.Reveal()))
	return hex.EncodeToString(mac.Sum(nil)[:16])
}

// keepFacts is how long facts about endpoints that are no longer watched are kept: an entry may
// return to the config.
const keepFacts = 30 * 24 * time.Hour

// prune removes schedules and old facts of endpoints that are no longer watched. The caller holds
// the lock.
func (p *Prober) prune(endpoints []Endpoint, now time.Time) {
	watched := make(map[string]bool, len(endpoints))
	for _, e := range endpoints {
		watched[probestate.FactURL(e.URL)] = true
	}
	maps.DeleteFunc(p.schedules, func(name string, _ schedule) bool { return !watched[name] })
	maps.DeleteFunc(p.facts, func(name string, f probestate.Fact) bool { return !watched[name] && now.Sub(f.Time) > keepFacts })
}
