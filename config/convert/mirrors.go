package convert

import (
	"fmt"
	"slices"
	"strings"

	"github.com/berth-registry/berth/config"
	"github.com/berth-registry/berth/hostsconf"
	"github.com/berth-registry/berth/internal/dockerhub"
	"github.com/berth-registry/berth/internal/hostport"
)

// foreignMirror is one entry of a mirrors table, before the converter knows whether the registry
// needs a mirror.
type foreignMirror struct {
	at        cursor
	upstream  string
	endpoints []endpoint
	listed    int // number of endpoints in the input
	notes     []string
}

// readMirrors reads the mirrors table, which k3s and containerd have in common.
func (d *tables) readMirrors(table cursor) []*foreignMirror {
	example := d.in.example(`endpoint: ["https://mirror.corp"]`, `endpoint = ["https://mirror.corp"]`)
	var all []*foreignMirror
	seen := map[string]bool{}
	for _, c := range table.all("the registry's name, and below it " + example) {
		upstream, err := hostsconf.ParseUpstream(c.name)
		switch {
		case err != nil:
			d.leaveOut(c, "not a registry name as used in image names: "+shown(err.Error()), "it never had an effect; write host[:port], docker.io for Docker Hub")
			continue
		case seen[upstream]:
			d.leaveOut(c, "the registry "+upstream+" is named twice", "only the first entry is used; put the endpoints into one")
			continue
		}
		seen[upstream] = true
		d.mentionsHub = d.mentionsHub || upstream == dockerhub.Name
		m := &foreignMirror{at: c, upstream: upstream}
		if c.mapping(example) {
			prefix := d.rewrite(c.get("rewrite"), m)
			items := c.get("endpoint").items(example)
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
func (d *tables) readEndpoint(m *foreignMirror, c cursor, last bool, prefix string) {
	lose := func(err error) {
		d.lose(c.loss("the endpoint's address "+err.Error(), "images of "+nameOf(m.upstream)+" are not looked for there"))
	}
	a, err := split(c.text())
	if err != nil {
		lose(err)
		return
	}
	e := endpoint{self: a.host == m.upstream}
	if a.scheme == "" {
		a.scheme = d.defaultScheme(a.host)
	}
	if why := a.needsTLS(); why != "" {
		a.scheme = "https"
		e.notes = append(e.notes, why)
	}
	literal := a.path
	if d.format == Containerd && literal == "/" {
		e.notes = append(e.notes, "The slash at the end made containerd leave out /v2, where no registry answers. Here it does not.")
	}
	if a.ignored != "" {
		e.notes = append(e.notes, fmt.Sprintf("%s ignored %s, and it is left out; a login belongs under registries.", d.format.program(), a.ignored))
	}
	if d.format == Containerd && a.host == dockerhub.Name {
		e.notes = append(e.notes, "containerd asked docker.io itself here, where no registry answers. Here it is "+dockerhub.Server+".")
	}
	if e.written, e.override, e.url, err = literalURL(a.scheme, a.host, literal); err != nil {
		lose(err)
		return
	}
	e.own = d.isOwn(m.upstream, e.url) && last
	if prefix != "" && !(e.own && d.format != Containerd) {
		if e.written, e.override, e.url, err = literalURL(a.scheme, a.host, e.url.APIPath()+"/"+prefix); err != nil {
			lose(err)
			return
		}
		e.own = false
	}
	d.noteEndpoint(e.url)
	for _, other := range m.endpoints {
		if config.NormalizeURL(other.url) == config.NormalizeURL(e.url) {
			note := e.written + " was listed twice."
			if e.written != other.written {
				note = e.written + " is " + other.written + " again, and is left out."
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
func (d *tables) isOwn(upstream string, u hostsconf.URL) bool {
	if upstream == hostsconf.Default {
		return false
	}
	if d.format == Containerd {
		return u == hostsconf.UpstreamURL(upstream, u.Scheme == "http")
	}
	return u == hostsconf.UpstreamURL(upstream, d.defaultScheme(upstream) == "http")
}

// placeMirrors adds the mirrors to the draft. Each asks the upstream after its endpoints, as in the
// programs, unless an endpoint is the upstream itself.
func (d *tables) placeMirrors(all []*foreignMirror) {
	wildcard := false
	for _, m := range all {
		wildcard = wildcard || m.upstream == hostsconf.Default && len(m.endpoints) > 0
	}
	if wildcard {
		d.noteWildcard()
	}
	for _, m := range all {
		self := slices.ContainsFunc(m.endpoints, func(e endpoint) bool { return e.self })
		own := d.dropOwnEndpoint(m)
		if d.format != Containerd {
			d.tlsFirst(m)
			if n := len(m.endpoints); n > 0 && d.isOwn(m.upstream, m.endpoints[n-1].url) {
				own, m.endpoints = true, m.endpoints[:n-1]
			}
		}
		switch {
		case len(m.endpoints) > 0:
			// containerd does not ask the upstream again if an endpoint has its name
			// (registryEndpoints in image_pull.go).
			only := d.format == Containerd && !own && self
			if only {
				m.notes = append(m.notes, "One endpoint is the registry itself, so containerd did not ask it once more at the end.")
			} else {
				d.loopback(m, own)
			}
			d.addMirror(&mirror{upstream: m.upstream, endpoints: m.endpoints, notes: m.notes, only: only})
		case own:
			d.keepDirect(m, own, wildcard)
		case d.format != Containerd:
			d.lose(m.at.loss("no endpoint: with --embedded-registry k3s fetches these images from its other nodes (Spegel), which Berth does not",
				"images of "+nameOf(m.upstream)+" come from the registry itself; without --embedded-registry the entry had no effect and nothing changes"))
		case m.upstream != hostsconf.Default:
			d.keepDirect(m, own, wildcard)
		}
	}
}

// dropOwnEndpoint removes a last endpoint that is the upstream itself: Berth asks it there in any case.
func (d *tables) dropOwnEndpoint(m *foreignMirror) bool {
	if len(m.endpoints) == 0 || m.upstream == hostsconf.Default {
		return false
	}
	last := m.endpoints[len(m.endpoints)-1]
	plain := last.url.Scheme == "http"
	switch {
	case last.own:
	case d.format == Containerd, last.url != hostsconf.UpstreamURL(m.upstream, plain), hostport.IsLoopback(m.upstream):
		return false
	case d.hasTLS(last.url.Host) && plain:
		return false // see tlsFirst
	}
	m.endpoints = m.endpoints[:len(m.endpoints)-1]
	m.notes = append(m.notes, last.notes...)
	switch {
	case d.format == Containerd && (plain || hostport.IsLoopback(m.upstream)):
		d.registry(m.upstream, m.at).setPlainHTTP(plain)
	case plain && !last.own:
		r := d.registry(m.upstream, m.at)
		r.setPlainHTTP(true)
		r.note("k3s tried https as well when http did not answer.")
	}
	return true
}

// tlsFirst handles endpoints with http and tls settings. k3s writes both into hosts.toml;
// containerd then tries https, and http only if the host answers without TLS (ConfigureHosts in
// core/remotes/docker/config). Port 80 is always http.
func (d *tables) tlsFirst(m *foreignMirror) {
	var all []endpoint
	add := func(e endpoint) {
		same := func(other endpoint) bool { return config.NormalizeURL(other.url) == config.NormalizeURL(e.url) }
		if !slices.ContainsFunc(all, same) {
			all = append(all, e)
		}
	}
	for _, e := range m.endpoints {
		if e.url.Scheme != "http" || hostport.Port(e.url.Host) == "80" || !d.hasTLS(e.url.Host) {
			add(e)
			continue
		}
		secure := e
		secure.url.Scheme = "https"
		secure.written = "https://" + strings.TrimPrefix(e.written, "http://")
		if d.entry(e.url.Host).login != nil {
			d.lose(m.at.loss("with http and tls settings, "+e.url.Host+" was asked over https, and over http if it spoke no TLS; "+
				"a login is not sent over http where https will do", "it is asked over https only; if it speaks no TLS, write "+e.written+
				", remove its tls settings and set allowPlainHTTPCredentials: true"))
			add(secure)
			continue
		}
		secure.notes = append(slices.Clone(e.notes),
			"With http and tls settings this host was asked over https first, and over http if it spoke no TLS. Remove the one that it does not speak.")
		add(secure)
		add(e)
	}
	m.endpoints = all
}

// loopback sets how a registry on loopback is asked after its mirrors, if the program's rule
// differs from containerd's own.
func (d *tables) loopback(m *foreignMirror, own bool) {
	if !hostport.IsLoopback(m.upstream) || d.hasTLS(m.upstream) || own && d.format == Containerd {
		return
	}
	d.registry(m.upstream, m.at).setPlainHTTP(d.defaultScheme(m.upstream) == "http")
}

// keepDirect handles an entry whose effect was that the registry itself is asked instead of the "*"
// mirror.
func (d *tables) keepDirect(m *foreignMirror, own, wildcard bool) {
	d.direct[m.upstream] = true
	if d.format == Containerd && !own || d.format != Containerd && m.listed > 1 {
		d.loopback(m, false)
	}
	if r := d.existing(m.upstream); r != nil {
		r.notes = append(r.notes, m.notes...)
		r.named = r.named || wildcard
		return
	}
	if !wildcard {
		d.note("%s names no endpoint but the registry itself, so nothing is needed for it.", m.at.path)
		return
	}
	r := d.registry(m.upstream, m.at)
	r.named = true
	r.note(`Named so that the mirror for "*" leaves it alone, as the entry without other endpoints did.`)
	r.notes = append(r.notes, m.notes...)
}
