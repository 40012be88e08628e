package desired

import (
	"slices"

	"github.com/berth-registry/berth/config"
	"github.com/berth-registry/berth/hostsconf"
	"github.com/berth-registry/berth/internal/redact"
	"github.com/berth-registry/berth/node/probestate"
)

// Inputs are what the desired state depends on beside the config. The zero
// value is a node about which nothing is known.
type Inputs struct {
	// Headers are those of ECR registries, for which there is no login in the
	// config.
	Headers Headers
	// Health tells which endpoints answer; nil leaves all of them in.
	Health Health
	// Foreign are the certificates in certs.d that are not ours.
	Foreign hostsconf.Foreign
	// Readers are what reads hosts.toml files there.
	Readers Readers
	// Learned is what registries do with a login, as far as it was seen.
	Learned []probestate.Fact
}

// Health tells whether a registry answers, and whether that is known at all.
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

// Target is a registry that the prober looks at.
type Target struct {
	Upstream string         // "" for a registry that is pulled from directly and is nobody's mirror
	Host     hostsconf.Host // as configured
	Try      redact.Secret  // the header to try out, zero for none
	Channel  Channel        // of the login; zero without one
	Server   bool           // the upstream itself, behind its mirrors
}

// answering leaves out the endpoints that do not answer, if something is left
// that does: another endpoint or the upstream, where it may be asked (it is nil
// otherwise). If nothing answers all stay: whatever is asked fails, until the
// first one is back.
func (in Inputs) answering(endpoints []hostsconf.Host, upstream *hostsconf.Host) []hostsconf.Host {
	var up []hostsconf.Host
	for _, h := range endpoints {
		if !in.down(h) {
			up = append(up, h)
		}
	}
	// Just started, the agent may know only who is dead; that is not enough.
	if len(up) == len(endpoints) || slices.ContainsFunc(up, in.up) || upstream != nil && in.up(*upstream) {
		return up
	}
	return endpoints
}

// unsure reports whether an endpoint that does not answer stays only because
// nobody knows yet whether anything else does.
func (in Inputs) unsure(endpoints []hostsconf.Host, upstream *hostsconf.Host) bool {
	all := endpoints
	if upstream != nil {
		all = append(slices.Clone(all), *upstream)
	}
	unknown := func(h hostsconf.Host) bool { return !in.down(h) && !in.up(h) }
	return slices.ContainsFunc(endpoints, in.down) && !slices.ContainsFunc(all, in.up) && slices.ContainsFunc(all, unknown)
}

// Headers are the Authorization headers of ECR registries, by host[:port] as
// the config names it.
type Headers map[string]redact.Secret
