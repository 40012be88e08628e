package desired

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/berth-registry/berth/config"
	"github.com/berth-registry/berth/credprovider"
	"github.com/berth-registry/berth/credprovider/ecr"
	"github.com/berth-registry/berth/hostsconf"
	"github.com/berth-registry/berth/internal/hostport"
	"github.com/berth-registry/berth/internal/redact"
)

// Notice is something that an operator should know about the files that are written.
type Notice struct {
	// Subject is the upstream or host that it is about.
	Subject string
	Message string
}

// String returns one line.
func (n Notice) String() string { return n.Subject + ": " + n.Message }

// Directories returns the content of every directory of certs.d, ordered: mirrors as in the
// config, then the registries that are pulled from directly, by name.
func Directories(cfg *config.Config, in Inputs) ([]hostsconf.Directory, []Notice) {
	d := Compute(cfg, in)
	return d.Directories, d.Notices
}

// Compute returns what a node with this config should hold.
func Compute(cfg *config.Config, in Inputs) *State {
	d := &State{
		certsDir:        cfg.Containerd.CertsDir,
		registries:      make(map[string][]config.Registry, len(cfg.Registries)),
		logins:          credprovider.NewLogins(cfg.Logins()),
		ecrNames:        cfg.ECRNames(),
		in:              in,
		authBasic:       map[string]bool{},
		hasDirectory:    map[string]bool{},
		ecrHosts:        map[string]bool{},
		Withdrawn:       map[string][]hostsconf.Host{},
		HeaderUncertain: map[hostsconf.URL]bool{},
	}
	for _, r := range cfg.Registries {
		host, _ := credprovider.SplitHost(r.Host)
		d.registries[host] = append(d.registries[host], r)
		d.authBasic[r.Host] = r.Auth == config.AuthBasic
	}
	for _, m := range cfg.AllMirrors() {
		d.addMirror(m)
	}
	d.addDirectHosts(directHosts(cfg, d.hasDirectory[hostsconf.Default]))
	return d
}

// directHosts lists the hosts that the config names and that images may be pulled from directly,
// sorted: the registries with a login or settings of their own and, if there is a mirror for
// everything, the hosts of the endpoints too, because that mirror must not capture pulls from
// them.
func directHosts(cfg *config.Config, catchAll bool) []string {
	var hosts []string
	for _, r := range cfg.Registries {
		host, _ := credprovider.SplitHost(r.Host)
		hosts = append(hosts, host)
	}
	for _, l := range cfg.DockerConfig {
		host, _ := credprovider.SplitHost(l.Host)
		hosts = append(hosts, host)
	}
	for _, r := range cfg.ECR.Registries {
		hosts = append(hosts, r.Host)
	}
	if catchAll {
		for _, m := range cfg.AllMirrors() {
			for _, e := range m.Endpoints {
				if u, err := hostsconf.ParseURL(e.URL, e.OverridePath); err == nil {
					hosts = append(hosts, u.Host)
				}
			}
		}
	}
	// Names that images cannot have, such as registry-1.docker.io, are left out.
	hosts = slices.DeleteFunc(hosts, func(h string) bool { _, err := hostsconf.ParseUpstream(h); return err != nil })
	slices.Sort(hosts)
	return slices.Compact(hosts)
}

// State is what a node should hold.
type State struct {
	certsDir     string
	registries   map[string][]config.Registry // by host
	logins       credprovider.Logins
	ecrNames     ecr.Names
	in           Inputs
	authBasic    map[string]bool // logins with auth: basic, by name
	hasDirectory map[string]bool // upstreams that have a directory
	Directories  []hostsconf.Directory
	Notices      []Notice
	// ECRRegistries are the ECR registries that need a header; ecrHosts are their names.
	ECRRegistries []ecr.Registry
	ecrHosts      map[string]bool
	// Targets are the registries that the prober asks.
	Targets []Target
	// Withdrawn are the endpoints that are left out because they do not answer, by upstream.
	Withdrawn map[string][]hostsconf.Host
	// HeaderUncertain are the hosts with a header that some reader of the file may not log in with.
	HeaderUncertain map[hostsconf.URL]bool
	// unprobed are the hosts with a header whose login was not probed yet.
	unprobed []string
	// HealthPending is true if more endpoints may be withdrawn soon, see [Inputs.healthPending].
	HealthPending bool
}

func (d *State) notice(subject, format string, args ...any) {
	d.Notices = append(d.Notices, Notice{Subject: subject, Message: fmt.Sprintf(format, args...)})
}

