package convert

import (
	"fmt"
	"net/http"
	"net/textproto"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/containerd/containerd/v2/core/remotes/docker"

	"github.com/berth-registry/berth/config"
	"github.com/berth-registry/berth/hostsconf"
	"github.com/berth-registry/berth/internal/dockerhub"
	"github.com/berth-registry/berth/internal/hostport"
	"github.com/berth-registry/berth/internal/redact"
)

// hostsFile is one hosts.toml. Which hosts are asked, in which order and how, is what containerd's
// own package reads; the tables give positions, and the names of certificates.
type hostsFile struct {
	*certs
	dir    registryDirectory
	mirror mirror
	listed map[string]int // endpoints by address
}

// addHostsFile adds the hosts of a hosts.toml to the draft. used is false if containerd ignores the
// file and reads the certificates beside it.
func (d *certs) addHostsFile(r registryDirectory) (used bool) {
	content, err := hostsconf.ReadContent(r.upstream, r.hosts)
	file := cursor{in: r.in}
	images := "images of " + nameOf(r.upstream)
	switch {
	case err != nil:
		d.lose(file.loss("containerd fails each pull: "+err.Error(), "nothing of it is carried over"))
		return true
	case content.Ignored != nil:
		d.lose(file.loss("containerd ignores this file: "+content.Ignored.Error(),
			images+" come from the registry itself, as before; correct the file and convert it again"))
		return false
	}
	root := cursor{in: r.in, v: readTOML(r.in, r.hosts)}
	if content.Differences != "" && !root.empty() {
		d.lose(file.loss("releases of containerd read this file differently: "+content.Differences, "the result does what the newest release does"))
	}
	f := &hostsFile{certs: d, dir: r, mirror: mirror{upstream: r.upstream}, listed: map[string]int{}}
	tables := root.get("host").all("[host.\"https://mirror.corp\"]")
	for i, c := range tables {
		if redact.Address(c.name) != c.name {
			tables[i].path = "host" // the name may hold a secret
		}
	}
	byHost, seen := map[string][]cursor{}, map[*value]bool{}
	for _, c := range tables {
		if a, err := split(c.name); err == nil {
			byHost[a.host] = append(byHost[a.host], c)
		}
	}
	last := len(content.Hosts) - 1
	for _, h := range content.Hosts[:last] {
		at := matching(byHost[strings.ToLower(h.Host)], seen, h)
		seen[at.v] = true
		f.add(h, at)
	}
	for _, c := range tables {
		if seen[c.v] {
			continue
		}
		d.leaveOut(c, "containerd does not see this host: it reads tables with a header of their own, [host.\"https://mirror.corp\"]",
			images+" are not looked for there")
	}
	f.server(content.Hosts[last], root)
	for _, c := range tables {
		d.unread(c)
	}
	root.get("host").skip()
	d.unread(root)
	if n := len(f.mirror.endpoints); n > 0 {
		m := f.mirror
		if u := m.endpoints[n-1].url; !m.only && u.APIPath() == "/v2" && dockerhub.Canonical(u.Host) == m.upstream {
			m.notes = append(m.notes, "The last endpoint is the registry itself. It is not asked once more after that.")
		}
		d.addMirror(&m)
	}
	return true
}

// matching returns the table of a host among those with its name, as far as the tables' names show it.
func matching(tables []cursor, seen map[*value]bool, h docker.RegistryHost) cursor {
	best, points := cursor{}, 0
	for _, c := range tables {
		a, err := split(c.name)
		if err != nil || seen[c.v] {
			continue
		}
		n := 1
		if p := path.Clean("/" + a.path); p == path.Clean("/"+h.Path) || path.Clean(p+"/v2") == path.Clean("/"+h.Path) {
			n += 2
		}
		if orHTTPS(a.scheme) == h.Scheme {
			n++
		}
		if n > points {
			best, points = c, n
		}
	}
	return best
}

