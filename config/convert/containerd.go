package convert

import (
	"fmt"
	"net/textproto"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/berth-registry/berth/hostsconf"
	"github.com/berth-registry/berth/internal/containerdconf"
	"github.com/berth-registry/berth/internal/dockerhub"
	"github.com/berth-registry/berth/internal/redact"
)

// fromContainerd reads a config.toml with the deprecated registry.mirrors, configs and auths.
// Types: https://github.com/containerd/containerd, internal/cri/config/config.go, in 1.x
// pkg/cri/config/config.go.
func fromContainerd(base *draft, root cursor) {
	d := newTables(base)
	registry, ok := d.registryTable(root)
	if !ok {
		return
	}
	if imports := root.get("imports"); !imports.absent() {
		d.note("The files that imports names were not read; convert each of them that has registry settings.")
	}
	mirrors := d.readMirrors(registry.get("mirrors"))
	d.readConfigs(registry.get("configs"), "identitytoken")
	d.readAuths(registry.get("auths"), "identitytoken")
	d.configPath(registry)
	d.placeMirrors(mirrors)
	d.prune()
	d.spreadWildcard()
	d.headers(registry.get("headers"))
	d.unread(registry)
}

// registryTable returns the table with the registry settings.
func (d *tables) registryTable(root cursor) (cursor, bool) {
	d.version = 1 // default of containerd 1.x
	if v := root.get("version"); !v.absent() {
		n, err := strconv.Atoi(v.text())
		if err != nil || n < 1 || n > 4 {
			v.fail("must be 1, 2, 3 or 4; newer versions are not known here")
			return cursor{}, false
		}
		d.version = n
	}
	plugins := root.get("plugins")
	plugins.mapping(`[plugins."` + containerdconf.TableV2 + `".registry]`)
	// containerd 2.x migrates older tables itself, so an old table in a newer file still counts.
	order := containerdconf.Tables(d.version)
	var found cursor
	for _, name := range order {
		r := plugins.get(name).get("registry")
		switch {
		case r.absent():
		case !r.mapping("[" + r.path + "]"):
			return cursor{}, false
		case len(r.v.fields) == 0:
		case found.in == nil:
			found = r
			if name != order[0] && !(d.version >= 3 && name == containerdconf.TableV2) {
				d.noEffect = fmt.Sprintf("in a file of version %d containerd does not read %s", d.version, r.path)
				d.note("In a file of version %d containerd does not read %s; it had no effect, and has one now.", d.version, r.path)
			}
		default:
			d.leaveOut(r, "registry settings are in more than one plugin", "only those of "+found.path+" are carried over")
		}
	}
	if found.in == nil {
		d.refuseEmpty("has no registry settings of the CRI plugin")
		return cursor{}, false
	}
	return found, true
}

// configPath handles a config_path that is already set.
func (d *tables) configPath(registry cursor) {
	c := registry.get("config_path")
	paths := strings.FieldsFunc(c.text(), func(r rune) bool { return r == filepath.ListSeparator })
	old := false
	for _, name := range []string{"mirrors", "configs", "auths"} {
		old = old || !registry.get(name).absent()
	}
	if old {
		d.note("Afterwards remove mirrors, configs and auths from config.toml and set config_path there; this takes one restart of containerd.")
	}
	if old {
		d.note("A registry on this machine (localhost, 127.0.0.0/8, [::1]) was asked over http. With config_path containerd asks one " +
			"without settings over https first, unverified, and over http only on another port than 443; plainHTTP: true under registries keeps http.")
	}
	if len(paths) == 0 {
		return
	}
	if d.refusesConfigPath(registry) {
		d.note("config_path was set beside mirrors or configs.….tls. containerd refuses that and runs without its CRI plugin, so what follows was not in effect.")
	}
	d.note("Files that are in config_path already are not Berth's: \"berth plan\" reports those in the way, and onConflict: adopt takes them over.")
	dir := paths[0]
	if !filepath.IsAbs(dir) || filepath.Clean(dir) == "/" || !utf8.ValidString(dir) || strings.ContainsFunc(dir, isControl) {
		d.lose(c.loss("is not an absolute path", "files are written to "+containerdconf.DefaultCertsDir+", and config_path has to name that"))
		return
	}
	if filepath.Clean(dir) != containerdconf.DefaultCertsDir {
		d.certsDir = filepath.Clean(dir)
	}
	if len(paths) > 1 {
		d.note("config_path names several directories. Newer releases of containerd then silently ignore all of them; set it to the first alone.")
	}
}

// refusesConfigPath reports settings that containerd refuses beside a config_path
// (ValidateImageConfig; the tls tables in 1.x only).
func (d *tables) refusesConfigPath(registry cursor) bool {
	if m := registry.get("mirrors"); !m.absent() && len(m.v.fields) > 0 {
		return true
	}
	if c := registry.get("configs"); d.version < 3 && !c.absent() {
		for _, f := range c.v.fields {
			if f.value.field("tls") != nil {
				return true
			}
		}
	}
	return false
}

// spreadWildcard keeps the "*" mirror for registries that are named only for their login or
// certificates. In containerd they still used it; in a RegistryConfig a named registry does not.
func (d *tables) spreadWildcard() {
	all := d.mirror(hostsconf.Default)
	if all == nil {
		return
	}
	at := map[string]bool{}
	for _, e := range all.endpoints {
		at[dockerhub.Canonical(e.url.Host)] = true
	}
	for _, r := range d.registries {
		host := hostOnly(r.host)
		if at[host] || d.mirror(host) != nil || d.direct[host] {
			continue
		}
		d.addMirror(&mirror{upstream: host, endpoints: all.endpoints, notes: []string{
			`A registry that is named below is taken out of "*"; this keeps the mirror in front of it, as containerd had it.`}})
		d.loopback(&foreignMirror{upstream: host, at: r.at}, false)
	}
}

// headers carries registry.headers over to the endpoints. containerd sent them to every registry,
// which has no counterpart.
func (d *tables) headers(table cursor) {
	var all []header
	for _, c := range table.all(`[…registry.headers] with X-Name = ["value"]`) {
		h := header{name: textproto.CanonicalMIMEHeaderKey(c.name)}
		valid := isHeaderName(c.name)
		for _, item := range c.items(`X-Name = ["value"]`) {
			text := item.text()
			valid = valid && utf8.ValidString(text) && !strings.ContainsFunc(text, isControl)
			h.values = append(h.values, redact.New(text))
		}
		switch {
		case len(h.values) == 0:
		case h.name == "Authorization":
			d.lose(c.loss("an Authorization header for every registry would give the login to all of them",
				"write the login under registries, for the host that it belongs to"))
		case !valid:
			d.lose(c.loss("not a valid HTTP header", "it is sent to no registry"))
		default:
			all = append(all, h)
		}
	}
	sort.SliceStable(all, func(i, j int) bool { return all[i].name < all[j].name })
	all = mergeHeaders(all)
	if len(all) == 0 {
		return
	}
	d.lose(table.loss("containerd sent these headers to every registry; Berth sends headers to the endpoints of mirrors only",
		"registries that are asked directly, or behind their mirrors, no longer get them"))
	for _, m := range d.mirrors {
		endpoints := make([]endpoint, len(m.endpoints))
		for i, e := range m.endpoints {
			e.headers = all
			endpoints[i] = e
		}
		m.endpoints = endpoints
	}
}
