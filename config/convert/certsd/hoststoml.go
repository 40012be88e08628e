package certsd

import (
	"fmt"
	"net/http"
	"path"
	"strings"

	"github.com/containerd/containerd/v2/core/remotes/docker"

	"github.com/berth-registry/berth/config"
	"github.com/berth-registry/berth/config/convert/draft"
	"github.com/berth-registry/berth/config/convert/source"
	"github.com/berth-registry/berth/hostsconf"
	"github.com/berth-registry/berth/internal/dockerhub"
	"github.com/berth-registry/berth/internal/hostport"
	"github.com/berth-registry/berth/internal/redact"
)

// hostsFile is one hosts.toml. Which hosts are asked, in which order and how, is what containerd's
// own package reads; the tables give positions, and the names of certificates.
type hostsFile struct {
	*reader
	dir    registryDirectory
	mirror draft.Mirror
	listed map[string]int // endpoints by address
}

// addHostsFile adds the hosts of a hosts.toml to the draft. used is false if containerd ignores the
// file and reads the certificates beside it.
func (d *reader) addHostsFile(r registryDirectory) (used bool) {
	content, err := hostsconf.ReadContent(r.upstream, r.hosts)
	file := source.Cursor{In: r.in}
	images := "images of " + draft.NameOf(r.upstream)
	switch {
	case err != nil:
		d.Lose(file.Loss("containerd fails each pull: "+err.Error(),
			"nothing of it is carried over"))
		return true
	case content.Ignored != nil:
		d.Lose(file.Loss("containerd ignores this file: "+content.Ignored.Error(),
			images+" come from the registry itself, as before; correct the file and convert it "+
				"again"))
		return false
	}
	root := source.Cursor{In: r.in, Value: source.TOML(r.in, r.hosts)}
	if content.Differences != "" && !root.Empty() {
		d.Lose(file.Loss("releases of containerd read this file differently: "+content.Differences,
			"the result does what the newest release does"))
	}
	f := &hostsFile{reader: d, dir: r, mirror: draft.Mirror{Upstream: r.upstream},
		listed: map[string]int{}}
	tables := root.Get("host").All("[host.\"https://mirror.corp\"]")
	for i, c := range tables {
		if redact.Address(c.Name) != c.Name {
			tables[i].Path = "host" // the name may hold a secret
		}
	}
	byHost, seen := map[string][]source.Cursor{}, map[*source.Value]bool{}
	for _, c := range tables {
		if a, err := draft.ParseAddress(c.Name); err == nil {
			byHost[a.Host] = append(byHost[a.Host], c)
		}
	}
	last := len(content.Hosts) - 1
	for _, h := range content.Hosts[:last] {
		at := matching(byHost[strings.ToLower(h.Host)], seen, h)
		seen[at.Value] = true
		f.add(h, at)
	}
	for _, c := range tables {
		if seen[c.Value] {
			continue
		}
		d.LeaveOut(c, "containerd does not see this host: it reads tables with a header of their "+
			"own, [host.\"https://mirror.corp\"]",
			images+" are not looked for there")
	}
	f.server(content.Hosts[last], root)
	for _, c := range tables {
		d.Unread(c)
	}
	root.Get("host").Skip()
	d.Unread(root)
	if n := len(f.mirror.Endpoints); n > 0 {
		m := f.mirror
		if u := m.Endpoints[n-1].URL; !m.Only && u.APIPath() == "/v2" &&
			dockerhub.Canonical(u.Host) == m.Upstream {
			m.Notes = append(m.Notes, "The last endpoint is the registry itself. It is not asked "+
				"once more after that.")
		}
		d.AddMirror(&m)
	}
	return true
}

// matching returns the table of a host among those with its name, as far as the tables' names show
// it.
func matching(
	tables []source.Cursor, seen map[*source.Value]bool, h docker.RegistryHost,
) source.Cursor {
	best, points := source.Cursor{}, 0
	for _, c := range tables {
		a, err := draft.ParseAddress(c.Name)
		if err != nil || seen[c.Value] {
			continue
		}
		n := 1
		p, asked := path.Clean("/"+a.Path), path.Clean("/"+h.Path)
		if p == asked || path.Clean(p+"/v2") == asked {
			n += 2
		}
		if draft.OrHTTPS(a.Scheme) == h.Scheme {
			n++
		}
		if n > points {
			best, points = c, n
		}
	}
	return best
}