// add adds a host as an endpoint.
func (f *hostsFile) add(h docker.RegistryHost, at cursor) {
	if at.in == nil {
		at.in = f.dir.in
	}
	pull, resolve := h.Capabilities.Has(docker.HostCapabilityPull), h.Capabilities.Has(docker.HostCapabilityResolve)
	if !pull && !resolve {
		f.leaveOut(at, "this host is asked for pushes only, which a RegistryConfig does not have", "pulls are the same")
		return
	}
	e := endpoint{}
	a := address{scheme: h.Scheme, host: strings.ToLower(h.Host)}
	if why := a.needsTLS(); why != "" {
		h.Scheme = "https"
		e.notes = append(e.notes, why)
	}
	if dockerhub.Is(h.Host) && h.Host != dockerhub.Server {
		e.notes = append(e.notes, "containerd asked "+h.Host+" itself here. Here it is "+dockerhub.Server+".")
	}
	var err error
	if e.written, e.override, e.url, err = literalURL(h.Scheme, h.Host, h.Path); h.Path == "" || h.Path == "/" {
		e.override = true // no /v2 at all
		e.url, err = hostsconf.ParseURL(e.written, true)
	}
	if err != nil {
		f.leaveOut(at, "the address of this host "+err.Error(), "images of "+nameOf(f.dir.upstream)+" are not looked for there")
		return
	}
	at.fold("override_path") // it is in the path that containerd read
	f.capabilities(&e, h, at.fold("capabilities"))
	f.dialTimeout(&e, at.fold("dial_timeout"))
	u := hostUse{at: at, host: e.url.Host, upstream: f.dir.upstream, plain: e.url.Scheme == "http"}
	e.headers, u.login = f.headers(h, at.fold("header"), e.url.Host)
	u.tls = f.tls(at)
	if u.plain && u.tls != (tlsFiles{}) {
		f.lose(at.loss("these tls settings had no effect: port 80 is asked over plain http", "they have none here either"))
	}
	_, strict := h.Client.Transport.(*http.Transport)
	a.scheme = "http"
	why := a.needsTLS()
	if !strict && why != "" {
		e.notes = append(e.notes, why)
	}
	f.uses.add(u)
	f.endpoint(e)
	if strict || why != "" {
		return
	}
	// containerd tries http if a host with http:// and tls settings speaks no TLS.
	plain := e
	plain.written, plain.url.Scheme = "http"+strings.TrimPrefix(e.written, "https"), "http"
	if u.login != nil {
		f.lose(at.loss("with http and tls settings, "+u.host+" was asked over https, and over http if it spoke no TLS; "+
			"a login is not sent over http where https will do", "it is asked over https only; if it speaks no TLS, write "+plain.written+
			", remove its tls settings and set allowPlainHTTPCredentials: true"))
		return
	}
	if n := len(f.mirror.endpoints); n > 0 {
		f.mirror.endpoints[n-1].notes = append(f.mirror.endpoints[n-1].notes,
			"With http and tls settings this host was asked over https first, "+
				"and over http if it spoke no TLS. Remove the one that it does not speak.")
	}
	f.endpoint(plain)
}

// endpoint adds e unless the same address is listed already.
func (f *hostsFile) endpoint(e endpoint) {
	if _, again := f.listed[config.NormalizeURL(e.url)]; again {
		f.mirror.notes = append(f.mirror.notes, e.written+" was asked twice, and is listed once.")
		return
	}
	f.listed[config.NormalizeURL(e.url)] = len(f.mirror.endpoints)
	// With and without override_path: in a hosts.toml the two need different names.
	other := e.url
	other.OverridePath = !e.override
	switch i, found := f.listed[config.NormalizeURL(other)]; {
	case !found || e.url.Path != "":
	case e.override:
		f.mirror.endpoints[i].written += "/v2"
		f.mirror.endpoints[i].url.Path = "/v2"
	default:
		e.written, e.url.Path = e.written+"/v2", "/v2"
	}
	f.noteEndpoint(e.url)
	f.mirror.endpoints = append(f.mirror.endpoints, e)
}

