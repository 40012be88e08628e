package health

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/berth-registry/berth/credprovider/ecr"
	"github.com/berth-registry/berth/node/probestate"
)

// Status is the state of one registry. It holds no secret.
type Status struct {
	Target string   `json:"target"` // the address probed: https://h/v2/
	URLs   []string `json:"urls"`   // of its endpoints, sorted
	Up     bool     `json:"up"`     // also true while Known is false
	Known  bool     `json:"known"`
	// Since is when Up last changed; zero while Known is false.
	Since time.Time `json:"since,omitzero"`
	// LastProbe is when the last probe began, zero before the first. The next fields are about it.
	LastProbe  time.Time     `json:"lastProbe,omitzero"`
	Duration   time.Duration `json:"duration"` // in nanoseconds
	HTTPStatus int           `json:"httpStatus,omitempty"`
	Reason     Reason        `json:"reason,omitempty"` // "" if it succeeded
	LastError  string        `json:"lastError,omitempty"`
	// Failures and Successes in a row; one of them is 0.
	Failures  int `json:"failures"`
	Successes int `json:"successes"`
	// Totals since the registry is watched.
	Probes uint64            `json:"probes"`
	Spent  time.Duration     `json:"spent"` // on all probes, in nanoseconds
	Failed map[Reason]uint64 `json:"failed"`
	// RequestsPerHour is what this node sends to the registry by its settings: the probes, and at
	// most this many requests to learn.
	RequestsPerHour float64 `json:"requestsPerHour"`
}

// Status returns the state of each watched registry, sorted by target.
func (p *Prober) Status() []Status {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := make([]Status, 0, len(p.targets))
	for _, t := range p.targets {
		s := Status{
			Target: t.key.String(), Up: t.health.up, Known: t.health.known, Since: t.health.since,
			LastProbe: t.start, Duration: t.last.took, HTTPStatus: t.last.status,
			Reason: t.last.reason, LastError: t.last.err,
			Failures: t.health.failures, Successes: t.health.successes,
			Probes: t.probes, Spent: t.spent, Failed: maps.Clone(t.failed),
			RequestsPerHour: p.cost(t),
		}
		for _, e := range t.endpoints {
			s.URLs = append(s.URLs, e.URL.String())
		}
		slices.Sort(s.URLs)
		s.URLs = slices.Compact(s.URLs)
		all = append(all, s)
	}
	slices.SortFunc(all, func(a, b Status) int {
		return cmp.Or(cmp.Compare(a.Target, b.Target), slices.Compare(a.URLs, b.URLs))
	})
	return all
}

// cost is how many requests an hour t gets. The caller holds the lock.
func (p *Prober) cost(t *target) float64 {
	if !p.settings.active() {
		return 0
	}
	cost := perHour(p.settings.Interval)
	for _, e := range t.loginEndpoints() {
		requests, every := redirectRequests, learnInterval
		switch {
		case isECR(e.URL.Host):
		case p.facts[probestate.FactURL(e.URL)].Basic == probestate.Refused:
			requests, every = basicRequests, tokenInterval
		default:
			requests += basicRequests
		}
		cost += float64(requests) / every.Hours()
	}
	return cost
}

// isECR reports whether the name alone says that the registry accepts Basic. ECR Public is not one:
// it is asked.
func isECR(host string) bool {
	r, ok := ecr.ParseHost(host)
	return ok && !r.Public
}
