package tables

import (
	"fmt"
	"net/textproto"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/berth-registry/berth/config/convert/draft"
	"github.com/berth-registry/berth/config/convert/source"
	"github.com/berth-registry/berth/hostsconf"
	"github.com/berth-registry/berth/internal/containerdconf"
	"github.com/berth-registry/berth/internal/dockerhub"
	"github.com/berth-registry/berth/internal/redact"
)

// Containerd reads a config.toml with the deprecated registry.mirrors, configs and auths.
// Types: https://github.com/containerd/containerd, internal/cri/config/config.go, in 1.x
// pkg/cri/config/config.go.
func Containerd(base *draft.Draft, root source.Cursor) {
	d := newReader(base)
	registry, ok := d.registryTable(root)
	if !ok {
		return
	}
	if imports := root.Get("imports"); !imports.Absent() {
		d.Note("The files that imports names were not read; convert each of them that has " +
			"registry settings.")
	}
	mirrors := d.readMirrors(registry.Get("mirrors"))
	d.readConfigs(registry.Get("configs"), "identitytoken")
	d.readAuths(registry.Get("auths"), "identitytoken")
	d.configPath(registry)
	d.placeMirrors(mirrors)
	d.Prune()
	d.spreadWildcard()
	d.headers(registry.Get("headers"))
	d.Unread(registry)
}

// registryTable returns the table with the registry settings.
func (d *reader) registryTable(root source.Cursor) (source.Cursor, bool) {
	d.version = 1 // default of containerd 1.x
	if v := root.Get("version"); !v.Absent() {
		n, err := strconv.Atoi(v.Text())
		if err != nil || n < 1 || n > 4 {
			v.Fail("must be 1, 2, 3 or 4; newer versions are not known here")
			return source.Cursor{}, false
		}
		d.version = n
	}
	plugins := root.Get("plugins")
	plugins.Mapping(`[plugins."` + containerdconf.TableV2 + `".registry]`)
	// containerd 2.x migrates older tables itself, so an old table in a newer file still counts.
	order := containerdconf.Tables(d.version)
	var found source.Cursor
	for _, name := range order {
		r := plugins.Get(name).Get("registry")
		switch {
		case r.Absent():
		case !r.Mapping("[" + r.Path + "]"):
			return source.Cursor{}, false
		case len(r.Value.Fields) == 0:
		case found.In == nil:
			found = r
			if name != order[0] && !(d.version >= 3 && name == containerdconf.TableV2) {
				d.noEffect = fmt.Sprintf("in a file of version %d containerd does not read %s",
					d.version, r.Path)
				d.Note("In a file of version %d containerd does not read %s; it had no effect, "+
					"and has one now.", d.version, r.Path)
			}
		default:
			d.LeaveOut(r, "registry settings are in more than one plugin",
				"only those of "+found.Path+" are carried over")
		}
	}
	if found.In == nil {
		d.RefuseEmpty("has no registry settings of the CRI plugin")
		return source.Cursor{}, false
	}
	return found, true
}

// configPath handles a config_path that is already set.
func (d *reader) configPath(registry source.Cursor) {
	c := registry.Get("config_path")
	paths := strings.FieldsFunc(c.Text(), func(r rune) bool { return r == filepath.ListSeparator })
	old := false
	for _, name := range []string{"mirrors", "configs", "auths"} {
		old = old || !registry.Get(name).Absent()
	}
	if old {
		d.Note("Afterwards remove mirrors, configs and auths from config.toml and set " +
			"config_path there; this takes one restart of containerd.")
	}
	if old {
		d.Note("A registry on this machine (localhost, 127.0.0.0/8, [::1]) was asked over http. " +
			"With config_path containerd asks one " +
			"without settings over https first, unverified, and over http only on another port " +
			"than 443; plainHTTP: true under registries keeps http.")
	}
	if len(paths) == 0 {
		return
	}
	if d.refusesConfigPath(registry) {
		d.Note("config_path was set beside mirrors or configs.….tls. containerd refuses that and " +
			"runs without its CRI plugin, so what follows was not in effect.")
	}
	d.Note("Files that are in config_path already are not Berth's: \"berth plan\" reports those " +
		"in the way, and onConflict: adopt takes them over.")
	dir := paths[0]
	if !filepath.IsAbs(dir) || filepath.Clean(dir) == "/" || !utf8.ValidString(dir) ||
		strings.ContainsFunc(dir, draft.IsControl) {
		d.Lose(c.Loss("is not an absolute path",
			"files are written to "+containerdconf.DefaultCertsDir+
				", and config_path has to name that"))
		return
	}
	if filepath.Clean(dir) != containerdconf.DefaultCertsDir {
		d.CertsDir = filepath.Clean(dir)
	}
	if len(paths) > 1 {
		d.Note("config_path names several directories. Newer releases of containerd then " +
			"silently ignore all of them; set it to the first alone.")
	}
}

