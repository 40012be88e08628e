// Package probestate holds what the agent's prober has learned about endpoints,
// in the form in which the state directory keeps it: health.json
// ([SavedHealth]) and learned.json ([SavedLogins]). The agent writes them; the
// commands read them, so that plan agrees with a running agent.
package probestate

import (
	"crypto/rand"
	"time"

	"github.com/berth-registry/berth/hostsconf"
)

// SavedHealth is [Health] as it was at one moment.
type SavedHealth struct {
	Endpoints map[string]Endpoint `json:"endpoints"` // by address
}

// Endpoint is what was seen of one endpoint.
type Endpoint struct {
	Up    bool      `json:"up"`
	Since time.Time `json:"since,omitzero"`
	// Last is when one that is down was last asked, to the minute.
	Last time.Time `json:"last,omitzero"`
}

// Alive implements [Health].
func (s SavedHealth) Alive(u hostsconf.URL) (alive, known bool) {
	e, known := s.Endpoints[u.String()]
	return e.Up, known
}

// SavedLogins is what was found out about registries with a login.
type SavedLogins struct {
	// Key makes the hashes of logins in Facts worthless elsewhere.
	Key   []byte `json:"key,omitempty"`
	Facts []Fact `json:"facts"`
}

// WithKey gives l a key if it has none.
func (l SavedLogins) WithKey() SavedLogins {
	if len(l.Key) == 0 {
		l.Key = make([]byte, 32)
		_, _ = rand.Read(l.Key) // never fails
	}
	return l
}
