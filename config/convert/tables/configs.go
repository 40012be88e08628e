package tables

import (
	"github.com/berth-registry/berth/config/convert/draft"
	"github.com/berth-registry/berth/config/convert/source"
	"github.com/berth-registry/berth/hostsconf"
	"github.com/berth-registry/berth/internal/dockerhub"
	"github.com/berth-registry/berth/internal/hostport"
)

// readConfigs reads the configs table, which k3s and containerd have in common.
func (d *reader) readConfigs(table source.Cursor, identityToken string) {
	authOrTLS := d.In.Example("auth: or tls:", "auth or tls tables")
	example := "the registry's host[:port], and below it " + authOrTLS
	for _, c := range d.configEntries(table, example) {
		a, r := d.configHost(c)
		if r == nil || !c.Mapping(authOrTLS) {
			continue
		}
		auth, tls := c.Get("auth"), c.Get("tls")
		// k3s creates a directory for a host with either of them.
		r.Named = r.Named || d.Format != draft.Containerd && (!auth.Absent() || !tls.Absent())
		d.credentials(auth, identityToken, r)
		d.noteUnusedLogin(a, r)
		if !tls.Absent() {
			d.placeTLS(tls, d.tls(tls), a, r)
		}
	}
}

// configEntries returns the entries of a configs table that name a registry. Of several names of
// Docker Hub, the one that the program looks up counts.
func (d *reader) configEntries(table source.Cursor, example string) []source.Cursor {
	hub := !table.Get(dockerhub.Server).Absent()
	var entries []source.Cursor
	d.mentionsHub = d.mentionsHub || !table.Get(dockerhub.Name).Absent()
	for _, c := range table.All(example) {
		a, err := draft.ParseAddress(c.Name)
		switch {
		case c.Name == hostsconf.Default:
			d.LeaveOut(c, `logins and certificates for "*" have no counterpart: Berth ties them `+
				`to a host`,
				"hosts without an entry of their own are asked without them; name each host")
		case err == nil && hub && c.Name != dockerhub.Server && a.RegistryName() == dockerhub.Name:
			d.LeaveOut(c, "a second entry for Docker Hub",
				"only that of "+dockerhub.Server+
					" is used, which is the name that containerd looked up")
		default:
			entries = append(entries, c)
		}
	}
	return entries
}

// configHost returns the registry that a key of configs or auths names, nil if it names none or
// one that an earlier key named.
func (d *reader) configHost(c source.Cursor) (draft.Address, *draft.Registry) {
	a, err := draft.ParseAddress(c.Name)
	if err != nil {
		d.LeaveOut(c, "this "+err.Error(),
			"its login and certificates are left out; write host[:port]")
		return a, nil
	}
	name := a.RegistryName()
	if err := draft.CheckName(name); err != nil {
		d.LeaveOut(c, "the host "+err.Error(),
			"its login and certificates are left out; write host[:port]")
		return a, nil
	}
	if d.configured[name] {
		d.LeaveOut(c, "a second entry for "+name,
			"only the first is used; put login and certificates into one")
		return a, nil
	}
	d.configured[name] = true
	d.Know(name)
	return a, d.Registry(name, c)
}

// noteUnusedLogin notes a login that had no effect under its name: containerd looks a login up by
// the host that it asks.
func (d *reader) noteUnusedLogin(a draft.Address, r *draft.Registry) {
	switch {
	case r.Login == nil:
	case !a.Plain():
		r.Note("%s looks a login up by host[:port] alone and never used this one, whose name "+
			"held more. Here it has an effect.",
			d.Format.Program())
	case dockerhub.Is(a.Host) && a.Host != dockerhub.Server:
		r.Note("containerd looked for the login of Docker Hub under %s and never used this one. "+
			"Here it has an effect.", dockerhub.Server)
	}
}

// placeTLS sets the settings t of the table at c in r, unless they had no effect: applying such
// settings could make a registry less secure than before.
func (d *reader) placeTLS(c source.Cursor, t draft.TLS, a draft.Address, r *draft.Registry) {
	if t == (draft.TLS{}) {
		return
	}
	why := ""
	switch {
	case !a.Plain():
		why = d.Format.Program() +
			" looks settings up by host[:port] alone, and this name held more"
	case dockerhub.Is(a.Host) && a.Host != dockerhub.Server &&
		(d.Format == draft.Containerd || a.Host != dockerhub.Name):
		why = "the host that answers for Docker Hub is " + dockerhub.Server
	case d.Format != draft.Containerd && a.Host == dockerhub.Server && !d.mentionsHub:
		why = d.Format.Program() + " uses those of " + dockerhub.Server + " for docker.io only " +
			"beside an entry for docker.io"
	case d.noEffect != "":
		why = d.noEffect
	case d.Format == draft.Containerd && d.version >= 3:
		why = "containerd 2 does not read configs.….tls"
	case d.Format == draft.Containerd && hostport.IsLoopback(a.Host) && !d.AsksHTTPS(a.Host):
		why = "containerd asked this machine over plain http"
	}
	if why != "" {
		d.Lose(c.Loss("these tls settings had no effect: "+why,
			"they have none here either; if they are needed, write tls for "+r.Host+
				" under registries"))
		return
	}
	r.TLS = t
	if d.Format == draft.Containerd {
		r.Note("The tls settings are those that containerd 1.x used; containerd 2 did not read " +
			"them.")
	}
}

// readAuths reads the auths table, which is older than configs and overrides its logins
// (ValidateImageConfig in containerd's config.go).
func (d *reader) readAuths(table source.Cursor, identityToken string) {
	for _, c := range table.All("the registry's URL, and below it username and password") {
		a, err := draft.ParseAddress(c.Name)
		if err != nil {
			d.LeaveOut(c, "this "+err.Error(), "its login is left out; write host[:port]")
			continue
		}
		name := a.RegistryName()
		if draft.CheckName(name) != nil {
			d.LeaveOut(c, "not the address of a registry",
				"its login is left out; write host[:port]")
			continue
		}
		if d.authed[name] {
			d.LeaveOut(c, "a second entry for "+name, "only the first is used; keep one of the two")
			continue
		}
		d.authed[name] = true
		r := d.Registry(name, c)
		if r.Login != nil {
			r.Note("The login of auths counts, as in containerd; the one of configs is left out.")
			r.Login = nil
		}
		d.credentials(c, identityToken, r)
		d.noteUnusedLogin(draft.Address{Host: a.Host}, r)
	}
}
