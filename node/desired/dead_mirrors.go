package desired

import (
	"slices"

	"github.com/berth-registry/berth/hostsconf"
)

// Health tells whether a registry answers, and whether that is known. The agent's prober
// implements it.
type Health interface {
	Alive(u hostsconf.URL) (alive, known bool)
}

// withoutDown leaves out the endpoints that are down, if something else is known to answer:
// another endpoint or the upstream (nil if it may not be asked). If nothing answers, all
// endpoints stay, so that the first one that returns is used.
func (in Inputs) withoutDown(endpoints []hostsconf.Host, upstream *hostsconf.Host) []hostsconf.Host {
	var up []hostsconf.Host
	for _, h := range endpoints {
		if !in.down(h) {
			up = append(up, h)
		}
	}
	// Right after its start the agent may know only endpoints that are down; that is not enough.
	if len(up) == len(endpoints) || slices.ContainsFunc(up, in.up) || upstream != nil && in.up(*upstream) {
		return up
	}
	return endpoints
}

// healthPending reports whether an endpoint that is down stays only because it is not known yet
// whether another one answers.
func (in Inputs) healthPending(endpoints []hostsconf.Host, upstream *hostsconf.Host) bool {
	all := endpoints
	if upstream != nil {
		all = append(slices.Clone(all), *upstream)
	}
	unknown := func(h hostsconf.Host) bool { return !in.down(h) && !in.up(h) }
	return slices.ContainsFunc(endpoints, in.down) && !slices.ContainsFunc(all, in.up) && slices.ContainsFunc(all, unknown)
}

// down reports whether h is known not to answer.
func (in Inputs) down(h hostsconf.Host) bool {
	if in.Health == nil {
		return false
	}
	alive, known := in.Health.Alive(h.URL)
	return known && !alive
}

// up reports whether h is known to answer.
func (in Inputs) up(h hostsconf.Host) bool {
	if in.Health == nil {
		return false
	}
	alive, known := in.Health.Alive(h.URL)
	return known && alive
}
