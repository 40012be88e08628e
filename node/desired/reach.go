package desired

import (
	"github.com/berth-registry/berth/config"
	"github.com/berth-registry/berth/credprovider"
	"github.com/berth-registry/berth/hostsconf"
	"github.com/berth-registry/berth/internal/hostport"
	"github.com/berth-registry/berth/internal/redact"
)

// upstreamHost returns a registry as containerd asks it when images name it, and its login.
func (d *State) upstreamHost(name string) (hostsconf.Host, access) {
	plain := hostport.IsLoopback(name)
	if reach, ok := d.reach(name, "", "https"); ok {
		plain = reach.PlainHTTP
	}
	host := hostsconf.Host{URL: hostsconf.UpstreamURL(name, plain)}
	a := d.setTLSAndLogin(&host, name, name)
	return host, a
}

// setTLSAndLogin sets a host's TLS settings and its login. name is the host's name in the config,
// subject the one that a notice is about.
func (d *State) setTLSAndLogin(h *hostsconf.Host, name, subject string) access {
	path := h.URL.RepositoryPath()
	reach, _ := d.reach(name, path, h.URL.Scheme)
	if h.URL.Scheme == "https" {
		h.TLS = hostsconf.TLS{
			CA: reach.TLS.CA, Cert: reach.TLS.Cert, Key: reach.TLS.Key, SkipVerify: reach.TLS.InsecureSkipVerify,
		}
	}
	a := d.authorization(h.URL, name, path, subject, reach.AllowPlainHTTPCredentials)
	h.Authorization = a.header
	return a
}

// reach returns the settings for reaching a host: of the entries whose path contains path, the
// longest that sets TLS or plain http, or else the longest.
func (d *State) reach(name, path, scheme string) (config.Registry, bool) {
	var entries []config.Registry
	for _, spelling := range credprovider.Spellings(name, scheme) {
		entries = append(entries, d.registries[spelling]...)
	}
	var best config.Registry
	rank := -1
	for _, r := range entries {
		_, entryPath := credprovider.SplitHost(r.Host)
		if !credprovider.Within(path, entryPath) {
			continue
		}
		weight := len(entryPath)
		if r.SaysHowToReach() {
			weight += maxPath
		}
		if weight > rank {
			best, rank = r, weight
		}
	}
	return best, rank >= 0
}

// maxPath is longer than any path of a registry.
const maxPath = 1 << 20

// hasSettings reports whether h has a setting that containerd needs a hosts.toml for.
func hasSettings(h hostsconf.Host) bool {
	return hostport.Exposed(h.URL.Scheme, h.URL.Host) || h.TLS.CA != nil || h.TLS.Cert != nil || h.TLS.SkipVerify
}

// reachedByDefault reports whether a loopback registry has no setting of its own. A server line
// would turn off what containerd does with it by default: https without verification on port
// 443, http on port 80, and on any other port https, then http.
func (d *State) reachedByDefault(name string, server hostsconf.Host, probeHeader redact.Secret) bool {
	return hostport.IsLoopback(name) && server.Authorization.IsZero() && probeHeader.IsZero() && !hasSettings(server) && !d.setsPlainHTTP(name)
}

// setsPlainHTTP reports whether the config sets plainHTTP for a registry that images name.
func (d *State) setsPlainHTTP(name string) bool {
	reach, ok := d.reach(name, "", "https")
	return ok && reach.PlainHTTPGiven
}