// pulls returns whether a host is asked for content, and for tags.
func pulls(h docker.RegistryHost) (pull, resolve bool) {
	c := h.Capabilities
	return c.Has(docker.HostCapabilityPull), c.Has(docker.HostCapabilityResolve)
}

// add adds a host as an endpoint.
func (f *hostsFile) add(h docker.RegistryHost, at source.Cursor) {
	if at.In == nil {
		at.In = f.dir.in
	}
	if pull, resolve := pulls(h); !pull && !resolve {
		f.LeaveOut(at, "this host is asked for pushes only, which a RegistryConfig does not have",
			"pulls are the same")
		return
	}
	e := draft.Endpoint{}
	a := draft.Address{Scheme: h.Scheme, Host: strings.ToLower(h.Host)}
	if why := a.NeedsTLS(); why != "" {
		h.Scheme = "https"
		e.Notes = append(e.Notes, why)
	}
	if dockerhub.Is(h.Host) && h.Host != dockerhub.Server {
		e.Notes = append(e.Notes, "containerd asked "+h.Host+" itself here. Here it is "+
			dockerhub.Server+".")
	}
	var err error
	e.Written, e.Override, e.URL, err = draft.LiteralURL(h.Scheme, h.Host, h.Path)
	if h.Path == "" || h.Path == "/" {
		e.Override = true // no /v2 at all
		e.URL, err = hostsconf.ParseURL(e.Written, true)
	}
	if err != nil {
		f.LeaveOut(at, "the address of this host "+err.Error(),
			"images of "+draft.NameOf(f.dir.upstream)+" are not looked for there")
		return
	}
	at.Fold("override_path") // it is in the path that containerd read
	f.capabilities(&e, h, at.Fold("capabilities"))
	f.dialTimeout(&e, at.Fold("dial_timeout"))
	u := hostUse{at: at, host: e.URL.Host, upstream: f.dir.upstream, plain: e.URL.Scheme == "http"}
	e.Headers, u.login = f.headers(h, at.Fold("header"), e.URL.Host)
	u.tls = f.tls(at)
	if u.plain && u.tls != (draft.TLS{}) {
		f.Lose(at.Loss("these tls settings had no effect: port 80 is asked over plain http",
			"they have none here either"))
	}
	_, strict := h.Client.Transport.(*http.Transport)
	a.Scheme = "http"
	why := a.NeedsTLS()
	if !strict && why != "" {
		e.Notes = append(e.Notes, why)
	}
	f.uses.add(u)
	f.endpoint(e)
	if strict || why != "" {
		return
	}
	// containerd tries http if a host with http:// and tls settings speaks no TLS.
	plain := e
	plain.Written, plain.URL.Scheme = "http"+strings.TrimPrefix(e.Written, "https"), "http"
	if u.login != nil {
		f.Lose(at.Loss("with http and tls settings, "+u.host+" was asked over https, and over "+
			"http if it spoke no TLS; "+
			"a login is not sent over http where https will do",
			"it is asked over https only; if it speaks no TLS, write "+plain.Written+
				", remove its tls settings and set allowPlainHTTPCredentials: true"))
		return
	}
	if n := len(f.mirror.Endpoints); n > 0 {
		f.mirror.Endpoints[n-1].Notes = append(f.mirror.Endpoints[n-1].Notes,
			"With http and tls settings this host was asked over https first, "+
				"and over http if it spoke no TLS. Remove the one that it does not speak.")
	}
	f.endpoint(plain)
}

