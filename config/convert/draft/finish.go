package draft

import (
	"strings"

	"github.com/berth-registry/berth/config"
	"github.com/berth-registry/berth/hostsconf"
	"github.com/berth-registry/berth/internal/dockerhub"
	"github.com/berth-registry/berth/internal/hostport"
	"github.com/berth-registry/berth/internal/realm"
)

// correctLoopback corrects the settings of a registry on loopback. For one with its own port and
// tls settings, k3s writes http with these settings, so that containerd tries https first.
func (d *Draft) correctLoopback(r *Registry) {
	if d.Format == Docker || d.Format == CertsD {
		return // these read certs.d, as the result does
	}
	host := HostOnly(r.Host)
	if d.Format != Containerd && hostport.IsLoopback(host) && d.DefaultScheme(host) == "https" &&
		r.TLS == (TLS{}) && !r.PlainHTTP {
		r.SetPlainHTTP(false)
	}
	if d.Format == Containerd && hostport.IsLoopback(host) && r.TLS != (TLS{}) && !r.PlainHTTP &&
		!r.OverTLS {
		d.Lose(r.At.Loss(host+" was asked over http for its own images, and over https as a mirror",
			"with these tls settings it is asked over https for both; use https for both, or http"))
	}
	if d.Format == Containerd || r.PlainHTTP || r.OverTLS || r.TLS == (TLS{}) ||
		!hostport.IsLoopback(host) || d.DefaultScheme(host) != "http" {
		return
	}
	switch {
	case hostport.Port(host) == "80":
		r.TLS = TLS{}
		d.Lose(r.At.Loss("these tls settings had no effect: port 80 is asked over plain http",
			"they have none here either"))
	case r.TLS == TLS{SkipVerify: true} && r.Login == nil && !d.AsksHTTPS(host):
		r.TLS, r.Named = TLS{}, d.byUpstream[hostsconf.Default] != nil
		r.Note("containerd does not verify a registry on this machine, and tries http when it " +
			"speaks no TLS, so insecure_skip_verify is not needed.")
	default:
		d.Lose(r.At.Loss("this registry was asked over https, and over http if it spoke no TLS",
			"it is asked over https only; if it speaks no TLS, remove its tls settings and write "+
				"plainHTTP: true"))
	}
}

// Finish settles the settings that depend on several parts of the draft.
func (d *Draft) Finish() {
	for _, r := range d.Registries {
		d.correctLoopback(r)
	}
	d.Prune()
	for _, r := range d.Registries {
		d.otherSpelling(r)
	}
	plain := d.plainHTTP()
	logins, tls := map[string]string{}, map[string]string{}
	for _, r := range d.Registries {
		host, prefix, _ := strings.Cut(r.Host, "/")
		if r.PlainHTTP && r.TLS != (TLS{}) {
			r.TLS = TLS{}
			if d.AsksHTTPS(host) {
				d.Lose(r.At.Loss(host+" is asked over http for its own images and over https as "+
					"a mirror; a registry has one of them here",
					"its tls settings are left out; use https for both"))
			} else {
				r.Note("The tls settings are left out: this host is reached over plain http, " +
					"which has no use for them.")
			}
		}
		d.oneSpelling(r, logins, tls)
		if r.Login == nil {
			continue
		}
		if !hostport.IsLoopback(host) && (r.PlainHTTP || plain.covered(host, prefix)) {
			r.AllowPlainHTTP = true
			r.Note("WARNING: this login crosses the network unencrypted, as it did before. Give " +
				"the registry a certificate, write https, and remove allowPlainHTTPCredentials.")
		}
		if _, ok := realm.Known(host); ok {
			r.Auth = config.AuthToken
			r.Note("%s takes a login only in exchange for a token. kubelet has to pass it on, by "+
				"berth-credential-provider.", host)
			if first := d.askedBefore(host); first != "" {
				r.Note("As long as %s comes first, the login is withheld, because containerd "+
					"would offer it to every host of the list: images that fall back to %s are "+
					"pulled without it.", first, host)
			}
		}
	}
}

// otherSpelling handles a registry that the input also names in another spelling, with or without
// the default port, but without login or tls settings there. The program treated these as two
// hosts; Berth treats them as one.
func (d *Draft) otherSpelling(r *Registry) {
	host := HostOnly(r.Host)
	for _, other := range []string{host + ":443", host + ":80", strings.TrimSuffix(host,
		":443"), strings.TrimSuffix(host, ":80")} {
		scheme := hostport.Scheme(strings.HasSuffix(host, ":80") || strings.HasSuffix(other, ":80"))
		if other == host || !d.known[other] && d.byUpstream[other] == nil {
			continue
		}
		if hostport.TrimDefaultPort(other, scheme) != hostport.TrimDefaultPort(host, scheme) {
			continue
		}
		if r.TLS != (TLS{}) && scheme == "https" && !d.HasTLS(other) {
			d.Lose(r.At.Loss("these tls settings were for "+host+" and not for "+other+
				", which is the same host here",
				"they are used for both; write all addresses of it in one spelling"))
		}
		if r.Login != nil && d.Entry(other).Login == nil {
			r.Note("This login was for %s and not for %s. "+
				"Here these are one host, and both get it.", host, other)
		}
	}
}

// oneSpelling drops the login and the tls settings of a host that already has them in another
// spelling: Berth treats both spellings as one host.
func (d *Draft) oneSpelling(r *Registry, logins, tls map[string]string) {
	plain := r.PlainHTTP || hostport.IsLoopback(HostOnly(r.Host)) && r.TLS == (TLS{})
	key := config.NormalizeHost(r.Host, plain)
	lose := func(what, other string) {
		d.Lose(r.At.Loss(r.Host+" is "+other+" in another spelling, and both have "+what,
			"only the first is used, for both spellings; put what both need into one"))
	}
	if r.Login != nil {
		if first, twice := logins[key]; twice {
			lose("a login", first)
			r.Login = nil
		} else {
			logins[key] = r.Host
		}
	}
	if r.TLS != (TLS{}) {
		if first, twice := tls[key]; twice {
			lose("tls settings", first)
			r.TLS = TLS{}
		} else {
			tls[key] = r.Host
		}
	}
}

// plainURLs holds, by host, the repository paths that some URL reaches over http.
type plainURLs map[string][]string

func (d *Draft) plainHTTP() plainURLs {
	plain := plainURLs{}
	add := func(u hostsconf.URL) {
		if u.Scheme == "http" {
			host := hostport.TrimDefaultPort(u.Host, "http")
			plain[host] = append(plain[host], u.RepositoryPath())
		}
	}
	if d.DefaultRegistry != nil {
		add(d.DefaultRegistry.URL)
	}
	for _, m := range d.Mirrors {
		for _, e := range m.Endpoints {
			add(e.URL)
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
func (d *Draft) askedBefore(upstream string) string {
	switch {
	case d.byUpstream[upstream] != nil:
		return "a mirror of " + upstream
	case d.DefaultRegistry != nil && upstream == dockerhub.Name:
		return "the default registry"
	}
	return ""
}
