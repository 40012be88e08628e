package health

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/berth-registry/berth/credprovider/ecr"
)

// Status is what is known of one registry. It holds no secret.
type Status struct {
	Target string   `json:"target"` // what is probed: https://h/v2/
	URLs   []string `json:"urls"`   // of the endpoints on it, sorted
	Up     bool     `json:"up"`     // true as long as Known is not
	Known  bool     `json:"known"`
	// Since is when Up became what it is; zero while it is not known.
	Since time.Time `json:"since,omitzero"`
	// LastProbe is when the last probe began, zero before the first one. What
	// follows is about it.
	LastProbe  time.Time     `json:"lastProbe,omitzero"`
	Duration   time.Duration `json:"duration"` // in nanoseconds
	HTTPStatus int           `json:"httpStatus,omitempty"`
	Reason     Reason        `json:"reason,omitempty"` // "" when it succeeded
	LastError  string        `json:"lastError,omitempty"`
	// Failures and Successes in a row; one of them is 0.
	Failures  int `json:"failures"`
	Successes int `json:"successes"`
	// Totals, since the registry is watched.
	Probes uint64            `json:"probes"`
	Spent  time.Duration     `json:"spent"` // by all probes, in nanoseconds
	Failed map[Reason]uint64 `json:"failed"`
	// RequestsPerHour is what the settings make this node send to it: probes,
	// and at most so many to learn.
	RequestsPerHour float64 `json:"requestsPerHour"`
}

// Status tells about every registry that is watched, sorted by target.
func (p *Prober) Status() []Status {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := make([]Status, 0, len(p.targets))
	for _, t := range p.targets {
		s := Status{
			Target: t.key.String(), Up: t.health.up, Known: t.health.known, Since: t.health.since,
			LastProbe: t.start, Duration: t.last.took, HTTPStatus: t.last.status, Reason: t.last.reason, LastError: t.last.err,
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

// cost is how many requests an hour t gets. The lock is held.
func (p *Prober) cost(t *target) float64 {
	if !p.settings.active() {
		return 0
	}
	cost := perHour(p.settings.Interval)
	for _, e := range t.schedulesOf() {
		requests := redirectRequests
		if !isECR(e.URL.Host) {
			requests += basicRequests
		}
		cost += float64(requests) / relearn.Hours()
	}
	return cost
}

// isECR reports whether a registry takes Basic by its name. ECR Public is left
// out: it is asked.
func isECR(host string) bool {
	r, ok := ecr.ParseHost(host)
	return ok && !r.Public
}
