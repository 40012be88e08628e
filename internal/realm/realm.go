// Package realm checks the token servers that registries name.
//
// A registry that requires tokens answers 401 with a Bearer challenge, whose realm is the address
// of its token server; clients log in there. So a registry decides where a login is sent.
// containerd sends it to any address; Berth only to those that [Check] allows.
//
// The package opens no connection. It keeps only the scheme and host of a realm: the rest may
// contain a secret. Start reading at [Check].
package realm

import (
	"errors"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"github.com/containerd/containerd/v2/core/remotes/docker/auth"
	"golang.org/x/net/publicsuffix"

	"github.com/berth-registry/berth/internal/dockerhub"
	"github.com/berth-registry/berth/internal/hostport"
)

// The errors of [Check] complete a sentence that starts with the token server.
var (
	ErrPlainHTTP = errors.New("is asked over plain http")
	ErrForeign   = errors.New("is not of its domain")
)

// known maps public registries that require tokens, other than Docker Hub, to the token servers of
// their challenges.
var known = map[string]string{
	"ghcr.io":             "https://ghcr.io",
	"quay.io":             "https://quay.io",
	"registry.gitlab.com": "https://gitlab.com",
}

// Known returns the token server of a public registry that requires tokens. host is a
// host[:port] that is asked over https.
func Known(host string) (server string, ok bool) {
	if dockerhub.Is(host) {
		return dockerhub.TokenServer, true
	}
	server, ok = known[hostport.TrimDefaultPort(strings.ToLower(host), "https")]
	return server, ok
}

// Named returns the token server that an answer names, in the form of [Parse]. containerd prefers a
// Bearer challenge to any other. ok is false if there is none.
func Named(answer http.Header) (server string, ok bool) {
	for _, c := range auth.ParseAuthHeader(answer) {
		if c.Scheme == auth.BearerAuth {
			server, err := Parse(c.Parameters["realm"])
			return server, err == nil
		}
	}
	return "", false
}

// Parse returns the scheme and host of a realm, in lower case and without the default port.
func Parse(realm string) (server string, err error) {
	u, err := url.Parse(realm)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" {
		return "", errors.New("must be an http or https url")
	}
	host, err := hostport.Parse(u.Host)
	if err != nil {
		return "", err
	}
	return u.Scheme + "://" + hostport.TrimDefaultPort(host, u.Scheme), nil
}

// Check returns an error if a login for the registry at scheme://host must not be sent to a token
// server; nil allows it. server is a result of [Parse]. Allowed over https are the registry's own
// host on any port, a host of the same registered domain, the server from [Known], and the hosts
// that the config lists. The registry's own host and the listed ones are also allowed over http if
// the registry itself is asked over http.
func Check(scheme, host, server string, listed []string) error {
	if s, ok := Known(host); ok && s == server {
		return nil
	}
	s, asked, _ := strings.Cut(server, "://")
	mine, theirs := strings.ToLower(hostport.Host(host)), hostport.Host(asked)
	named := Listed(server, listed)
	switch {
	case !named && mine != theirs && !sameDomain(mine, theirs):
		return ErrForeign
	case s != "https" && (scheme == "https" || !named && mine != theirs):
		return ErrPlainHTTP
	}
	return nil
}

// Listed reports whether a list of hosts[:port] names a token server. The port must be the same;
// none is the default port of the server's scheme.
func Listed(server string, listed []string) bool {
	scheme, asked, _ := strings.Cut(server, "://")
	return slices.ContainsFunc(listed, func(host string) bool {
		return hostport.TrimDefaultPort(host, scheme) == asked
	})
}

// Replaces reports whether a token server may take the place of another one that the registry at
// scheme://host named before, without an operator's consent: it is the registry itself, which has
// the login anyway, the server from [Known], or listed.
func Replaces(scheme, host, server string, listed []string) bool {
	known, _ := Known(host)
	self := scheme + "://" + hostport.TrimDefaultPort(strings.ToLower(host), scheme)
	return server == self || server == known || Listed(server, listed)
}

// sameDomain reports whether two names have the same registered domain. IP addresses have none.
func sameDomain(a, b string) bool {
	for _, name := range []string{a, b} {
		if _, err := netip.ParseAddr(name); err == nil {
			return false
		}
	}
	x, err := publicsuffix.EffectiveTLDPlusOne(a)
	if err != nil {
		return false
	}
	y, err := publicsuffix.EffectiveTLDPlusOne(b)
	return err == nil && x == y
}
