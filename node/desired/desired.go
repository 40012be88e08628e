package desired

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/berth-registry/berth/config"
	"github.com/berth-registry/berth/credprovider"
	"github.com/berth-registry/berth/credprovider/ecr"
	"github.com/berth-registry/berth/hostsconf"
	"github.com/berth-registry/berth/internal/hostport"
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
		certsDir:        cmp.Or(in.CertsDir, cfg.Containerd.CertsDir),
		registries:      registriesByHost(cfg),
		logins:          in.logins(cfg),
		ecrNames:        cfg.ECRNames(),
		in:              in,
		authBasic:       map[string]bool{},
		hasDirectory:    map[string]bool{},
		ecrHosts:        map[string]bool{},
		Withdrawn:       map[string][]hostsconf.Host{},
		HeaderUncertain: map[hostsconf.URL]bool{},
	}
	for _, r := range cfg.Registries {
		d.authBasic[r.Host] = r.Auth == config.AuthBasic
	}
	for _, m := range cfg.AllMirrors() {
		d.addMirror(m)
	}
	d.addDirectHosts(directHosts(cfg, d.hasDirectory[hostsconf.Default]))
	if in.Readers.Docker != nil {
		for i := range d.Directories {
			d.fitForDocker(&d.Directories[i])
		}
	}
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
	unprobed []hostsconf.URL
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
		d.Targets = append(d.Targets, d.target(m.Upstream, host, a))
	}
	var upstream *hostsconf.Host // the fallback, nil if there is none or each registry is its own
	byDefault := false           // containerd's own defaults reach it
	if m.UpstreamFallback && m.Upstream != hostsconf.Default {
		server, a := d.upstreamHost(m.Upstream)
		if !a.probeHeader.IsZero() || slices.ContainsFunc(dir.Hosts, d.in.down) {
			t := d.target(m.Upstream, server, a)
			t.Server = true
			d.Targets = append(d.Targets, t)
		}
		upstream, byDefault = &server, d.reachedByDefault(m.Upstream, server, a.probeHeader)
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
		if !a.probeHeader.IsZero() {
			d.Targets = append(d.Targets, d.target("", server, a))
		}
		dir := hostsconf.Directory{Upstream: host}
		switch {
		case !server.Authorization.IsZero(), hasSettings(server), hostport.IsLoopback(host) && d.setsPlainHTTP(host):
			server.Capabilities = []string{"pull", "resolve"}
			dir.Server = &server
		case !catchAll:
			continue
		case hostport.IsLoopback(host) && !d.reachedByDefault(host, server, a.probeHeader):
			dir.Server = &server
		}
		d.addDirectory(dir)
	}
}

func (d *State) addDirectory(dir hostsconf.Directory) {
	d.addForeignCertificates(&dir)
	d.hasDirectory[dir.Upstream] = true
	d.Directories = append(d.Directories, dir)
}