// capabilities carries over the capabilities of a host.
func (f *hostsFile) capabilities(e *endpoint, h docker.RegistryHost, at cursor) {
	if at.empty() || len(at.v.items) == 0 {
		f.uses.pushed = true
		return
	}
	for _, c := range []struct {
		is   docker.HostCapabilities
		name string
	}{{docker.HostCapabilityPull, "pull"}, {docker.HostCapabilityResolve, "resolve"}, {docker.HostCapabilityPush, "push"}} {
		if h.Capabilities.Has(c.is) {
			e.capabilities = append(e.capabilities, c.name)
		}
	}
	if slices.Equal(e.capabilities, []string{"pull", "resolve"}) {
		e.capabilities = nil
	}
	if h.Capabilities.Has(docker.HostCapabilityReferrers) {
		f.lose(at.loss("referrers has no counterpart: containerd before 2.2 ignores a file with it",
			"this host is not asked for referrers; pulls are the same"))
	}
}

func (f *hostsFile) dialTimeout(e *endpoint, at cursor) {
	if at.text() == "" {
		f.uses.slow = f.uses.slow || e.url.Scheme == "https"
		return
	}
	// containerd's package has read it.
	switch timeout, err := time.ParseDuration(at.text()); {
	case err != nil || timeout <= 0 || timeout > 5*time.Minute:
		f.lose(at.loss("a timeout must be more than 0 and at most 5m", "it is the 2 s that an endpoint has without dialTimeout"))
	case e.url.Scheme == "http":
		f.lose(at.loss("a timeout for http is not carried over: with one some releases of containerd try https",
			"containerd waits up to 30 s for this host"))
	default:
		e.dialTimeout = config.Duration(timeout).String()
	}
}

// headers returns the headers of a host without the login, and the login.
func (f *hostsFile) headers(h docker.RegistryHost, table cursor, host string) (all []header, found *login) {
	for _, c := range table.all("[host.\"https://mirror.corp\".header]") {
		values := h.Header[c.name]
		name := textproto.CanonicalMIMEHeaderKey(c.name)
		c.skip()
		if name == "Authorization" {
			if l := f.authorization(c, host, values); l != nil {
				found = l
			}
			continue
		}
		valid := len(values) > 0 && isHeaderName(c.name)
		var secrets []redact.Secret
		for _, v := range values {
			valid = valid && utf8.ValidString(v) && !strings.ContainsFunc(v, isControl)
			secrets = append(secrets, redact.New(v))
		}
		if !valid {
			c.path = table.path // the name may hold a secret
			f.lose(c.loss("not a valid HTTP header", "it is not sent"))
			continue
		}
		all = append(all, header{name: name, values: secrets})
	}
	slices.SortStableFunc(all, func(a, b header) int { return strings.Compare(a.name, b.name) })
	return mergeHeaders(all), found
}

// authorization returns the login in an Authorization header, nil if it is not one.
func (f *hostsFile) authorization(c cursor, host string, values []string) *login {
	r := &registry{host: host}
	if len(values) == 1 && len(values[0]) > 6 && strings.EqualFold(values[0][:6], "Basic ") {
		if user, password, ok := decodeAuth(strings.TrimSpace(values[0][6:])); ok {
			f.setLogin(c, r, user, password)
			return r.login
		}
	}
	f.lose(c.loss("an Authorization header that is not a Basic login cannot be carried over: Berth logs in with a username and a password",
		noLogin+"; create an access token and write it under registries"))
	return nil
}

// tls returns the tls settings of the table at.
func (f *hostsFile) tls(at cursor) tlsFiles {
	ca := files(at.fold("ca"), f.dir.path)
	var client [][2]string
	if c := at.fold("client"); !c.absent() {
		if c.v.kind == scalar {
			client = append(client, [2]string{files(c, f.dir.path)[0]})
		}
		for _, item := range c.v.items {
			pair := [2]string{}
			copy(pair[:], files(cursor{in: c.in, v: item}, f.dir.path))
			client = append(client, pair)
		}
	}
	t := f.tlsOf(at, ca, client)
	t.skipVerify = at.fold("skip_verify").boolValue()
	return t
}

