package config

import (
	"strings"

	"github.com/berth-registry/berth/hostsconf"
	"github.com/berth-registry/berth/internal/hostport"
)

// NormalizeURL returns the address of requests to u in one spelling. Two addresses with the same
// result are one mirror, with or without the default port and with or without /v2.
func NormalizeURL(u hostsconf.URL) string {
	return u.Scheme + "://" + hostport.TrimDefaultPort(u.Host, u.Scheme) + u.APIPath()
}

// NormalizeHost returns scheme://host[:port][/path] without the scheme's default port. The scheme
// is https, or http with plainHTTP. A login for one spelling of a host is used for the other too.
func NormalizeHost(host string, plainHTTP bool) string {
	scheme := hostport.Scheme(plainHTTP)
	name, path, hasPath := strings.Cut(host, "/")
	name = hostport.TrimDefaultPort(name, scheme)
	if hasPath {
		name += "/" + path
	}
	return scheme + "://" + name
}

// checkDuplicates reports logins and tls settings given in two entries for one host in two
// spellings: which entry applies would depend on the spelling used elsewhere. Two entries are valid
// if they set different things, or if one only names the spelling used in images.
func (c *checker) checkDuplicates(list *location) {
	logins, tls := map[string]int{}, map[string]int{}
	for i := range c.cfg.Registries {
		r, s := &c.cfg.Registries[i], list.Item(i)
		at := s.Field("host")
		key := NormalizeHost(r.Host, r.PlainHTTP)
		for _, part := range []struct {
			is   bool
			seen map[string]int
			what string
		}{
			{r.HasLogin(), logins, "a login"},
			{r.TLS.CAFile != "" || r.TLS.CertFile != "" || r.TLS.InsecureSkipVerify, tls, "tls settings"},
		} {
			if !part.is {
				continue
			}
			first, ok := part.seen[key]
			if !ok {
				part.seen[key] = i
				continue
			}
			if other := c.cfg.Registries[first].Host; other != r.Host { // else it has been told
				before, _ := list.Item(first).Field("host").Position()
				c.reject(at, r.Host, "is another spelling of the host on line %d, which already has %s; keep one of them, it applies to both spellings", before, part.what)
				break
			}
		}
	}
}