// endpoint adds e unless the same address is listed already.
func (f *hostsFile) endpoint(e draft.Endpoint) {
	if _, again := f.listed[config.NormalizeURL(e.URL)]; again {
		f.mirror.Notes = append(f.mirror.Notes, e.Written+" was asked twice, and is listed once.")
		return
	}
	f.listed[config.NormalizeURL(e.URL)] = len(f.mirror.Endpoints)
	// With and without override_path: in a hosts.toml the two need different names.
	other := e.URL
	other.OverridePath = !e.Override
	switch i, found := f.listed[config.NormalizeURL(other)]; {
	case !found || e.URL.Path != "":
	case e.Override:
		f.mirror.Endpoints[i].Written += "/v2"
		f.mirror.Endpoints[i].URL.Path = "/v2"
	default:
		e.Written, e.URL.Path = e.Written+"/v2", "/v2"
	}
	f.NoteEndpoint(e.URL)
	f.mirror.Endpoints = append(f.mirror.Endpoints, e)
}

// server adds the host that is asked last.
func (f *hostsFile) server(h docker.RegistryHost, root source.Cursor) {
	named := root.Fold("server").Text() != ""
	_, strict := h.Client.Transport.(*http.Transport)
	itself := !named || strict && path.Clean("/"+h.Path) == "/v2" &&
		(strings.ToLower(h.Host) == f.dir.upstream || f.dir.upstream == dockerhub.Name &&
			dockerhub.Is(strings.ToLower(h.Host)) && h.Scheme == "https")
	if !itself {
		f.add(h, root)
		f.mirror.Only = len(f.mirror.Endpoints) > 0
		return
	}
	all := draft.NameOf(f.dir.upstream)
	root.Fold("override_path") // without a server line it has no effect
	limits := root.Fold("capabilities")
	if !named && !limits.Absent() {
		f.Lose(limits.Loss("capabilities have no effect without a server line",
			"they have none here either"))
	}
	if pull, resolve := pulls(h); !pull || !resolve {
		switch {
		case pull == resolve && len(f.mirror.Endpoints) > 0:
			f.mirror.Only = true
			f.mirror.Notes = append(f.mirror.Notes,
				"The registry itself was not asked for pulls, by its capabilities.")
		default:
			f.Lose(limits.Loss("capabilities of the registry itself cannot be limited", all+
				" is asked for tags and for content"))
		}
	}
	if c := root.Fold("dial_timeout"); c.Text() != "" {
		f.Lose(c.Loss("a timeout for the registry itself has no counterpart",
			"containerd waits up to 30 s for it"))
	}
	u := hostUse{at: root, host: f.dir.upstream, upstream: f.dir.upstream,
		plain: h.Scheme == "http" && strict, tls: f.tls(root)}
	table := root.Fold("header")
	var headers []draft.Header
	if headers, u.login = f.headers(h, table, f.dir.upstream); len(headers) > 0 {
		f.Lose(table.Loss("Berth sends headers to the endpoints of mirrors only", all+
			" itself no longer gets them"))
	}
	switch {
	case f.dir.upstream == hostsconf.Default:
		if u.tls != (draft.TLS{}) || u.login != nil {
			f.Lose(root.Loss("certificates and a login for every registry without a directory "+
				"cannot be carried over: "+
				"Berth ties them to a host",
				"hosts without an entry of their own are asked without them; name each host "+
					"under registries"))
		}
		return
	case !named && hostport.IsLoopback(f.dir.upstream):
		u.tls, u.byRule = f.unverified(f.dir.upstream, u.tls), true
		if port := hostport.Port(f.dir.upstream); u.login != nil && (port == "" || port == "443") {
			u.tls.SkipVerify = true // without it a registry with a login is asked over http
		}
	case named && dockerhub.Is(h.Host) && h.Host != dockerhub.Server:
		f.mirror.Notes = append(f.mirror.Notes, fmt.Sprintf("containerd asked %s itself at the "+
			"end. Here it is %s.",
			source.Shown(h.Host), dockerhub.Server))
	}
	if named && (u.plain || hostport.IsLoopback(f.dir.upstream)) {
		r := f.Registry(f.dir.upstream, root)
		r.SetPlainHTTP(u.plain)
	}
	f.uses.add(u)
}
