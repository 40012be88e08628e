package desired

import (
	"slices"

	"github.com/berth-registry/berth/config"
	"github.com/berth-registry/berth/hostsconf"
	"github.com/berth-registry/berth/internal/redact"
	"github.com/berth-registry/berth/node/probestate"
)

// Inputs are what the desired state depends on besides the config. The zero value is a node
// about which nothing is known.
type Inputs struct {
	// Headers are those of ECR registries; their logins are not in the config.
	Headers Headers
	// Health knows which endpoints answer; nil leaves all of them in.
	Health Health
	// Foreign are the certificates in certs.d that Berth did not write.
	Foreign hostsconf.Foreign
	// Readers are the programs that read the hosts.toml files.
	Readers Readers
	// Learned is how registries answered to a login, as far as they were probed.
	Learned []probestate.Fact
}

// Health tells whether a registry answers, and whether that is known.
type Health interface {
	Alive(u hostsconf.URL) (alive, known bool)
}

// channel decides how a login for u travels, see [channelOf].
func (in Inputs) channel(u hostsconf.URL, auth config.Auth) Channel {
	fact, _ := probestate.ParseFact(in.Learned, u)
	return channelOf(u, auth, in.Readers, fact)
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

// Target is a registry that the prober asks.
type Target struct {
	Upstream string         // "" for a registry that is pulled from directly
	Host     hostsconf.Host // as configured
	Try      redact.Secret  // the header to probe, zero for none
	Channel  Channel        // of the login; zero without one
	Server   bool           // the upstream itself, after its mirrors
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

// Headers are the Authorization headers of ECR registries, by host[:port] as in the config.
type Headers map[string]redact.Secret
