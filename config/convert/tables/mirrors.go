package tables

import (
	"fmt"
	"slices"
	"strings"

	"github.com/berth-registry/berth/config"
	"github.com/berth-registry/berth/config/convert/draft"
	"github.com/berth-registry/berth/config/convert/source"
	"github.com/berth-registry/berth/hostsconf"
	"github.com/berth-registry/berth/internal/dockerhub"
	"github.com/berth-registry/berth/internal/hostport"
)

// foreignMirror is one entry of a mirrors table, before the converter knows whether the registry
// needs a mirror.
type foreignMirror struct {
	at        source.Cursor
	upstream  string
	endpoints []draft.Endpoint
	listed    int // number of endpoints in the input
	notes     []string
}

// readMirrors reads the mirrors table, which k3s and containerd have in common.
func (d *reader) readMirrors(table source.Cursor) []*foreignMirror {
	example := d.In.Example(`endpoint: ["https://mirror.corp"]`,
		`endpoint = ["https://mirror.corp"]`)
	var all []*foreignMirror
	seen := map[string]bool{}
	for _, c := range table.All("the registry's name, and below it " + example) {
		upstream, err := hostsconf.ParseUpstream(c.Name)
		switch {
		case err != nil:
			d.LeaveOut(c, "not a registry name as used in image names: "+source.Shown(err.Error()),
				"it never had an effect; write host[:port], docker.io for Docker Hub")
			continue
		case seen[upstream]:
			d.LeaveOut(c, "the registry "+upstream+" is named twice",
				"only the first entry is used; put the endpoints into one")
			continue
		}
		seen[upstream] = true
		d.mentionsHub = d.mentionsHub || upstream == dockerhub.Name
		m := &foreignMirror{at: c, upstream: upstream}
		if c.Mapping(example) {
			prefix := d.rewrite(c.Get("rewrite"), m)
			items := c.Get("endpoint").Items(example)
			m.listed = len(items)
			for i, e := range items {
				d.readEndpoint(m, e, i == len(items)-1, prefix)
			}
		}
		all = append(all, m)
	}
	return all
}

// readEndpoint reads one endpoint. prefix precedes the repository in all requests, see rewrite.
func (d *reader) readEndpoint(m *foreignMirror, c source.Cursor, last bool, prefix string) {
	lose := func(err error) {
		d.Lose(c.Loss("the endpoint's address "+err.Error(), "images of "+draft.NameOf(m.upstream)+
			" are not looked for there"))
	}
	a, err := draft.ParseAddress(c.Text())
	if err != nil {
		lose(err)
		return
	}
	e := draft.Endpoint{Self: a.Host == m.upstream}
	if a.Scheme == "" {
		a.Scheme = d.DefaultScheme(a.Host)
	}
	if why := a.NeedsTLS(); why != "" {
		a.Scheme = "https"
		e.Notes = append(e.Notes, why)
	}
	literal := a.Path
	if d.Format == draft.Containerd && literal == "/" {
		e.Notes = append(e.Notes, "The slash at the end made containerd leave out /v2, where no "+
			"registry answers. Here it does not.")
	}
	if a.Ignored != "" {
		e.Notes = append(e.Notes, fmt.Sprintf("%s ignored %s, and it is left out; a login "+
			"belongs under registries.", d.Format.Program(), a.Ignored))
	}
	if d.Format == draft.Containerd && a.Host == dockerhub.Name {
		e.Notes = append(e.Notes, "containerd asked docker.io itself here, where no registry "+
			"answers. Here it is "+dockerhub.Server+".")
	}
	if e.Written, e.Override, e.URL, err = draft.LiteralURL(a.Scheme, a.Host, literal); err != nil {
		lose(err)
		return
	}
	e.Own = d.isOwn(m.upstream, e.URL) && last
	if prefix != "" && !(e.Own && d.Format != draft.Containerd) {
		e.Written, e.Override, e.URL, err = draft.LiteralURL(a.Scheme, a.Host, e.URL.APIPath()+"/"+
			prefix)
		if err != nil {
			lose(err)
			return
		}
		e.Own = false
	}
	d.NoteEndpoint(e.URL)
	for _, other := range m.endpoints {
		if config.NormalizeURL(other.URL) == config.NormalizeURL(e.URL) {
			note := e.Written + " was listed twice."
			if e.Written != other.Written {
				note = e.Written + " is " + other.Written + " again, and is left out."
			}
			if !slices.Contains(m.notes, note) {
				m.notes = append(m.notes, note)
			}
			return
		}
	}
	m.endpoints = append(m.endpoints, e)
}

// isOwn reports whether the program treats u as the address of the registry itself. For k3s that is
// one address (defaultHostConfig in its pkg/agent/containerd/config.go), for containerd any with
// the registry's name.
func (d *reader) isOwn(upstream string, u hostsconf.URL) bool {
	if upstream == hostsconf.Default {
		return false
	}
	if d.Format == draft.Containerd {
		return u == hostsconf.UpstreamURL(upstream, u.Scheme == "http")
	}
	return u == hostsconf.UpstreamURL(upstream, d.DefaultScheme(upstream) == "http")
}

