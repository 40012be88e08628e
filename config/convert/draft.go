package convert

import (
	"fmt"
	"slices"
	"strings"

	"github.com/berth-registry/berth/config"
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
	asked      map[string]bool // hosts of endpoints
	https      map[string]bool // those of them with https
	// mentionsHub says that something but configs names docker.io.
	mentionsHub bool
	idle        string          // why nothing in the input had an effect
	authed      map[string]bool // registries that auths has named
	byHost      map[string]*registry
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
	own      bool // the upstream itself, and last
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
	keys      *awsKeys // of this registry alone
	auth      config.Auth
	tls       tlsFiles
	plainHTTP bool
	// overTLS is plainHTTP: false, for a registry on this machine.
	overTLS bool
	// named keeps an entry that says nothing: it is not asked by way of "*".
	named bool
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

// setPlainHTTP says how the registry is asked, without TLS or with it.
func (r *registry) setPlainHTTP(plain bool) {
	r.plainHTTP, r.overTLS = plain, !plain
}

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

// nothing refuses an input without any registry: an empty RegistryConfig
// would remove every mirror of a node.
func (d *draft) nothing(what string) {
	if len(d.in.errors) > 0 {
		return
	}
	d.in.failAt(0, 0, "", what+"; there is nothing to convert")
}

// prune removes entries that say nothing: the program made nothing of them
// either.
func (d *draft) prune() {
	d.registries = slices.DeleteFunc(d.registries, func(r *registry) bool {
		if r.login != nil || r.keys != nil || r.tls != (tlsFiles{}) || r.plainHTTP || r.overTLS || r.named {
			return false
		}
		for _, note := range r.notes {
			d.note("%s: %s", r.host, note)
		}
		delete(d.byHost, r.host)
		return true
	})
}

// thisMachine puts right what k3s does with a registry on this machine that has
// a port of its own and tls settings: it writes http and these settings, so that
// containerd tries https first, as it does without them.
func (d *draft) thisMachine(r *registry) {
	host := hostOnly(r.host)
	if d.format != Containerd && hostport.IsLoopback(host) && d.defaultScheme(host) == "https" && r.tls == (tlsFiles{}) && !r.plainHTTP {
		r.setPlainHTTP(false)
	}
	if d.format == Containerd && hostport.IsLoopback(host) && r.tls != (tlsFiles{}) && !r.plainHTTP && !r.overTLS {
		d.lose(r.at.loss(host+" was asked over http for its own images, and over https as a mirror",
			"with these tls settings it is asked over https for both; use https for both, or http"))
	}
	if d.format == Containerd || r.plainHTTP || r.overTLS || r.tls == (tlsFiles{}) ||
		!hostport.IsLoopback(host) || d.defaultScheme(host) != "http" {
		return
	}
	switch {
	case hostport.Port(host) == "80":
		r.tls = tlsFiles{}
		d.lose(r.at.loss("these tls settings had no effect: port 80 is asked over plain http", "they have none here either"))
	case r.tls == tlsFiles{skipVerify: true} && r.login == nil && !d.https[host]:
		r.tls, r.named = tlsFiles{}, d.byUpstream[hostsconf.Default] != nil
		r.note("containerd does not verify a registry on this machine, and tries http when it speaks no TLS, so insecure_skip_verify is not needed.")
	default:
		d.lose(r.at.loss("this registry was asked over https, and over http if it spoke no TLS",
			"it is asked over https only; if it speaks no TLS, remove its tls settings and write plainHTTP: true"))
	}
}

// finish works out what follows from several parts of the draft together.
func (d *draft) finish() {
	for _, r := range d.registries {
		d.thisMachine(r)
	}
	d.prune()
	for _, r := range d.registries {
		d.otherSpelling(r)
	}
	plain := d.plainHTTP()
	logins, tls := map[string]string{}, map[string]string{}
	for _, r := range d.registries {
		host, prefix, _ := strings.Cut(r.host, "/")
		if r.plainHTTP && r.tls != (tlsFiles{}) {
			r.tls = tlsFiles{}
			if d.https[host] {
				d.lose(r.at.loss(host+" is asked over http for its own images and over https as a mirror; a registry has one of them here",
					"its tls settings are left out; use https for both"))
			} else {
				r.note("The tls settings are left out: this host is reached over plain http, which has no use for them.")
			}
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

// otherSpelling is about a registry that the input names in another spelling,
// with or without its scheme's port, but not with login or tls settings: for the
// program these were two hosts, for Berth they are one.
func (d *draft) otherSpelling(r *registry) {
	host := hostOnly(r.host)
	for _, other := range []string{host + ":443", host + ":80", strings.TrimSuffix(host, ":443"), strings.TrimSuffix(host, ":80")} {
		scheme := "https"
		if strings.HasSuffix(host, ":80") || strings.HasSuffix(other, ":80") {
			scheme = "http"
		}
		if other == host || !d.asked[other] && d.byUpstream[other] == nil && !d.configured[other] {
			continue
		}
		if hostport.TrimDefaultPort(other, scheme) != hostport.TrimDefaultPort(host, scheme) {
			continue
		}
		if r.tls != (tlsFiles{}) && scheme == "https" && !d.hasTLS(other) {
			d.lose(r.at.loss("these tls settings were for "+host+" and not for "+other+", which is the same host here",
				"they are used for both; write all addresses of it in one spelling"))
		}
		if r.login != nil && d.entry(other).login == nil {
			r.note("This login was for %s and not for %s. Here these are one host, and both get it.", host, other)
		}
	}
}

// oneSpelling leaves out the login and the tls settings of a host that has
// them in another spelling already, with or without its scheme's port: for
// Berth the two are one.
func (d *draft) oneSpelling(r *registry, logins, tls map[string]string) {
	plain := r.plainHTTP || hostport.IsLoopback(hostOnly(r.host)) && r.tls == (tlsFiles{})
	key := config.NormalizeHost(r.host, plain)
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
