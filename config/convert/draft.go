package convert

import (
	"fmt"
	"slices"

	"github.com/berth-registry/berth/config"
	"github.com/berth-registry/berth/hostsconf"
	"github.com/berth-registry/berth/internal/dockerhub"
	"github.com/berth-registry/berth/internal/hostport"
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

// nameOf returns the words for an upstream in a sentence.
func nameOf(upstream string) string {
	if upstream == hostsconf.Default {
		return "every registry without an entry"
	}
	return upstream
}