// placeMirrors adds the mirrors to the draft. Each asks the upstream after its endpoints, as in the
// programs, unless an endpoint is the upstream itself.
func (d *reader) placeMirrors(all []*foreignMirror) {
	wildcard := false
	for _, m := range all {
		wildcard = wildcard || m.upstream == hostsconf.Default && len(m.endpoints) > 0
	}
	if wildcard {
		d.NoteWildcard()
	}
	for _, m := range all {
		self := slices.ContainsFunc(m.endpoints, func(e draft.Endpoint) bool { return e.Self })
		own := d.dropOwnEndpoint(m)
		if d.Format != draft.Containerd {
			d.tlsFirst(m)
			if n := len(m.endpoints); n > 0 && d.isOwn(m.upstream, m.endpoints[n-1].URL) {
				own, m.endpoints = true, m.endpoints[:n-1]
			}
		}
		switch {
		case len(m.endpoints) > 0:
			// containerd does not ask the upstream again if an endpoint has its name
			// (registryEndpoints in image_pull.go).
			only := d.Format == draft.Containerd && !own && self
			if only {
				m.notes = append(m.notes, "One endpoint is the registry itself, so containerd "+
					"did not ask it once more at the end.")
			} else {
				d.loopback(m, own)
			}
			d.AddMirror(&draft.Mirror{Upstream: m.upstream, Endpoints: m.endpoints, Notes: m.notes,
				Only: only})
		case own:
			d.keepDirect(m, own, wildcard)
		case d.Format != draft.Containerd:
			d.Lose(m.at.Loss("no endpoint: with --embedded-registry k3s fetches these images "+
				"from its other nodes (Spegel), which Berth does not",
				"images of "+draft.NameOf(m.upstream)+" come from the registry itself; without "+
					"--embedded-registry the entry had no effect and nothing changes"))
		case m.upstream != hostsconf.Default:
			d.keepDirect(m, own, wildcard)
		}
	}
}

// dropOwnEndpoint removes a last endpoint that is the upstream itself: Berth asks it there in any
// case.
func (d *reader) dropOwnEndpoint(m *foreignMirror) bool {
	if len(m.endpoints) == 0 || m.upstream == hostsconf.Default {
		return false
	}
	last := m.endpoints[len(m.endpoints)-1]
	plain := last.URL.Scheme == "http"
	switch {
	case last.Own:
	case d.Format == draft.Containerd, last.URL != hostsconf.UpstreamURL(m.upstream, plain),
		hostport.IsLoopback(m.upstream):
		return false
	case d.HasTLS(last.URL.Host) && plain:
		return false // see tlsFirst
	}
	m.endpoints = m.endpoints[:len(m.endpoints)-1]
	m.notes = append(m.notes, last.Notes...)
	switch {
	case d.Format == draft.Containerd && (plain || hostport.IsLoopback(m.upstream)):
		d.Registry(m.upstream, m.at).SetPlainHTTP(plain)
	case plain && !last.Own:
		r := d.Registry(m.upstream, m.at)
		r.SetPlainHTTP(true)
		r.Note("k3s tried https as well when http did not answer.")
	}
	return true
}

// tlsFirst handles endpoints with http and tls settings. k3s writes both into hosts.toml;
// containerd then tries https, and http only if the host answers without TLS (ConfigureHosts in
// core/remotes/docker/config). Port 80 is always http.
func (d *reader) tlsFirst(m *foreignMirror) {
	var all []draft.Endpoint
	add := func(e draft.Endpoint) {
		same := func(other draft.Endpoint) bool {
			return config.NormalizeURL(other.URL) == config.NormalizeURL(e.URL)
		}
		if !slices.ContainsFunc(all, same) {
			all = append(all, e)
		}
	}
	for _, e := range m.endpoints {
		if e.URL.Scheme != "http" || hostport.Port(e.URL.Host) == "80" || !d.HasTLS(e.URL.Host) {
			add(e)
			continue
		}
		secure := e
		secure.URL.Scheme = "https"
		secure.Written = "https://" + strings.TrimPrefix(e.Written, "http://")
		if d.Entry(e.URL.Host).Login != nil {
			d.Lose(m.at.Loss("with http and tls settings, "+e.URL.Host+" was asked over https, "+
				"and over http if it spoke no TLS; "+
				"a login is not sent over http where https will do",
				"it is asked over https only; if it speaks no TLS, write "+e.Written+
					", remove its tls settings and set allowPlainHTTPCredentials: true"))
			add(secure)
			continue
		}
		secure.Notes = append(slices.Clone(e.Notes),
			"With http and tls settings this host was asked over https first, and over http if "+
				"it spoke no TLS. Remove the one that it does not speak.")
		add(secure)
		add(e)
	}
	m.endpoints = all
}

// loopback sets how a registry on loopback is asked after its mirrors, if the program's rule
// differs from containerd's own.
func (d *reader) loopback(m *foreignMirror, own bool) {
	if !hostport.IsLoopback(m.upstream) || d.HasTLS(m.upstream) ||
		own && d.Format == draft.Containerd {
		return
	}
	d.Registry(m.upstream, m.at).SetPlainHTTP(d.DefaultScheme(m.upstream) == "http")
}

// keepDirect handles an entry whose effect was that the registry itself is asked instead of the "*"
// mirror.
func (d *reader) keepDirect(m *foreignMirror, own, wildcard bool) {
	d.direct[m.upstream] = true
	if d.Format == draft.Containerd && !own || d.Format != draft.Containerd && m.listed > 1 {
		d.loopback(m, false)
	}
	if r := d.Existing(m.upstream); r != nil {
		r.Notes = append(r.Notes, m.notes...)
		r.Named = r.Named || wildcard
		return
	}
	if !wildcard {
		d.Note("%s names no endpoint but the registry itself, so nothing is needed for it.",
			m.at.Path)
		return
	}
	r := d.Registry(m.upstream, m.at)
	r.Named = true
	r.Note(`Named so that the mirror for "*" leaves it alone, as the entry without other ` +
		`endpoints did.`)
	r.Notes = append(r.Notes, m.notes...)
}