func (d *State) addMirror(m config.Mirror) {
	dir := hostsconf.Directory{Upstream: m.Upstream}
	for _, e := range m.Endpoints {
		u, err := hostsconf.ParseURL(e.URL, e.OverridePath)
		if err != nil {
			// The check of the config excludes this.
			d.notice(m.Upstream, "endpoint %q is left out: %v", e.URL, err)
			continue
		}
		host := hostsconf.Host{
			URL: u, Capabilities: e.Capabilities, DialTimeout: time.Duration(e.DialTimeout), Header: e.Headers,
		}
		a := d.setTLSAndLogin(&host, u.Host, m.Upstream)
		dir.Hosts = append(dir.Hosts, host)
		d.Targets = append(d.Targets, Target{Upstream: m.Upstream, Host: host, Try: a.try, Channel: a.channel})
	}
	var upstream *hostsconf.Host // the fallback, nil if there is none or each registry is its own
	byDefault := false           // containerd's own defaults reach it
	if m.UpstreamFallback && m.Upstream != hostsconf.Default {
		server, a := d.upstreamHost(m.Upstream)
		if !a.try.IsZero() || slices.ContainsFunc(dir.Hosts, d.in.down) {
			d.Targets = append(d.Targets, Target{Upstream: m.Upstream, Host: server, Try: a.try, Channel: a.channel, Server: true})
		}
		upstream, byDefault = &server, d.reachedByDefault(m.Upstream, server, a.try)
	}
	all := dir.Hosts
	dir.Hosts = d.in.withoutDown(all, upstream)
	d.HealthPending = d.HealthPending || d.in.healthPending(all, upstream)
	for _, h := range all {
		if !slices.ContainsFunc(dir.Hosts, func(o hostsconf.Host) bool { return o.URL == h.URL }) {
			d.Withdrawn[m.Upstream] = append(d.Withdrawn[m.Upstream], h)
		}
	}
	last := len(dir.Hosts) - 1
	for i, h := range dir.Hosts {
		if strings.HasPrefix(h.URL.Host, "[") && (i < last || m.UpstreamFallback) {
			d.notice(m.Upstream, "containerd 1.6 and 1.7 ignore a hosts.toml that lists an IPv6 address such as %s, and pull from "+
				"the upstream; use a DNS name for the mirror, or make it the last endpoint with upstreamFallback: false", h.URL)
		}
	}
	switch {
	case !m.UpstreamFallback:
		// containerd always asks the server last: the last endpoint takes the server's
		// place, so that no other host is asked.
		dir.Server, dir.Hosts = &dir.Hosts[last], dir.Hosts[:last]
	case m.Upstream == hostsconf.Default:
		// Without a server line each upstream is its own fallback.
	case last >= 0 && dir.Hosts[last].URL == upstream.URL:
		// The last endpoint is the upstream itself: it becomes the server, with the
		// settings of the endpoint.
		dir.Server, dir.Hosts = &dir.Hosts[last], dir.Hosts[:last]
	case byDefault:
	default:
		if len(dir.Hosts) == 0 {
			upstream.Capabilities = []string{"pull", "resolve"}
		}
		dir.Server = upstream
	}
	if m.Upstream == hostsconf.Default {
		d.notice(m.Upstream, "a plain registry cannot distinguish quay.io/a/b from ghcr.io/a/b; use a pull-through cache that reads ?ns=")
	}
	d.addDirectory(dir)
}

// addDirectHosts adds a directory for each host that needs one: for a header, for settings such as
// a CA, or to keep a mirror for everything away from it.
func (d *State) addDirectHosts(hosts []string) {
	catchAll := d.hasDirectory[hostsconf.Default]
	for _, host := range hosts {
		if d.hasDirectory[host] {
			continue
		}
		server, a := d.upstreamHost(host)
		if !a.try.IsZero() {
			d.Targets = append(d.Targets, Target{Host: server, Try: a.try, Channel: a.channel})
		}
		dir := hostsconf.Directory{Upstream: host}
		switch {
		case !server.Authorization.IsZero(), hasSettings(server), hostport.IsLoopback(host) && d.setsPlainHTTP(host):
			server.Capabilities = []string{"pull", "resolve"}
			dir.Server = &server
		case !catchAll:
			continue
		case hostport.IsLoopback(host) && !d.reachedByDefault(host, server, a.try):
			dir.Server = &server
		}
		d.addDirectory(dir)
	}
}

// hasSettings reports whether h has a setting that containerd needs a hosts.toml for.
func hasSettings(h hostsconf.Host) bool {
	plain := h.URL.Scheme == "http" && !hostport.IsLoopback(h.URL.Host)
	return plain || h.TLS.CA != nil || h.TLS.Cert != nil || h.TLS.SkipVerify
}

// reachedByDefault reports whether a loopback registry has no setting of its own. A server line would
// turn off what containerd does with it by default: https without verification on port 443,
// http on port 80, and on any other port https, then http.
func (d *State) reachedByDefault(name string, server hostsconf.Host, try redact.Secret) bool {
	return hostport.IsLoopback(name) && server.Authorization.IsZero() && try.IsZero() && !hasSettings(server) && !d.setsPlainHTTP(name)
}

