package desired

import (
	"github.com/berth-registry/berth/credprovider"
	"github.com/berth-registry/berth/hostsconf"
	"github.com/berth-registry/berth/internal/redact"
	"github.com/berth-registry/berth/node/probestate"
)

// Inputs are what the desired state depends on besides the config. The zero value is a node
// about which nothing is known.
type Inputs struct {
	// CertsDir is the directory that the state is for, "" for the one in containerd.certsDir.
	CertsDir string
	// Headers are those of ECR registries; their logins are not in the config.
	Headers Headers
	// HelperLogins are the usable answers of credential helpers, by the login's name. A missing one
	// has no header.
	HelperLogins credprovider.HelperLogins
	// Health knows which endpoints answer; nil leaves all of them in.
	Health Health
	// Foreign are the certificates in certs.d that Berth did not write.
	Foreign hostsconf.Foreign
	// Readers are the programs that read the directory.
	Readers Readers
	// Learned is how registries answered to a login, as far as they were probed.
	Learned []probestate.Fact
	// LoginPending reports whether the first probe of the login for an address has not ended; its
	// header waits for that. nil if none is.
	LoginPending func(hostsconf.URL) bool
}

// Target is a registry that the prober asks.
type Target struct {
	Upstream    string         // "" for a registry that is pulled from directly
	Host        hostsconf.Host // as configured
	ProbeHeader redact.Secret  // the header to probe, zero for none
	Channel     Channel        // of the login; zero without one
	// TokenRealms are the hosts of token servers that the config lists for it.
	TokenRealms []string
	Server      bool // the upstream itself, after its mirrors
}

// target is the registry at an endpoint or an upstream of the config.
func (d *State) target(upstream string, h hostsconf.Host, a access) Target {
	return Target{Upstream: upstream, Host: h, ProbeHeader: a.probeHeader, Channel: a.channel, TokenRealms: tokenRealms(d.registries, h.URL)}
}

// Headers are the Authorization headers of ECR registries, by host[:port] as in the config.
type Headers map[string]redact.Secret
