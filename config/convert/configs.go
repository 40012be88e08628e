package convert

import (
	"github.com/berth-registry/berth/hostsconf"
	"github.com/berth-registry/berth/internal/dockerhub"
	"github.com/berth-registry/berth/internal/hostport"
)

// readConfigs reads the configs table, which k3s and containerd have in common.
func (d *tables) readConfigs(table cursor, identityToken string) {
	authOrTLS := d.in.example("auth: or tls:", "auth or tls tables")
	for _, c := range d.configEntries(table, "the registry's host[:port], and below it "+authOrTLS) {
		a, r := d.configHost(c)
		if r == nil || !c.mapping(authOrTLS) {
			continue
		}
		auth, tls := c.get("auth"), c.get("tls")
		// k3s creates a directory for a host with either of them.
		r.named = r.named || d.format != Containerd && (!auth.absent() || !tls.absent())
		d.credentials(auth, identityToken, r)
		d.noteUnusedLogin(a, r)
		if !tls.absent() {
			d.placeTLS(tls, d.tls(tls), a, r)
		}
	}
}

// configEntries returns the entries of a configs table that name a registry. Of several names of
// Docker Hub, the one that the program looks up counts.
func (d *tables) configEntries(table cursor, example string) []cursor {
	hub := !table.get(dockerhub.Server).absent()
	var entries []cursor
	d.mentionsHub = d.mentionsHub || !table.get(dockerhub.Name).absent()
	for _, c := range table.all(example) {
		a, err := split(c.name)
		switch {
		case c.name == hostsconf.Default:
			d.leaveOut(c, `logins and certificates for "*" have no counterpart: Berth ties them to a host`,
				"hosts without an entry of their own are asked without them; name each host")
		case err == nil && hub && c.name != dockerhub.Server && a.registryName() == dockerhub.Name:
			d.leaveOut(c, "a second entry for Docker Hub",
				"only that of "+dockerhub.Server+" is used, which is the name that containerd looked up")
		default:
			entries = append(entries, c)
		}
	}
	return entries
}

// configHost returns the registry that a key of configs or auths names, nil if it names none or
// one that an earlier key named.
func (d *tables) configHost(c cursor) (address, *registry) {
	a, err := split(c.name)
	if err != nil {
		d.leaveOut(c, "this "+err.Error(), "its login and certificates are left out; write host[:port]")
		return a, nil
	}
	name := a.registryName()
	if err := checkName(name); err != nil {
		d.leaveOut(c, "the host "+err.Error(), "its login and certificates are left out; write host[:port]")
		return a, nil
	}
	if d.configured[name] {
		d.leaveOut(c, "a second entry for "+name, "only the first is used; put login and certificates into one")
		return a, nil
	}
	d.configured[name] = true
	d.know(name)
	return a, d.registry(name, c)
}

// noteUnusedLogin notes a login that had no effect under its name: containerd looks a login up by
// the host that it asks.
func (d *tables) noteUnusedLogin(a address, r *registry) {
	switch {
	case r.login == nil:
	case !a.plain():
		r.note("%s looks a login up by host[:port] alone and never used this one, whose name held more. Here it has an effect.",
			d.format.program())
	case dockerhub.Is(a.host) && a.host != dockerhub.Server:
		r.note("containerd looked for the login of Docker Hub under %s and never used this one. Here it has an effect.", dockerhub.Server)
	}
}

// placeTLS sets the settings t of the table at c in r, unless they had no effect: applying such
// settings could make a registry less secure than before.
func (d *tables) placeTLS(c cursor, t tlsFiles, a address, r *registry) {
	if t == (tlsFiles{}) {
		return
	}
	why := ""
	switch {
	case !a.plain():
		why = d.format.program() + " looks settings up by host[:port] alone, and this name held more"
	case dockerhub.Is(a.host) && a.host != dockerhub.Server && (d.format == Containerd || a.host != dockerhub.Name):
		why = "the host that answers for Docker Hub is " + dockerhub.Server
	case d.format != Containerd && a.host == dockerhub.Server && !d.mentionsHub:
		why = d.format.program() + " uses those of " + dockerhub.Server + " for docker.io only beside an entry for docker.io"
	case d.noEffect != "":
		why = d.noEffect
	case d.format == Containerd && d.version >= 3:
		why = "containerd 2 does not read configs.….tls"
	case d.format == Containerd && hostport.IsLoopback(a.host) && !d.asksHTTPS(a.host):
		why = "containerd asked this machine over plain http"
	}
	if why != "" {
		d.lose(c.loss("these tls settings had no effect: "+why,
			"they have none here either; if they are needed, write tls for "+r.host+" under registries"))
		return
	}
	r.tls = t
	if d.format == Containerd {
		r.note("The tls settings are those that containerd 1.x used; containerd 2 did not read them.")
	}
}

// readAuths reads the auths table, which is older than configs and overrides its logins
// (ValidateImageConfig in containerd's config.go).
func (d *tables) readAuths(table cursor, identityToken string) {
	for _, c := range table.all("the registry's URL, and below it username and password") {
		a, err := split(c.name)
		if err != nil {
			d.leaveOut(c, "this "+err.Error(), "its login is left out; write host[:port]")
			continue
		}
		name := a.registryName()
		if checkName(name) != nil {
			d.leaveOut(c, "not the address of a registry", "its login is left out; write host[:port]")
			continue
		}
		if d.authed[name] {
			d.leaveOut(c, "a second entry for "+name, "only the first is used; keep one of the two")
			continue
		}
		d.authed[name] = true
		r := d.registry(name, c)
		if r.login != nil {
			r.note("The login of auths counts, as in containerd; the one of configs is left out.")
			r.login = nil
		}
		d.credentials(c, identityToken, r)
		d.noteUnusedLogin(address{host: a.host}, r)
	}
}
