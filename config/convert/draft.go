package convert

import (
	"fmt"
	"slices"
	"strings"

	"github.com/berth-registry/berth/config"
	"github.com/berth-registry/berth/hostsconf"
	"github.com/berth-registry/berth/internal/dockerhub"
	"github.com/berth-registry/berth/internal/hostport"
	"github.com/berth-registry/berth/internal/realm"
	"github.com/berth-registry/berth/internal/redact"
)

// draft is the RegistryConfig under construction, with its comments.
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
	proxy           []proxySetting
	certsDir        string
	lost            []Loss

	byUpstream map[string]*mirror
	known      map[string]bool // hosts of endpoints, and registries that have settings
	https      map[string]bool // hosts of endpoints with https
	byHost     map[string]*registry
}

type mirror struct {
	notes     []string
	upstream  string
	endpoints []endpoint
	// only says that the upstream is not asked after the endpoints.
	only bool
}

type endpoint struct {
	notes    []string
	url      hostsconf.URL
	written  string
	override bool // overridePath: true
	self     bool // has the upstream's name
	own      bool // is the upstream itself, and the last endpoint
	headers  []header
	// capabilities and dialTimeout are empty for Berth's defaults.
	capabilities []string
	dialTimeout  string
}

// proxySetting is a field of the section proxy.
type proxySetting struct {
	name  string
	value redact.Secret
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
	keys      *awsKeys // for this registry alone
	auth      config.Auth
	tls       tlsFiles
	plainHTTP bool
	// overTLS writes plainHTTP: false, for a registry on loopback.
	overTLS bool
	// named keeps an entry without settings, so that "*" does not apply to it.
	named bool
	// allowPlainHTTP writes allowPlainHTTPCredentials: true.
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

// credential is a source of AWS keys; nil keys mean the instance profile.
type credential struct {
	notes []string
	keys  *awsKeys
}

type awsKeys struct{ id, secret, session redact.Secret }

// setPlainHTTP sets whether the registry is asked without TLS.
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

// leaveOut reports everything at c as lost.
func (d *draft) leaveOut(c cursor, what, effect string) {
	d.lose(c.loss(what, effect))
	c.skip()
}

func (d *draft) noteWildcard() {
	d.note(`Images that name the host of an endpoint come from that host itself; with "*", %s asked the mirror for them, too. `+
		"Name such a host under mirrors to keep that.", d.format.program())
}

// unread reports the fields below c that were not read.
func (d *draft) unread(c cursor) { d.lost = append(d.lost, c.unread(d.format.program())...) }

// addMirror adds m. Its upstream must be new.
func (d *draft) addMirror(m *mirror) {
	if d.byUpstream == nil {
		d.byUpstream = map[string]*mirror{}
	}
	d.byUpstream[m.upstream] = m
	d.mirrors = append(d.mirrors, m)
}

// mirror returns the mirror of an upstream, nil if there is none.
func (d *draft) mirror(upstream string) *mirror { return d.byUpstream[upstream] }

// registry returns the entry of a host and appends one if there is none. at is its location in the
// input.
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

// existing returns the entry of a host, nil if there is none.
func (d *draft) existing(host string) *registry { return d.byHost[host] }

// entry returns the entry of exactly this host, an empty one if there is none.
func (d *draft) entry(host string) registry {
	if r := d.existing(dockerhub.Canonical(host)); r != nil {
		return *r
	}
	return registry{}
}

func (d *draft) hasTLS(host string) bool { return d.entry(host).tls != (tlsFiles{}) }

// noteEndpoint records that an endpoint is asked.
func (d *draft) noteEndpoint(u hostsconf.URL) {
	d.know(u.Host)
	if d.https == nil {
		d.https = map[string]bool{}
	}
	d.https[u.Host] = d.https[u.Host] || u.Scheme == "https"
}

// know records that the input names a host.
func (d *draft) know(host string) {
	if d.known == nil {
		d.known = map[string]bool{}
	}
	d.known[host] = true
}

// asksHTTPS reports whether an endpoint with this host and https is asked.
func (d *draft) asksHTTPS(host string) bool { return d.https[host] }

// refuseEmpty refuses an input without any registry: an empty RegistryConfig would remove every mirror
// of a node.
func (d *draft) refuseEmpty(what string) {
	if len(d.in.errors) > 0 {
		return
	}
	d.in.failAt(0, 0, "", what+"; there is nothing to convert")
}

// prune removes entries without settings. The program did not use them either.
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

// defaultScheme returns the scheme that the program assumes for an endpoint without one: k3s by
// normalizeEndpointAddress in pkg/agent/containerd/config.go, containerd by defaultScheme in its
// image_pull.go.
func (d *draft) defaultScheme(host string) string {
	port := hostport.Port(host)
	if !hostport.IsLoopback(host) || d.format != Containerd && (port == "" || port == "443") {
		return "https"
	}
	return "http"
}

// correctLoopback corrects the settings of a registry on loopback. For one with its own port and tls
// settings, k3s writes http with these settings, so that containerd tries https first.
func (d *draft) correctLoopback(r *registry) {
	if d.format == Docker || d.format == CertsD {
		return // these read certs.d, as the result does
	}
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
	case r.tls == tlsFiles{skipVerify: true} && r.login == nil && !d.asksHTTPS(host):
		r.tls, r.named = tlsFiles{}, d.byUpstream[hostsconf.Default] != nil
		r.note("containerd does not verify a registry on this machine, and tries http when it speaks no TLS, so insecure_skip_verify is not needed.")
	default:
		d.lose(r.at.loss("this registry was asked over https, and over http if it spoke no TLS",
			"it is asked over https only; if it speaks no TLS, remove its tls settings and write plainHTTP: true"))
	}
}

