package convert

import (
	"strings"

	"github.com/berth-registry/berth/config"
	"github.com/berth-registry/berth/hostsconf"
	"github.com/berth-registry/berth/internal/dockerhub"
	"github.com/berth-registry/berth/internal/hostport"
	"github.com/berth-registry/berth/internal/realm"
)

// correctLoopback corrects the settings of a registry on loopback. For one with its own port and tls
// settings, k3s writes http with these settings, so that containerd tries https first.
func (d *draft) correctLoopback(r *registry) {
	if d.format == Docker || d.format == CertsD {
		return // these read certs.d, as the result does
	}
	host := hostOnly(r.host)
	if d.format != Containerd && hostport.IsLoopback(host) && d.defaultScheme(host) == "https" && r.tls == (tlsFiles{}) && !r.plainHTTP {
		r.setPlainHTTP(false)
	}
	if d.format == Containerd && hostport.IsLoopback(host) && r.tls != (tlsFiles{}) && !r.plainHTTP && !r.overTLS {
		d.lose(r.at.loss(host+" was asked over http for its own images, and over https as a mirror",
			"with these tls settings it is asked over https for both; use https for both, or http"))
	}
	if d.format == Containerd || r.plainHTTP || r.overTLS || r.tls == (tlsFiles{}) ||
		!hostport.IsLoopback(host) || d.defaultScheme(host) != "http" {
		return
	}
	switch {
	case hostport.Port(host) == "80":
		r.tls = tlsFiles{}
		d.lose(r.at.loss("these tls settings had no effect: port 80 is asked over plain http", "they have none here either"))
	case r.tls == tlsFiles{skipVerify: true} && r.login == nil && !d.asksHTTPS(host):
		r.tls, r.named = tlsFiles{}, d.byUpstream[hostsconf.Default] != nil
		r.note("containerd does not verify a registry on this machine, and tries http when it speaks no TLS, so insecure_skip_verify is not needed.")
	default:
		d.lose(r.at.loss("this registry was asked over https, and over http if it spoke no TLS",
			"it is asked over https only; if it speaks no TLS, remove its tls settings and write plainHTTP: true"))
	}
}

// finish settles the settings that depend on several parts of the draft.
func (d *draft) finish() {
	for _, r := range d.registries {
		d.correctLoopback(r)
	}
	d.prune()
	for _, r := range d.registries {
		d.otherSpelling(r)
	}
	plain := d.plainHTTP()
	logins, tls := map[string]string{}, map[string]string{}
	for _, r := range d.registries {
		host, prefix, _ := strings.Cut(r.host, "/")
		if r.plainHTTP && r.tls != (tlsFiles{}) {
			r.tls = tlsFiles{}
			if d.asksHTTPS(host) {
				d.lose(r.at.loss(host+" is asked over http for its own images and over https as a mirror; a registry has one of them here",
					"its tls settings are left out; use https for both"))
			} else {
				r.note("The tls settings are left out: this host is reached over plain http, which has no use for them.")
			}
		}
		d.oneSpelling(r, logins, tls)
		if r.login == nil {
			continue
		}
		if !hostport.IsLoopback(host) && (r.plainHTTP || plain.covered(host, prefix)) {
			r.allowPlainHTTP = true
			r.note("WARNING: this login crosses the network unencrypted, as it did before. Give the registry a certificate, write https, and remove allowPlainHTTPCredentials.")
		}
		if _, ok := realm.Known(host); ok {
			r.auth = config.AuthToken
			r.note("%s takes a login only in exchange for a token. kubelet has to pass it on, by berth-credential-provider.", host)
			if first := d.askedBefore(host); first != "" {
				r.note("As long as %s comes first, the login is withheld, because containerd would offer it to every host of the list: images that fall back to %s are pulled without it.", first, host)
			}
		}
	}
}

// otherSpelling handles a registry that the input also names in another spelling, with or without
// the default port, but without login or tls settings there. The program treated these as two
// hosts; Berth treats them as one.
func (d *draft) otherSpelling(r *registry) {
	host := hostOnly(r.host)
	for _, other := range []string{host + ":443", host + ":80", strings.TrimSuffix(host, ":443"), strings.TrimSuffix(host, ":80")} {
		scheme := hostport.Scheme(strings.HasSuffix(host, ":80") || strings.HasSuffix(other, ":80"))
		if other == host || !d.known[other] && d.byUpstream[other] == nil {
			continue
		}
		if hostport.TrimDefaultPort(other, scheme) != hostport.TrimDefaultPort(host, scheme) {
			continue
		}
		if r.tls != (tlsFiles{}) && scheme == "https" && !d.hasTLS(other) {
			d.lose(r.at.loss("these tls settings were for "+host+" and not for "+other+", which is the same host here",
				"they are used for both; write all addresses of it in one spelling"))
		}
		if r.login != nil && d.entry(other).login == nil {
			r.note("This login was for %s and not for %s. Here these are one host, and both get it.", host, other)
		}
	}
}

// oneSpelling drops the login and the tls settings of a host that already has them in another
// spelling: Berth treats both spellings as one host.
func (d *draft) oneSpelling(r *registry, logins, tls map[string]string) {
	plain := r.plainHTTP || hostport.IsLoopback(hostOnly(r.host)) && r.tls == (tlsFiles{})
	key := config.NormalizeHost(r.host, plain)
	lose := func(what, other string) {
		d.lose(r.at.loss(r.host+" is "+other+" in another spelling, and both have "+what,
			"only the first is used, for both spellings; put what both need into one"))
	}
	if r.login != nil {
		if first, twice := logins[key]; twice {
			lose("a login", first)
			r.login = nil
		} else {
			logins[key] = r.host
		}
	}
	if r.tls != (tlsFiles{}) {
		if first, twice := tls[key]; twice {
			lose("tls settings", first)
			r.tls = tlsFiles{}
		} else {
			tls[key] = r.host
		}
	}
}

// plainURLs holds, by host, the repository paths that some URL reaches over http.
type plainURLs map[string][]string

func (d *draft) plainHTTP() plainURLs {
	plain := plainURLs{}
	add := func(u hostsconf.URL) {
		if u.Scheme == "http" {
			host := hostport.TrimDefaultPort(u.Host, "http")
			plain[host] = append(plain[host], u.RepositoryPath())
		}
	}
	if d.defaultRegistry != nil {
		add(d.defaultRegistry.url)
	}
	for _, m := range d.mirrors {
		for _, e := range m.endpoints {
			add(e.url)
		}
	}
	return plain
}

// covered reports whether one of the URLs would use a login for prefix on host.
func (p plainURLs) covered(host, prefix string) bool {
	for _, path := range p[hostport.TrimDefaultPort(host, "http")] {
		if prefix == "" || path == prefix || strings.HasPrefix(path, prefix+"/") {
			return true
		}
	}
	return false
}

// askedBefore describes the host that containerd asks before the upstream, "" if there is none.
func (d *draft) askedBefore(upstream string) string {
	switch {
	case d.byUpstream[upstream] != nil:
		return "a mirror of " + upstream
	case d.defaultRegistry != nil && upstream == dockerhub.Name:
		return "the default registry"
	}
	return ""
}
