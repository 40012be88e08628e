package health

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"slices"
	"time"

	"github.com/berth-registry/berth/hostsconf"
	"github.com/berth-registry/berth/internal/realm"
	"github.com/berth-registry/berth/internal/redact"
)

// The values of [Fact.Basic] and [Fact.Redirect].
const (
	Unknown = "unknown"

	// Accepted: the registry treats a request with Basic as logged in.
	Accepted = "accepted"
	// Refused: the registry accepts only Bearer tokens. Basic in a header is useless, unless
	// containerd sends it to the token server.
	Refused = "refused"

	// NoRedirect: the registry serves blobs itself.
	NoRedirect = "none"
	// OtherHost: blobs come from a host to which Go does not carry the header.
	OtherHost = "other-host"
	// OtherPort: blobs come from the same host name, on another port or with another scheme. Go
	// carries the header there.
	OtherPort = "same-host-other-port"
	// Subdomain: blobs come from a subdomain. Go carries the header there.
	Subdomain = "subdomain"
)

// Fact is what a Prober learned about one endpoint with a login. It holds no secret and may be
// shown. It stays valid until the next answer, also after a new password, because Basic and
// Redirect depend on the registry.
type Fact struct {
	URL string `json:"url"` // see [FactURL]
	// Login identifies the login, so that a new one is tried. It is an HMAC of the header, with a
	// key that stays on the node (Options.LoginKey): from a plain or salted hash a reader could
	// guess the password.
	Login    string `json:"login"`
	Basic    string `json:"basic"`    // accepted, refused or unknown
	Redirect string `json:"redirect"` // none, other-host, same-host-other-port, subdomain or unknown
	// Realm is the token server that the registry named to a request with the login, as
	// scheme://host (see realm.Parse), "" for none.
	Realm string `json:"realm,omitempty"`
	// To is the host:port that blobs come from if it is the registry's own host name, else "".
	To string `json:"to,omitempty"`
	// WrongLogin: the registry refuses this username or password.
	WrongLogin bool      `json:"wrongLogin,omitempty"`
	Time       time.Time `json:"time"` // of the last attempt
	// Error says why the last attempt could not answer everything, for example a wrong password;
	// else "".
	Error string `json:"error,omitempty"`
}

// Leaks reports whether containerd would carry the Authorization header to another host or port
// than the one that it was written for.
func (f Fact) Leaks() bool { return f.Redirect == OtherPort || f.Redirect == Subdomain }

// complete reports whether the last attempt answered everything. Facts of an earlier version about
// a registry that accepts only tokens lack the realm.
func (f Fact) complete() bool { return f.Error == "" && (f.Basic != Refused || f.Realm != "") }

// FactURL is the name of an endpoint in facts: its scheme, host and API path.
func FactURL(u hostsconf.URL) string { return u.Scheme + "://" + u.Host + u.APIPath() }

// ParseFact finds the fact about u in facts that were saved.
func ParseFact(facts []Fact, u hostsconf.URL) (Fact, bool) {
	name := FactURL(u)
	for _, f := range facts {
		if f.URL == name {
			return f, true
		}
	}
	return Fact{}, false
}

// Learned returns all facts, sorted by URL, for the caller to save.
func (p *Prober) Learned() []Fact {
	p.mu.Lock()
	defer p.mu.Unlock()
	facts := make([]Fact, 0, len(p.facts))
	for _, name := range slices.Sorted(maps.Keys(p.facts)) {
		facts = append(facts, p.facts[name])
	}
	return facts
}

// RestoreFacts adds saved facts, but for those about which the Prober has a newer one. A value that
// this version does not know becomes Unknown.
func (p *Prober) RestoreFacts(facts []Fact) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, f := range facts {
		if f.URL == "" || p.facts[f.URL].Time.After(f.Time) {
			continue
		}
		if !slices.Contains([]string{Accepted, Refused}, f.Basic) {
			f.Basic = Unknown
		}
		if !slices.Contains([]string{NoRedirect, OtherHost, OtherPort, Subdomain}, f.Redirect) {
			f.Redirect, f.To = Unknown, ""
		}
		if server, err := realm.Parse(f.Realm); err != nil || server != f.Realm {
			f.Realm = ""
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
		watched[FactURL(e.URL)] = true
	}
	maps.DeleteFunc(p.schedules, func(name string, _ schedule) bool { return !watched[name] })
	maps.DeleteFunc(p.facts, func(name string, f Fact) bool {
		return !watched[name] && now.Sub(f.Time) > keepFacts
	})
}
