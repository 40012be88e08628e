package config

import (
	"strings"

	"github.com/berth-registry/berth/hostsconf"
	"github.com/berth-registry/berth/internal/hostport"
)

// NormalizeURL gives where requests to u go, in one spelling: two addresses with
// the same are one mirror, with or without the port that the scheme implies
// and with or without /v2.
func NormalizeURL(u hostsconf.URL) string {
	return u.Scheme + "://" + hostport.TrimDefaultPort(u.Host, u.Scheme) + u.APIPath()
}

// NormalizeHost gives host[:port][/path] without the port that https implies, or
// http with plainHTTP. A login that is named by one spelling of a host is used
// for the other, too.
func NormalizeHost(host string, plainHTTP bool) string {
	scheme := "https"
	if plainHTTP {
		scheme = "http"
	}
	name, path, hasPath := strings.Cut(host, "/")
	name = hostport.TrimDefaultPort(name, scheme)
	if hasPath {
		name += "/" + path
	}
	return scheme + "://" + name
}

// checkDuplicates reports logins and tls settings that stand in two entries for one host
// in two spellings: which of them counts would depend on how a host is named
// elsewhere. Two entries are right where they say different things, or where
// one only names the spelling that images have.
func (c *checker) checkDuplicates(list *location) {
	logins, tls := map[string]int{}, map[string]int{}
	for i := range c.cfg.Registries {
		r, s := &c.cfg.Registries[i], list.item(i)
		at := s.field("host")
		key := NormalizeHost(r.Host, r.PlainHTTP)
		for _, part := range []struct {
			is   bool
			seen map[string]int
			what string
		}{
			{r.Username != "", logins, "a login"},
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
				before, _ := list.item(first).field("host").position()
				c.reject(at, r.Host, "is the host of line %d in another spelling, which has %s already; keep one of them, it holds for both spellings", before, part.what)
				break
			}
		}
	}
}