// refusesConfigPath reports settings that containerd refuses beside a config_path
// (ValidateImageConfig; the tls tables in 1.x only).
func (d *reader) refusesConfigPath(registry source.Cursor) bool {
	if m := registry.Get("mirrors"); !m.Absent() && len(m.Value.Fields) > 0 {
		return true
	}
	if c := registry.Get("configs"); d.version < 3 && !c.Absent() {
		for _, f := range c.Value.Fields {
			if f.Value.Field("tls") != nil {
				return true
			}
		}
	}
	return false
}

// spreadWildcard keeps the "*" mirror for registries that are named only for their login or
// certificates. In containerd they still used it; in a RegistryConfig a named registry does not.
func (d *reader) spreadWildcard() {
	all := d.Mirror(hostsconf.Default)
	if all == nil {
		return
	}
	at := map[string]bool{}
	for _, e := range all.Endpoints {
		at[dockerhub.Canonical(e.URL.Host)] = true
	}
	for _, r := range d.Registries {
		host := draft.HostOnly(r.Host)
		if at[host] || d.Mirror(host) != nil || d.direct[host] {
			continue
		}
		d.AddMirror(&draft.Mirror{Upstream: host, Endpoints: all.Endpoints, Notes: []string{
			`A registry that is named below is taken out of "*"; this keeps the mirror in front ` +
				`of it, as containerd had it.`}})
		d.loopback(&foreignMirror{upstream: host, at: r.At}, false)
	}
}

// headers carries registry.headers over to the endpoints. containerd sent them to every registry,
// which has no counterpart.
func (d *reader) headers(table source.Cursor) {
	var all []draft.Header
	for _, c := range table.All(`[…registry.headers] with X-Name = ["value"]`) {
		h := draft.Header{Name: textproto.CanonicalMIMEHeaderKey(c.Name)}
		valid := draft.IsHeaderName(c.Name)
		for _, item := range c.Items(`X-Name = ["value"]`) {
			text := item.Text()
			valid = valid && utf8.ValidString(text) && !strings.ContainsFunc(text, draft.IsControl)
			h.Values = append(h.Values, redact.New(text))
		}
		switch {
		case len(h.Values) == 0:
		case h.Name == "Authorization":
			d.Lose(c.Loss("an Authorization header for every registry would give the login to "+
				"all of them",
				"write the login under registries, for the host that it belongs to"))
		case !valid:
			d.Lose(c.Loss("not a valid HTTP header", "it is sent to no registry"))
		default:
			all = append(all, h)
		}
	}
	sort.SliceStable(all, func(i, j int) bool { return all[i].Name < all[j].Name })
	all = draft.MergeHeaders(all)
	if len(all) == 0 {
		return
	}
	d.Lose(table.Loss("containerd sent these headers to every registry; Berth sends headers to "+
		"the endpoints of mirrors only",
		"registries that are asked directly, or behind their mirrors, no longer get them"))
	for _, m := range d.Mirrors {
		endpoints := make([]draft.Endpoint, len(m.Endpoints))
		for i, e := range m.Endpoints {
			e.Headers = all
			endpoints[i] = e
		}
		m.Endpoints = endpoints
	}
}
