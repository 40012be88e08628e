package convert

import (
	"fmt"
	"strings"

	"github.com/berth-registry/berth/agent/config"
	"github.com/berth-registry/berth/hostsconf"
	"github.com/berth-registry/berth/internal/hostport"
	"github.com/berth-registry/berth/internal/redact"
)

// draft is the RegistryConfig that comes into being, with its comments.
type draft struct {
	in         *input
	format     Format
	secretsDir string

	notes           []string // paragraphs of the comment at the top
	mirrors         []*mirror
	defaultRegistry *defaultRegistry
	registries      []*registry
	ecr             []credential // of the section ecr
	ecrNotes        []string
	envAt           cursor // of the AWS key in the environment of kubelet
	certsDir        string
	lost            []Loss

	version    int // of containerd's config.toml
	byUpstream map[string]*mirror
	through    map[string]bool // upstreams that no mirror stands in front of
	configured map[string]bool // registries that configs has named
	authed     map[string]bool // registries that auths has named
	byHost     map[string]*registry
}

type mirror struct {
	notes     []string
	upstream  string
	endpoints []endpoint
	// only says that the upstream is not asked behind the endpoints.
	only bool
}

type endpoint struct {
	notes    []string
	url      hostsconf.URL
	written  string
	override bool // overridePath: true
	self     bool // named like the upstream
	headers  []header
}

type header struct {
	name   string
	values []redact.Secret
}

type defaultRegistry struct {
	notes   []string
	url     hostsconf.URL
	written string
}

type registry struct {
	at        cursor
	notes     []string
	host      string // host[:port][/path]
	login     *login
	auth      config.Auth
	tls       tlsFiles
	plainHTTP bool
	// allowPlainHTTP is allowPlainHTTPCredentials.
	allowPlainHTTP bool
}

type login struct {
	username string
	password redact.Secret
}

type tlsFiles struct {
	ca, cert, key string
	skipVerify    bool
}

// credential is a source of AWS keys; without keys it is the instance profile.
type credential struct {
	notes []string
	keys  *awsKeys
}

type awsKeys struct{ id, secret, session redact.Secret }

func (d *draft) note(format string, args ...any) {
	d.notes = append(d.notes, fmt.Sprintf(format, args...))
}

func (r *registry) note(format string, args ...any) {
	r.notes = append(r.notes, fmt.Sprintf(format, args...))
}

func (d *draft) lose(l Loss) { d.lost = append(d.lost, l) }

// addMirror adds m; its upstream must be new.
func (d *draft) addMirror(m *mirror) {
	if d.byUpstream == nil {
		d.byUpstream = map[string]*mirror{}
	}
	d.byUpstream[m.upstream] = m
	d.mirrors = append(d.mirrors, m)
}

// registry finds the entry of a host, or makes one behind those that exist;
// at is where the input speaks of it.
func (d *draft) registry(host string, at cursor) *registry {
	if r := d.byHost[host]; r != nil {
		return r
	}
	if d.byHost == nil {
		d.byHost = map[string]*registry{}
	}
	r := &registry{host: host, at: at}
	d.byHost[host] = r
	d.registries = append(d.registries, r)
	return r
}

// finish works out what follows from several parts of the draft together.
func (d *draft) finish() {
	plain := d.plainHTTP()
	logins, tls := map[string]string{}, map[string]string{}
	for _, r := range d.registries {
		host, prefix, _ := strings.Cut(r.host, "/")
		if r.plainHTTP && r.tls != (tlsFiles{}) {
			r.tls = tlsFiles{}
			r.note("The tls settings are left out: this host is reached over plain http, which has no use for them.")
		}
		d.oneSpelling(r, logins, tls)
		if r.login == nil {
			continue
		}
		if !hostport.IsLoopback(host) && (r.plainHTTP || plain.covered(host, prefix)) {
			r.allowPlainHTTP = true
			r.note("WARNING: this login crosses the network unencrypted, as it did before. Give the registry a certificate, write https, and remove allowPlainHTTPCredentials.")
		}
		if tokenOnly(host) {
			r.auth = config.AuthToken
			r.note("%s takes a login only in exchange for a token. kubelet has to pass it on, by berth-credential-provider.", host)
			if first := d.inFrontOf(host); first != "" {
				r.note("As long as %s comes first, the login is withheld, because containerd would offer it to every host in the row: what falls back to %s is pulled without it.", first, host)
			}
		}
	}
}

// oneSpelling leaves out the login and the tls settings of a host that has
// them in another spelling already, with or without its scheme's port: for
// Berth the two are one.
func (d *draft) oneSpelling(r *registry, logins, tls map[string]string) {
	plain := r.plainHTTP || hostport.IsLoopback(hostOnly(r.host)) && r.tls == (tlsFiles{})
	key := config.OneSpelling(r.host, plain)
	lose := func(what, other string) {
		d.lose(r.at.loss(r.host+" is "+other+" in another spelling, and both have "+what,
			"only the first is used, for both spellings; put what both need into one"))
	}
	if r.login != nil {
		if first, twice := logins[key]; twice {
			lose("a login", first)
			r.login = nil
		} else {
			logins[key] = r.host
		}
	}
	if r.tls != (tlsFiles{}) {
		if first, twice := tls[key]; twice {
			lose("tls settings", first)
			r.tls = tlsFiles{}
		} else {
			tls[key] = r.host
		}
	}
}

// plainURLs are the paths of repositories that some URL reaches over http, by
// host.
type plainURLs map[string][]string

func (d *draft) plainHTTP() plainURLs {
	plain := plainURLs{}
	add := func(u hostsconf.URL) {
		if u.Scheme == "http" {
			host := hostport.TrimDefaultPort(u.Host, "http")
			plain[host] = append(plain[host], u.RepositoryPath())
		}
	}
	if d.defaultRegistry != nil {
		add(d.defaultRegistry.url)
	}
	for _, m := range d.mirrors {
		for _, e := range m.endpoints {
			add(e.url)
		}
	}
	return plain
}

// covered reports whether a login for prefix on host is used for one of the
// URLs.
func (p plainURLs) covered(host, prefix string) bool {
	for _, path := range p[hostport.TrimDefaultPort(host, "http")] {
		if prefix == "" || path == prefix || strings.HasPrefix(path, prefix+"/") {
			return true
		}
	}
	return false
}

// inFrontOf says what containerd asks before the upstream, "" for nothing.
func (d *draft) inFrontOf(upstream string) string {
	switch {
	case d.byUpstream[upstream] != nil:
		return "a mirror of " + upstream
	case d.defaultRegistry != nil && upstream == dockerHub:
		return "the default registry"
	}
	return ""
}