// files returns the paths in a string or a list of strings. A relative one is below dir.
func files(c cursor, dir string) (all []string) {
	if c.absent() {
		return nil
	}
	for _, v := range append(slices.Clone(c.v.items), c.v) {
		if v.kind == scalar && filepath.IsAbs(v.text) {
			all = append(all, v.text)
		} else if v.kind == scalar {
			all = append(all, filepath.Join(dir, v.text))
		}
	}
	return all
}

// server adds the host that is asked last.
func (f *hostsFile) server(h docker.RegistryHost, root cursor) {
	named := root.fold("server").text() != ""
	_, strict := h.Client.Transport.(*http.Transport)
	itself := !named || strict && path.Clean("/"+h.Path) == "/v2" &&
		(strings.ToLower(h.Host) == f.dir.upstream || f.dir.upstream == dockerhub.Name && dockerhub.Is(strings.ToLower(h.Host)) && h.Scheme == "https")
	if !itself {
		f.add(h, root)
		f.mirror.only = len(f.mirror.endpoints) > 0
		return
	}
	all := nameOf(f.dir.upstream)
	root.fold("override_path") // without a server line it has no effect
	limits := root.fold("capabilities")
	if !named && !limits.absent() {
		f.lose(limits.loss("capabilities have no effect without a server line", "they have none here either"))
	}
	if pull, resolve := h.Capabilities.Has(docker.HostCapabilityPull), h.Capabilities.Has(docker.HostCapabilityResolve); !pull || !resolve {
		switch {
		case pull == resolve && len(f.mirror.endpoints) > 0:
			f.mirror.only = true
			f.mirror.notes = append(f.mirror.notes, "The registry itself was not asked for pulls, by its capabilities.")
		default:
			f.lose(limits.loss("capabilities of the registry itself cannot be limited", all+" is asked for tags and for content"))
		}
	}
	if c := root.fold("dial_timeout"); c.text() != "" {
		f.lose(c.loss("a timeout for the registry itself has no counterpart", "containerd waits up to 30 s for it"))
	}
	u := hostUse{at: root, host: f.dir.upstream, upstream: f.dir.upstream, plain: h.Scheme == "http" && strict, tls: f.tls(root)}
	table := root.fold("header")
	var headers []header
	if headers, u.login = f.headers(h, table, f.dir.upstream); len(headers) > 0 {
		f.lose(table.loss("Berth sends headers to the endpoints of mirrors only", all+" itself no longer gets them"))
	}
	switch {
	case f.dir.upstream == hostsconf.Default:
		if u.tls != (tlsFiles{}) || u.login != nil {
			f.lose(root.loss("certificates and a login for every registry without a directory cannot be carried over: "+
				"Berth ties them to a host",
				"hosts without an entry of their own are asked without them; name each host under registries"))
		}
		return
	case !named && hostport.IsLoopback(f.dir.upstream):
		u.tls, u.byRule = f.unverified(f.dir.upstream, u.tls), true
		if port := hostport.Port(f.dir.upstream); u.login != nil && (port == "" || port == "443") {
			u.tls.skipVerify = true // without it a registry with a login is asked over http
		}
	case named && dockerhub.Is(h.Host) && h.Host != dockerhub.Server:
		f.mirror.notes = append(f.mirror.notes, fmt.Sprintf("containerd asked %s itself at the end. Here it is %s.",
			shown(h.Host), dockerhub.Server))
	}
	if named && (u.plain || hostport.IsLoopback(f.dir.upstream)) {
		r := f.registry(f.dir.upstream, root)
		r.setPlainHTTP(u.plain)
	}
	f.uses.add(u)
}