// setsPlainHTTP reports whether the config sets plainHTTP for a registry that images name.
func (d *State) setsPlainHTTP(name string) bool {
	reach, ok := d.reach(name, "", "https")
	return ok && reach.PlainHTTPGiven
}

func (d *State) addDirectory(dir hostsconf.Directory) {
	d.addForeignCertificates(&dir)
	d.hasDirectory[dir.Upstream] = true
	d.Directories = append(d.Directories, dir)
}

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

// access is a host's login.
type access struct {
	header redact.Secret // the header in hosts.toml; zero for none
	// try is the header that the prober sends; zero if there is nothing to learn.
	try     redact.Secret
	channel Channel
}

// authorization returns the header for all repositories below a path of a host, if one login is
// right for all of them. If a login exists but cannot be used, a notice says why.
func (d *State) authorization(u hostsconf.URL, name, path, subject string, allowPlain bool) access {
	login, found := d.logins.For(name, u.Scheme, path)
	if below := d.logins.Below(name, u.Scheme, path); len(below) > 0 {
		names := make([]string, len(below))
		for i, l := range below {
			names[i] = l.Name()
		}
		d.notice(subject, "no login is written for %s: %s has its own login, and a header is sent for the whole host; "+
			"kubelet's credential provider passes these logins", u, strings.Join(names, ", "))
		return access{}
	}
	switch {
	case !found:
		header := d.ecrHeader(u, subject, allowPlain)
		if header.IsZero() {
			return access{}
		}
		return d.headerAccess(u, "the ECR token", subject, config.AuthAuto, header)
	case login.Token:
		c := d.in.channel(u, config.AuthToken)
		if name != subject {
			d.notice(subject, "the login of %s is not written for %s: %s", login.Name(), u, c.Why)
		}
		return access{channel: c}
	case u.Scheme == "http" && !hostport.IsLoopback(u.Host) && !allowPlain:
		d.notice(subject, "the login of %s is not sent to %s over plain http; if it must be, set allowPlainHTTPCredentials: true in its entry",
			login.Name(), u)
		return access{}
	}
	auth := config.AuthAuto
	if d.authBasic[login.Name()] {
		auth = config.AuthBasic
	}
	return d.headerAccess(u, "the login of "+login.Name(), subject, auth, hostsconf.BasicAuthorization(login.Username, login.Password))
}

// headerAccess decides whether hosts.toml carries a header for u; what names the login in notices.
func (d *State) headerAccess(u hostsconf.URL, what, subject string, auth config.Auth, header redact.Secret) access {
	a := access{channel: d.in.channel(u, auth)}
	if auth != config.AuthBasic {
		a.try = header
	}
	switch c := a.channel; {
	case !c.Header:
		d.notice(subject, "%s is not written for %s: %s", what, u, c.Why)
		return a
	case !c.Serves:
		d.HeaderUncertain[u] = true
		d.notice(subject, "%s is written for %s and may have no effect: %s; the release of containerd is unknown", what, u, c.Why)
	case c.Unprobed && !slices.Contains(d.unprobed, u.String()):
		d.unprobed = append(d.unprobed, u.String())
	}
	a.header = header
	return a
}

// ecrHeader returns the header of an ECR registry, zero for another registry or without a
// token.
func (d *State) ecrHeader(u hostsconf.URL, subject string, allowPlain bool) redact.Secret {
	registry, ok := d.ecrNames.Parse(u.Host)
	if !ok {
		return redact.Secret{}
	}
	if u.Scheme == "http" && !hostport.IsLoopback(u.Host) && !allowPlain {
		d.notice(subject, "no ECR token is sent to %s over plain http; use https", u)
		return redact.Secret{}
	}
	if !d.ecrHosts[registry.Host] {
		d.ecrHosts[registry.Host] = true
		d.ECRRegistries = append(d.ECRRegistries, registry)
	}
	return d.in.Headers[registry.Host]
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

// LoginName names the login that an endpoint's header carries, "" for none.
func (d *State) LoginName(t Target) string {
	if _, ok := d.ecrNames.Parse(t.Host.URL.Host); ok {
		if t.Host.Authorization.IsZero() {
			return ""
		}
		return "ECR token"
	}
	if t.Host.Authorization.IsZero() && t.Try.IsZero() {
		return ""
	}
	if l, ok := d.logins.For(t.Host.URL.Host, t.Host.URL.Scheme, t.Host.URL.RepositoryPath()); ok {
		return "login of " + strings.TrimSuffix(l.Name(), "/")
	}
	return ""
}
