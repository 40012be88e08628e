package probestate

import (
	"slices"
	"time"

	"github.com/berth-registry/berth/hostsconf"
	"github.com/berth-registry/berth/internal/realm"
)

// The values of [Fact.Basic] and [Fact.Redirect].
const (
	Unknown = "unknown"

	// Accepted: the registry answers a request with Basic as logged in.
	Accepted = "accepted"
	// Refused: the registry accepts only Bearer tokens. Basic in a header is ignored,
	// unless containerd sends it to the token server.
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

// Fact is what was learned about one endpoint with a login. It holds no secret and may be
// shown. It stays valid until something else is learned, after a new password too, because it
// depends on the registry alone.
type Fact struct {
	URL string `json:"url"` // as [FactURL] gives it
	// Login tells one login from another, so that a new one is probed. It is an
	// HMAC of the header under a key that stays on the node ([SavedLogins.Key]):
	// with a plain or salted hash the password could be guessed.
	Login    string `json:"login"`
	Basic    string `json:"basic"`    // accepted, refused or unknown
	Redirect string `json:"redirect"` // none, other-host, same-host-other-port, subdomain or unknown
	// Realm is the token server that the registry named in its answer to a request with the
	// login: scheme://host as realm.Parse returns it, "" for none.
	Realm string `json:"realm,omitempty"`
	// RootRealm is the token server that the API root names to a request without a login. The
	// health probe sees it, so a change is noticed within a probe interval.
	RootRealm string `json:"rootRealm,omitempty"`
	// NotedRealm is the token server that was allowed last. Another one gets no login before an
	// operator lists it, unless realm.Replaces allows it.
	NotedRealm string `json:"notedRealm,omitempty"`
	// To is the host:port that blobs come from if it has the registry's own name, else "".
	To string `json:"to,omitempty"`
	// WrongLogin is true if the registry refuses the login itself.
	WrongLogin bool      `json:"wrongLogin,omitempty"`
	Time       time.Time `json:"time"` // of the last probe
	// Error is why the last probe did not answer everything, such as a wrong password.
	Error string `json:"error,omitempty"`
}

// Leaks reports whether containerd would send the Authorization header to another place than
// the one it was written for.
func (f Fact) Leaks() bool { return f.Redirect == OtherPort || f.Redirect == Subdomain }

// Complete reports whether the last probe answered everything. A fact of an earlier version
// about a registry that accepts only tokens lacks the token server.
func (f Fact) Complete() bool { return f.Error == "" && (f.Basic != Refused || f.Realm != "") }

// Realms returns the token servers that the registry names to clients with this login. If Basic is
// accepted, the one of the API root is not asked.
func (f Fact) Realms() []string {
	servers := []string{f.Realm}
	if f.Basic == Refused && f.RootRealm != f.Realm {
		servers = append(servers, f.RootRealm)
	}
	return slices.DeleteFunc(servers, func(s string) bool { return s == "" })
}

// Note returns f with the token server noted, if the registry at u may use it. listed are the hosts
// of token servers that the config allows.
func (f Fact) Note(u hostsconf.URL, listed []string) Fact {
	if f.Realm == "" || realm.Check(u.Scheme, u.Host, f.Realm, listed) != nil {
		return f
	}
	if f.NotedRealm == "" || realm.Replaces(u.Scheme, u.Host, f.Realm, listed) {
		f.NotedRealm = f.Realm
	}
	return f
}

// FactURL is the name of an endpoint in facts: scheme, host and the path of its API.
func FactURL(u hostsconf.URL) string { return u.Scheme + "://" + u.Host + u.APIPath() }

// ParseFact finds the fact about an endpoint.
func ParseFact(facts []Fact, u hostsconf.URL) (Fact, bool) {
	name := FactURL(u)
	for _, f := range facts {
		if f.URL == name {
			return f, true
		}
	}
	return Fact{}, false
}
