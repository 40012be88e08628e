// Package draft is a RegistryConfig under construction: what the readers of all formats fill, the
// settings that depend on several of its parts, and its text with the comments.
//
// Start reading at [Draft]. [Draft.Finish] settles what the parts decide together, [Draft.Render]
// writes the result.
package draft

import (
	"fmt"
	"slices"

	"github.com/berth-registry/berth/config"
	"github.com/berth-registry/berth/config/convert/source"
	"github.com/berth-registry/berth/hostsconf"
	"github.com/berth-registry/berth/internal/dockerhub"
	"github.com/berth-registry/berth/internal/hostport"
	"github.com/berth-registry/berth/internal/redact"
)

// Draft is the RegistryConfig under construction, with its comments. Fields may be set in any
// order; mirrors and registries are added by [Draft.AddMirror] and [Draft.Registry].
type Draft struct {
	In         *source.Input
	Format     Format
	SecretsDir string

	Notes           []string // paragraphs of the comment at the top
	Mirrors         []*Mirror
	DefaultRegistry *DefaultRegistry
	Registries      []*Registry
	ECR             []Credential // of the section ecr
	ECRNotes        []string
	Proxy           []ProxySetting
	CertsDir        string
	Lost            []source.Loss

	byUpstream map[string]*Mirror
	known      map[string]bool // hosts of endpoints, and registries that have settings
	https      map[string]bool // hosts of endpoints with https
	byHost     map[string]*Registry
}

// Mirror is an item of mirrors.
type Mirror struct {
	Notes     []string
	Upstream  string
	Endpoints []Endpoint
	// Only says that the upstream is not asked after the endpoints.
	Only bool
}

// Endpoint is an item of the endpoints of a mirror.
type Endpoint struct {
	Notes    []string
	URL      hostsconf.URL
	Written  string
	Override bool // overridePath: true
	Self     bool // has the upstream's name
	Own      bool // is the upstream itself, and the last endpoint
	Headers  []Header
	// Capabilities and dialTimeout are empty for Berth's defaults.
	Capabilities []string
	DialTimeout  string
}

// ProxySetting is a field of the section proxy.
type ProxySetting struct {
	Name  string
	Value redact.Secret
}

// DefaultRegistry is the section defaultRegistry.
type DefaultRegistry struct {
	Notes   []string
	URL     hostsconf.URL
	Written string
}

// Registry is an item of registries.
type Registry struct {
	At        source.Cursor
	Notes     []string
	Host      string // host[:port][/path]
	Login     *Login
	Keys      *AWSKeys // for this registry alone
	Auth      config.Auth
	TLS       TLS
	PlainHTTP bool
	// OverTLS writes plainHTTP: false, for a registry on loopback.
	OverTLS bool
	// Named keeps an entry without settings, so that "*" does not apply to it.
	Named bool
	// AllowPlainHTTP writes allowPlainHTTPCredentials: true.
	AllowPlainHTTP bool
}

// Login is a username with its password.
type Login struct {
	Username string
	Password redact.Secret
}

// TLS is what tls of a registry holds. The zero value means that the host needs none.
type TLS struct {
	CA, Cert, Key string
	SkipVerify    bool
}

// Credential is a source of AWS keys; nil keys mean the instance profile.
type Credential struct {
	Notes []string
	Keys  *AWSKeys
}

// AWSKeys is a key of AWS. The zero value means that there is none.
type AWSKeys struct{ ID, Secret, Session redact.Secret }

// SetPlainHTTP sets whether the registry is asked without TLS.
func (r *Registry) SetPlainHTTP(plain bool) {
	r.PlainHTTP, r.OverTLS = plain, !plain
}

// Note adds a paragraph to the comment at the top.
func (d *Draft) Note(format string, args ...any) {
	d.Notes = append(d.Notes, fmt.Sprintf(format, args...))
}

// Note adds a paragraph to the comment of the registry.
func (r *Registry) Note(format string, args ...any) {
	r.Notes = append(r.Notes, fmt.Sprintf(format, args...))
}

// Lose adds a setting that is not carried over.
func (d *Draft) Lose(l source.Loss) { d.Lost = append(d.Lost, l) }

