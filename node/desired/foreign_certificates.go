package desired

import (
	"path"
	"strings"

	"github.com/berth-registry/berth/hostsconf"
	"github.com/berth-registry/berth/internal/hostport"
)

// addForeignCertificates adds to dir the foreign certificates that have an effect on its
// upstream today: containerd ignores them beside a hosts.toml that does not name them.
func (d *State) addForeignCertificates(dir *hostsconf.Directory) {
	if d.in.Foreign.Linked && dir.Upstream != hostsconf.Default && d.in.Foreign.For(dir.Upstream) == nil {
		d.notice(dir.Upstream, "_default is a symlink; certificates behind it are not carried over; "+
			"if %s needs them, set its tls.caFile under registries", dir.Upstream)
	}
	certificates := d.in.Foreign.For(dir.Upstream)
	if certificates == nil {
		return
	}
	names := strings.Join(certificates.Names(), ", ")
	dirPath := path.Join(d.certsDir, certificates.Dir)
	registry := hostport.TrimDefaultPort(hostsconf.UpstreamURL(dir.Upstream, false).Host, "https")
	isRegistry := func(u hostsconf.URL) bool {
		return u.Scheme == "https" && hostport.TrimDefaultPort(u.Host, "https") == registry
	}
	hosts := []*hostsconf.Host{dir.Server}
	for i := range dir.Hosts {
		hosts = append(hosts, &dir.Hosts[i])
	}
	used := dir.Server == nil
	if used {
		dir.Foreign = certificates
	}
	for _, h := range hosts {
		if h != nil && isRegistry(h.URL) {
			h.TLS.Foreign, used = certificates, true
		}
	}
	if !used {
		d.notice(dir.Upstream, "%s in %s have no effect beside this hosts.toml, because containerd does not ask %s itself over https",
			names, dirPath, dir.Upstream)
		return
	}
	d.notice(dir.Upstream, "%s in %s are named in hosts.toml, because containerd would ignore them otherwise; the files are not changed",
		names, dirPath)
	for i, t := range d.Targets {
		if (t.Upstream == dir.Upstream || t.Upstream == "") && isRegistry(t.Host.URL) {
			d.Targets[i].Host.TLS.Foreign = certificates
		}
	}
}
