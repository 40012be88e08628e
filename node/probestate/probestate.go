// Package probestate holds what the agent's prober has learned about endpoints, in the form in
// which the state directory keeps it: health.json ([SavedHealth]) and learned.json
// ([SavedLogins]). The agent writes the files; the commands read them, so that a plan agrees
// with a running agent.
//
// It only holds types: it reads and writes no file, and no type holds a secret but the key of
// [SavedLogins]. Start at [Fact].
package probestate

import (
	"crypto/rand"
	"time"

	"github.com/berth-registry/berth/hostsconf"
)

// SavedHealth is whether endpoints answered, at one moment.
type SavedHealth struct {
	Endpoints map[string]Endpoint `json:"endpoints"` // by URL
}

// Endpoint is the state of one endpoint.
type Endpoint struct {
	Up    bool      `json:"up"`
	Since time.Time `json:"since,omitzero"`
	// Last is when an endpoint that is down was last probed, to the minute.
	Last time.Time `json:"last,omitzero"`
}

// Alive reports whether an endpoint answers, and whether that is known.
func (s SavedHealth) Alive(u hostsconf.URL) (alive, known bool) {
	e, known := s.Endpoints[u.String()]
	return e.Up, known
}

// SavedLogins is what was learned about registries with a login.
type SavedLogins struct {
	// Key makes the hashes of logins in Facts useless elsewhere.
	Key   []byte `json:"key,omitempty"`
	Facts []Fact `json:"facts"`
}

// WithKey returns l with a key, a new one if it has none.
func (l SavedLogins) WithKey() SavedLogins {
	if len(l.Key) == 0 {
		l.Key = make([]byte, 32)
		_, _ = rand.Read(l.Key) // never fails
	}
	return l
}
