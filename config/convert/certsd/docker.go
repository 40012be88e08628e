package certsd

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"path"
	"path/filepath"
	"slices"
	"strings"

	yaml "go.yaml.in/yaml/v3"

	"github.com/berth-registry/berth/config"
	"github.com/berth-registry/berth/config/convert/draft"
	"github.com/berth-registry/berth/config/convert/source"
	"github.com/berth-registry/berth/hostsconf"
	"github.com/berth-registry/berth/internal/dockerhub"
	"github.com/berth-registry/berth/internal/hostport"
	"github.com/berth-registry/berth/internal/redact"
)

// daemonJSON is the name of dockerd's config file.
const daemonJSON = "daemon.json"

// DockerDirectory reads Docker's directory: daemon.json, certs.d, or both.
func DockerDirectory(base *draft.Draft, name string, tree fs.FS) {
	d := &reader{Draft: base}
	abs, err := filepath.Abs(name)
	if err != nil {
		d.In.FailAt(0, 0, "", err.Error())
		return
	}
	data, err := readRegular(tree, daemonJSON)
	isMissing := errors.Is(err, fs.ErrNotExist)
	if err != nil && !isMissing {
		d.In.FailAt(0, 0, "", daemonJSON+" cannot be read: "+err.Error())
		return
	}
	if _, err := fs.Stat(tree, "certs.d"); err == nil {
		d.addDirectories(d.readDirectories(tree, "certs.d", filepath.Join(abs, "certs.d")))
	} else if isMissing {
		d.addDirectories(d.readDirectories(tree, ".", abs))
	}
	if isMissing {
		d.placeUses()
		return
	}
	in := d.In.Below(daemonJSON)
	in.TOML = false
	if root := source.JSON(in, data); root != nil {
		d.readDaemon(source.Cursor{In: in, Value: root})
	}
	d.In.Errors = append(d.In.Errors, in.Errors...)
}

// DockerDaemon reads dockerd's daemon.json alone.
func DockerDaemon(base *draft.Draft, root source.Cursor) {
	d := &reader{Draft: base}
	d.readDaemon(root)
}

// readDaemon reads dockerd's daemon.json: daemon/config, daemon/pkg/registry and daemon/hosts.go in
// https://github.com/moby/moby.
func (d *reader) readDaemon(root source.Cursor) {
	if !root.Mapping(`{"registry-mirrors": ["https://mirror.corp"]}`) {
		return
	}
	d.Note("Docker used registry-mirrors for Docker Hub alone, and so does this. " +
		"Its logins are not in this file: dockerConfigFile can name the config.json of docker " +
		"login.")
	insecure := d.insecure(root.Get("insecure-registries"))
	for _, host := range d.uses.hosts {
		insecure.know(host)
	}
	d.dockerMirrors(root.Get("registry-mirrors"), insecure)
	d.insecureRegistries(insecure)
	d.dockerProxy(root)
	d.placeUses()
	for _, k := range []struct{ name, what, effect string }{
		{"max-concurrent-downloads",
			"how many downloads run at once is not part of a RegistryConfig",
			"for containerd write max_concurrent_downloads in its config.toml"},
		{"max-download-attempts", "how often a download is tried is not part of a RegistryConfig",
			"kubelet and containerd repeat a pull by their own rules"},
		{"allow-nondistributable-artifacts",
			"it is about pushes, which a RegistryConfig does not have", "pulls are the same"},
	} {
		if c := root.Get(k.name); !c.Absent() {
			c.Skip()
			d.Lose(c.Loss(k.what, k.effect))
		}
	}
	if c := root.Get("features").Get("containerd-snapshotter"); !c.Absent() {
		d.Note("features.containerd-snapshotter says whether Docker uses containerd's image " +
			"store. With it Docker also reads hosts.toml files below its own certs.d.")
	}
	others := false
	for _, f := range root.Value.Fields {
		if !f.Read && aboutRegistries(f.Name) {
			c := source.Cursor{In: root.In, Value: f.Value, Path: root.In.Join("", f.Name),
				Name: f.Name, Line: f.Line, Column: f.Column}
			d.LeaveOut(c, "is not a field that Docker knows",
				"dockerd does not start with it; check its spelling")
		} else if !f.Read || f.Name == "features" {
			others = true
		}
	}
	if others {
		d.Note("The other settings of %s have nothing to do with where images come from; they "+
			"stay where they are.", daemonJSON)
	}
}

// aboutRegistries reports whether an unknown field may be a misspelled one about registries.
func aboutRegistries(name string) bool {
	return source.IsFieldName(name) &&
		slices.ContainsFunc([]string{"regist", "mirror", "insecure", "prox"},
			func(part string) bool { return strings.Contains(strings.ToLower(name), part) })
}

// insecureList is insecure-registries: registries and networks that Docker does not verify.
type insecureList struct {
	at        []source.Cursor
	hosts     []string // by index of at
	networks  []netip.Prefix
	networkAt []source.Cursor // by index of networks
}

