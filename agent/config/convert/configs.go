package convert

import (
	"github.com/berth-registry/berth/hostsconf"
)

// readConfigs reads the configs table, which k3s and containerd share.
func (d *draft) readConfigs(table cursor, identityToken string) {
	authOrTLS := d.in.example("auth: or tls:", "auth or tls tables")
	hub := !table.get(hubServer).absent()
	for _, c := range table.all("the registry's host[:port], and below it " + authOrTLS) {
		if a, err := split(c.name); err == nil && hub && c.name != hubServer && a.registryName() == dockerHub {
			d.lose(c.loss("a second entry for Docker Hub", "only that of "+hubServer+" is used, which is the name that containerd looked up"))
			continue
		}
		if c.name == hostsconf.Default {
			d.lose(c.loss(`logins and certificates for "*" have no counterpart: Berth ties them to a host`,
				"hosts without an entry of their own are asked without them; name each host"))
			continue
		}
		r := d.configHost(c)
		if r == nil || !c.mapping(authOrTLS) {
			continue
		}
		d.unknown(c, "auth", "tls")
		d.credentials(c.get("auth"), identityToken, r)
		if t := c.get("tls"); !t.absent() {
			d.tls(t, r)
			if d.format == Containerd && d.version >= 3 {
				r.note("containerd 2 no longer read configs.….tls; here it has an effect again.")
			}
		}
	}
}

// configHost finds the registry that a key of configs or auths means, nil when
// it means none or one that was there before.
func (d *draft) configHost(c cursor) *registry {
	a, err := split(c.name)
	if err != nil {
		d.lose(c.loss("this "+err.Error(), "its login and certificates are left out; write host[:port]"))
		return nil
	}
	name := a.registryName()
	if err := checkName(name); err != nil {
		d.lose(c.loss("the host "+err.Error(), "its login and certificates are left out; write host[:port]"))
		return nil
	}
	if d.configured[name] {
		d.lose(c.loss("a second entry for "+name, "only the first is used; put login and certificates into one"))
		return nil
	}
	if d.configured == nil {
		d.configured = map[string]bool{}
	}
	d.configured[name] = true
	r := d.registry(name, c)
	if d.format == Containerd && name == dockerHub && a.host != hubServer {
		r.note("containerd looked for the login of Docker Hub under %s and never used this entry. Here it has an effect.", hubServer)
		return r
	}
	if a.scheme != "" || a.ignored != "" || name != a.host && name != dockerHub {
		r.note("%s looks a registry up by host[:port] alone and never used this entry, whose name held more. Here it has an effect.", d.format.program())
	}
	return r
}

// readAuths reads the auths table, which is older than configs and overrides
// the login there (ValidateImageConfig in containerd's config.go).
func (d *draft) readAuths(table cursor, identityToken string) {
	for _, c := range table.all("the registry's URL, and below it username and password") {
		a, err := split(c.name)
		if err != nil {
			d.lose(c.loss("this "+err.Error(), "its login is left out; write host[:port]"))
			continue
		}
		name := a.registryName()
		if checkName(name) != nil {
			d.lose(c.loss("this is no address of a registry", "its login is left out; write host[:port]"))
			continue
		}
		if d.authed[name] {
			d.lose(c.loss("a second entry for "+name, "only the first is used; keep one of the two"))
			continue
		}
		if d.authed == nil {
			d.authed = map[string]bool{}
		}
		d.authed[name] = true
		r := d.registry(name, c)
		if r.login != nil {
			r.note("The login of auths counts, as in containerd; the one of configs is left out.")
			r.login = nil
		}
		d.credentials(c, identityToken, r)
	}
}