// LeaveOut reports everything at c as lost.
func (d *Draft) LeaveOut(c source.Cursor, what, effect string) {
	d.Lose(c.Loss(what, effect))
	c.Skip()
}

// NoteWildcard notes what a mirror for "*" does not do for the hosts of endpoints.
func (d *Draft) NoteWildcard() {
	d.Note(`Images that name the host of an endpoint come from that host itself; with "*", %s `+
		`asked the mirror for them, too. `+
		"Name such a host under mirrors to keep that.", d.Format.Program())
}

// Unread reports the fields below c that were not read.
func (d *Draft) Unread(c source.Cursor) { d.Lost = append(d.Lost, c.Unread(d.Format.Program())...) }

// AddMirror adds m. Its upstream must be new.
func (d *Draft) AddMirror(m *Mirror) {
	if d.byUpstream == nil {
		d.byUpstream = map[string]*Mirror{}
	}
	d.byUpstream[m.Upstream] = m
	d.Mirrors = append(d.Mirrors, m)
}

// Mirror returns the mirror of an upstream, nil if there is none.
func (d *Draft) Mirror(upstream string) *Mirror { return d.byUpstream[upstream] }

// Registry returns the entry of a host and appends one if there is none. at is its location in the
// input.
func (d *Draft) Registry(host string, at source.Cursor) *Registry {
	if r := d.byHost[host]; r != nil {
		return r
	}
	if d.byHost == nil {
		d.byHost = map[string]*Registry{}
	}
	r := &Registry{Host: host, At: at}
	d.byHost[host] = r
	d.Registries = append(d.Registries, r)
	return r
}

// Existing returns the entry of a host, nil if there is none.
func (d *Draft) Existing(host string) *Registry { return d.byHost[host] }

// Entry returns the entry of exactly this host, an empty one if there is none.
func (d *Draft) Entry(host string) Registry {
	if r := d.Existing(dockerhub.Canonical(host)); r != nil {
		return *r
	}
	return Registry{}
}

// HasTLS reports whether the entry of exactly this host has tls settings.
func (d *Draft) HasTLS(host string) bool { return d.Entry(host).TLS != (TLS{}) }

// NoteEndpoint records that an endpoint is asked.
func (d *Draft) NoteEndpoint(u hostsconf.URL) {
	d.Know(u.Host)
	if d.https == nil {
		d.https = map[string]bool{}
	}
	d.https[u.Host] = d.https[u.Host] || u.Scheme == "https"
}

// Know records that the input names a host.
func (d *Draft) Know(host string) {
	if d.known == nil {
		d.known = map[string]bool{}
	}
	d.known[host] = true
}

// AsksHTTPS reports whether an endpoint with this host and https is asked.
func (d *Draft) AsksHTTPS(host string) bool { return d.https[host] }

// RefuseEmpty refuses an input without any registry: an empty RegistryConfig would remove every
// mirror of a node.
func (d *Draft) RefuseEmpty(what string) {
	if len(d.In.Errors) > 0 {
		return
	}
	d.In.FailAt(0, 0, "", what+"; there is nothing to convert")
}

// Prune removes entries without settings. The program did not use them either.
func (d *Draft) Prune() {
	d.Registries = slices.DeleteFunc(d.Registries, func(r *Registry) bool {
		if r.Login != nil || r.Keys != nil || r.TLS != (TLS{}) || r.PlainHTTP || r.OverTLS ||
			r.Named {
			return false
		}
		for _, note := range r.Notes {
			d.Note("%s: %s", r.Host, note)
		}
		delete(d.byHost, r.Host)
		return true
	})
}

// DefaultScheme returns the scheme that the program assumes for an endpoint without one: k3s by
// normalizeEndpointAddress in pkg/agent/containerd/config.go, containerd by defaultScheme in its
// image_pull.go.
func (d *Draft) DefaultScheme(host string) string {
	port := hostport.Port(host)
	if !hostport.IsLoopback(host) || d.Format != Containerd && (port == "" || port == "443") {
		return "https"
	}
	return "http"
}

// NameOf returns the words for an upstream in a sentence.
func NameOf(upstream string) string {
	if upstream == hostsconf.Default {
		return "every registry without an entry"
	}
	return upstream
}