func (d *reader) insecure(list source.Cursor) *insecureList {
	l := &insecureList{}
	for _, c := range list.Items(`["registry.corp:5000"]`) {
		written := c.Text()
		if scheme, rest, ok := strings.Cut(written, "://"); ok &&
			(scheme == "http" || scheme == "https") {
			written = rest // Docker drops it with a warning
		}
		if network, err := netip.ParsePrefix(written); err == nil {
			l.networks, l.networkAt = append(l.networks, network.Masked()), append(l.networkAt, c)
			if addr := network.Addr(); !addr.IsLoopback() {
				d.Lose(c.Loss("a range of addresses cannot be written: Berth ties settings to a "+
					"host",
					"registries in it are verified, unless this file names them elsewhere; write "+
						"tls: {insecureSkipVerify: true} for each that needs it"))
			}
			continue
		}
		a, err := draft.ParseAddress(written)
		if err == nil && !a.Plain() {
			err = errors.New("is more than host[:port]")
		}
		switch {
		case err != nil:
			d.Lose(c.Loss("the name "+err.Error(), "dockerd refuses it; write host[:port]"))
		case dockerhub.Is(a.Host):
			d.Lose(c.Loss("Docker Hub is always verified here",
				"nothing needs to be written for it"))
		case slices.Contains(l.hosts, a.Host):
		default:
			l.at, l.hosts = append(l.at, c), append(l.hosts, a.Host)
		}
	}
	return l
}

// know adds a host whose address is in one of the networks.
func (l *insecureList) know(host string) {
	addr, err := netip.ParseAddr(hostport.Host(host))
	if err != nil || addr.IsLoopback() || slices.Contains(l.hosts, host) {
		return
	}
	if i := slices.IndexFunc(l.networks,
		func(n netip.Prefix) bool { return n.Contains(addr.Unmap()) }); i >= 0 {
		l.at, l.hosts = append(l.at, l.networkAt[i]), append(l.hosts, host)
	}
}

// includes reports whether Docker does not verify a host. Names are not resolved.
func (l *insecureList) includes(host string) bool {
	l.know(host)
	return hostport.IsLoopback(host) || slices.Contains(l.hosts, host)
}

// dockerMirrors reads registry-mirrors. Docker adds /v2 to a path without it
// (mirrorsToRegistryHosts).
func (d *reader) dockerMirrors(list source.Cursor, insecure *insecureList) {
	const example = `["https://mirror.corp"]`
	if m := d.Mirror(dockerhub.Name); m != nil && !list.Empty() {
		d.LeaveOut(list, "with its image store of containerd Docker uses the hosts.toml of "+
			"docker.io instead, with the older one only these",
			"those of the hosts.toml are used")
		return
	}
	m := &draft.Mirror{Upstream: dockerhub.Name}
	var unverified []string
	for _, c := range list.Items(example) {
		a, err := draft.ParseAddress(c.Text())
		if err == nil && (a.Scheme == "" || a.Ignored != "") {
			err = errors.New("has no scheme, or a login, a query or a fragment, and dockerd " +
				"refuses it")
		}
		e := draft.Endpoint{}
		if err == nil {
			if why := a.NeedsTLS(); why != "" {
				a.Scheme, e.Notes = "https", append(e.Notes, why)
			}
			literal := path.Clean("/" + a.Path)
			if !strings.HasSuffix(literal, "/v2") {
				literal = path.Join(literal, "v2")
			} else {
				e.Notes = append(e.Notes, "Docker's older image store asked this address with "+
					"another /v2 at the end.")
			}
			e.Written, e.Override, e.URL, err = draft.LiteralURL(a.Scheme, a.Host, literal)
		}
		repeats := func(o draft.Endpoint) bool {
			return config.NormalizeURL(o.URL) == config.NormalizeURL(e.URL)
		}
		switch {
		case err != nil:
			d.Lose(c.Loss("the mirror's address "+err.Error(),
				"images are not looked for there; write https://host[:port]"))
			continue
		case dockerhub.Is(a.Host) && e.URL.APIPath() == "/v2":
			m.Notes = append(m.Notes, "Docker Hub itself was one of the mirrors; it is asked at "+
				"the end in any case.")
			continue
		case slices.ContainsFunc(m.Endpoints, repeats):
			continue
		}
		u := hostUse{at: c, host: e.URL.Host, upstream: dockerhub.Name,
			plain: e.URL.Scheme == "http"}
		if !u.plain {
			u.tls = d.dockerTLS(u.host, insecure, m)
		}
		if insecure.includes(u.host) {
			unverified = append(unverified, u.host)
		}
		d.uses.add(u)
		d.NoteEndpoint(e.URL)
		m.Endpoints = append(m.Endpoints, e)
	}
	if len(unverified) > 0 {
		m.Notes = append(m.Notes, "Docker did not verify "+strings.Join(unverified, ", ")+
			". With its image store of containerd it then verified no host here, "+
			"Docker Hub included, and tried http at a host that speaks no TLS. Here only hosts "+
			"with insecureSkipVerify are not verified, and none is asked over both.")
	}
	if len(m.Endpoints) > 0 {
		d.AddMirror(m)
	}
}

