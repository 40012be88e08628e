package probestate

import (
	"time"

	"github.com/berth-registry/berth/hostsconf"
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

// Complete reports whether the last attempt answered everything. Facts of an earlier version about
// a registry that accepts only tokens lack the realm.
func (f Fact) Complete() bool { return f.Error == "" && (f.Basic != Refused || f.Realm != "") }

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
