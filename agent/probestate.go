package agent

import (
	"crypto/rand"
	"time"

	"github.com/berth-registry/berth/agent/health"
	"github.com/berth-registry/berth/hostsconf"
)

// probeState is [Health] as it was at one moment.
type probeState struct {
	Endpoints map[string]endpointState `json:"endpoints"` // by address
}

// endpointState is what was seen of one endpoint.
type endpointState struct {
	Up    bool      `json:"up"`
	Since time.Time `json:"since,omitzero"`
	// Last is when one that is down was last asked, to the minute.
	Last time.Time `json:"last,omitzero"`
}

// Alive implements [Health].
func (s probeState) Alive(u hostsconf.URL) (alive, known bool) {
	e, known := s.Endpoints[u.String()]
	return e.Up, known
}

// learned is what was found out about registries with a login.
type learned struct {
	// Key makes the hashes of logins in Facts worthless elsewhere.
	Key   []byte        `json:"key,omitempty"`
	Facts []health.Fact `json:"facts"`
}

// withKey gives l a key if it has none.
func (l learned) withKey() learned {
	if len(l.Key) == 0 {
		l.Key = make([]byte, 32)
		_, _ = rand.Read(l.Key) // never fails
	}
	return l
}