// finish settles the settings that depend on several parts of the draft.
func (d *draft) finish() {
	for _, r := range d.registries {
		d.correctLoopback(r)
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
			if d.asksHTTPS(host) {
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
		if _, ok := realm.Known(host); ok {
			r.auth = config.AuthToken
			r.note("%s takes a login only in exchange for a token. kubelet has to pass it on, by berth-credential-provider.", host)
			if first := d.askedBefore(host); first != "" {
				r.note("As long as %s comes first, the login is withheld, because containerd would offer it to every host of the list: images that fall back to %s are pulled without it.", first, host)
			}
		}
	}
}

// otherSpelling handles a registry that the input also names in another spelling, with or without
// the default port, but without login or tls settings there. The program treated these as two
// hosts; Berth treats them as one.
func (d *draft) otherSpelling(r *registry) {
	host := hostOnly(r.host)
	for _, other := range []string{host + ":443", host + ":80", strings.TrimSuffix(host, ":443"), strings.TrimSuffix(host, ":80")} {
		scheme := hostport.Scheme(strings.HasSuffix(host, ":80") || strings.HasSuffix(other, ":80"))
		if other == host || !d.known[other] && d.byUpstream[other] == nil {
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

// oneSpelling drops the login and the tls settings of a host that already has them in another
// spelling: Berth treats both spellings as one host.
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

// plainURLs holds, by host, the repository paths that some URL reaches over http.
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

// covered reports whether one of the URLs would use a login for prefix on host.
func (p plainURLs) covered(host, prefix string) bool {
	for _, path := range p[hostport.TrimDefaultPort(host, "http")] {
		if prefix == "" || path == prefix || strings.HasPrefix(path, prefix+"/") {
			return true
		}
	}
	return false
}

// askedBefore describes the host that containerd asks before the upstream, "" if there is none.
func (d *draft) askedBefore(upstream string) string {
	switch {
	case d.byUpstream[upstream] != nil:
		return "a mirror of " + upstream
	case d.defaultRegistry != nil && upstream == dockerhub.Name:
		return "the default registry"
	}
	return ""
}

// nameOf returns the words for an upstream in a sentence.
func nameOf(upstream string) string {
	if upstream == hostsconf.Default {
		return "every registry without an entry"
	}
	return upstream
}