// dockerTLS returns the tls settings of a host that is a mirror of Docker Hub.
func (d *reader) dockerTLS(host string, insecure *insecureList, m *draft.Mirror) draft.TLS {
	t := draft.TLS{}
	if own := d.uses.own(host); own != nil {
		t = own.tls
	}
	if insecure.includes(host) {
		return draft.TLS{Cert: t.Cert, Key: t.Key, SkipVerify: true}
	}
	if t != (draft.TLS{}) {
		m.Notes = append(m.Notes, fmt.Sprintf("The certificates in certs.d for %s are those that "+
			"Docker's older image store used for it as a mirror; "+
			"its image store of containerd did not.", host))
	}
	return t
}

// insecureRegistries writes the registries that Docker asks over https without verification, and
// over http if that fails.
func (d *reader) insecureRegistries(l *insecureList) {
	if len(l.hosts) > 0 {
		d.Note("Docker asked the registries of insecure-registries over https without " +
			"verification, and over http if that failed. So each has two endpoints: " +
			"remove the one that it does not speak. If it has a certificate, name the authority " +
			"in tls.caFile in place of insecureSkipVerify.")
	}
	for i, host := range l.hosts {
		c := l.at[i]
		switch {
		case hostport.IsLoopback(host):
			d.Note("%s: Docker and containerd do not verify a registry on this machine, so "+
				"nothing is written for it.", host)
			continue
		case d.Mirror(host) != nil:
			d.Lose(c.Loss(host+" has a hosts.toml with mirrors, beside which Docker does not use "+
				"this",
				"the hosts.toml is used"))
			continue
		}
		r, own := d.Registry(host, c), d.uses.own(host)
		if own == nil {
			d.uses.add(hostUse{at: c, host: host, upstream: host})
			own = d.uses.own(host)
		}
		if own.tls.CA != "" {
			r.Note("The certificate authority in certs.d is left out: Docker did not verify this "+
				"registry. "+
				"To verify it, write caFile: %s in place of insecureSkipVerify.",
				source.Shown(own.tls.CA))
		}
		own.tls.CA, own.tls.SkipVerify = "", true
		m := &draft.Mirror{Upstream: host, Only: true}
		for _, scheme := range []string{"https", "http"} {
			if scheme == "http" && draft.IsECR(host) {
				r.Note("Docker tried http, too. Here it does not: a token of ECR is never sent " +
					"unencrypted.")
				m = nil
				break
			}
			written := scheme + "://" + host
			u, err := hostsconf.ParseURL(written, false)
			if err != nil {
				d.Lose(c.Loss("the name "+err.Error(), "it is left out; write host[:port]"))
				m = nil
				break
			}
			m.Endpoints = append(m.Endpoints, draft.Endpoint{Written: written, URL: u})
			d.NoteEndpoint(u)
		}
		if m != nil {
			d.AddMirror(m)
		}
	}
}

// dockerProxy reads the proxies of the daemon, whose addresses may hold a password.
func (d *reader) dockerProxy(root source.Cursor) {
	proxies := root.Get("proxies")
	proxies.Mapping(`{"https-proxy": "http://proxy.corp:3128"}`)
	for _, p := range []struct{ docker, berth string }{
		{"http-proxy", "httpProxy"}, {"https-proxy", "httpsProxy"}, {"no-proxy", "noProxy"},
	} {
		c, flat := proxies.Get(p.docker), root.Get(p.docker)
		if c.Absent() && !flat.Absent() {
			c = flat
			d.Note("dockerd reads %s below proxies only; here it has an effect.", p.docker)
		}
		value := c.Text()
		if value == "" {
			continue
		}
		if !acceptsProxy(p.berth, value) {
			d.Lose(c.Loss("is not a value that a proxy setting can have; it is not repeated, "+
				"because it may hold a password",
				"no such proxy is used; write http://host:port"))
			continue
		}
		d.Proxy = append(d.Proxy, draft.ProxySetting{Name: p.berth, Value: redact.New(value)})
	}
	if !proxies.Absent() {
		proxies.Value.Login = true
	}
	d.Unread(proxies)
}

// acceptsProxy reports whether a RegistryConfig may have this proxy setting.
func acceptsProxy(field, value string) bool {
	document, err := yaml.Marshal(map[string]any{"apiVersion": config.APIVersion,
		"kind": config.Kind, "proxy": map[string]string{field: value}})
	if err != nil {
		return false
	}
	_, _, err = config.Parse("proxy", document)
	return err == nil
}
