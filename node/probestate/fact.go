package probestate

import (
	"time"

	"github.com/berth-registry/berth/hostsconf"
)

// The values of [Fact.Basic] and [Fact.Redirect].
const (
	Unknown = "unknown"

	// Accepted: a request with Basic is answered as one that is logged in.
	Accepted = "accepted"
	// Refused: only Bearer tokens are taken. Basic in a header is of no use,
	// unless containerd sends it to the token server.
	Refused = "refused"

	// NoRedirect: the registry serves blobs itself.
	NoRedirect = "none"
	// OtherHost: blobs come from a host to which Go does not carry the header.
	OtherHost = "other-host"
	// OtherPort: blobs come from the same host name on another port or with
	// another scheme. Go carries the header there.
	OtherPort = "same-host-other-port"
	// Subdomain: blobs come from a subdomain. Go carries the header there.
	Subdomain = "subdomain"
)

// Fact is what was learned about one endpoint with a login. It holds no secret
// and may be shown. What was learned holds until something else is learned:
// after a new password, too, for both answers depend on the registry.
type Fact struct {
	URL string `json:"url"` // as [FactURL] gives it
	// Login tells one login from another, so that a new one is tried. It is an
	// HMAC of the header under a key that stays on the node (Options.LoginKey):
	// a plain or salted hash would let who sees this guess the password.
	Login    string `json:"login"`
	Basic    string `json:"basic"`    // accepted, refused or unknown
	Redirect string `json:"redirect"` // none, other-host, same-host-other-port, subdomain or unknown
	// Realm is the token server that the registry named to a request with the
	// login: scheme://host as realm.Parse has it, "" for none.
	Realm string `json:"realm,omitempty"`
	// To is the host:port that blobs come from when it is the registry's own
	// name, else "".
	To string `json:"to,omitempty"`
	// WrongLogin says that the registry refuses the login itself.
	WrongLogin bool      `json:"wrongLogin,omitempty"`
	Time       time.Time `json:"time"` // of the last attempt to learn
	// Error is why the last attempt did not bring an answer to everything,
	// such as a wrong password.
	Error string `json:"error,omitempty"`
}

// Leaks reports whether containerd would carry the Authorization header to
// another place than the one it was written for.
func (f Fact) Leaks() bool { return f.Redirect == OtherPort || f.Redirect == Subdomain }

// Complete reports whether the last attempt answered everything. What an earlier
// version learned of a registry that takes tokens only lacks the token server.
func (f Fact) Complete() bool { return f.Error == "" && (f.Basic != Refused || f.Realm != "") }

// FactURL is how facts name an endpoint: scheme, host and the path below which
// its requests go.
func FactURL(u hostsconf.URL) string { return u.Scheme + "://" + u.Host + u.APIPath() }

// ParseFact finds in facts, as they were kept, what is known of an endpoint.
func ParseFact(facts []Fact, u hostsconf.URL) (Fact, bool) {
	name := FactURL(u)
	for _, f := range facts {
		if f.URL == name {
			return f, true
		}
	}
	return Fact{}, false
}
