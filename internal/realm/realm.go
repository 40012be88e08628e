// Package realm judges the token servers that registries name. A registry that
// insists on tokens answers 401 with a Bearer challenge, whose realm is the
// address of its token server; a client logs in there. So a registry decides
// where a login goes. containerd sends it to any address; Berth only where
// [Check] allows it.
//
// It opens no connection. Nothing of a realm but scheme and host is kept: the
// rest may repeat a secret.
package realm

import (
	"errors"
	"net/http"
	"net/netip"
	"net/url"
	"strings"

	"github.com/containerd/containerd/v2/core/remotes/docker/auth"
	"golang.org/x/net/publicsuffix"

	"github.com/berth-registry/berth/internal/hostport"
)

// The errors of [Check] complete a sentence that begins with the token server.
var (
	ErrPlainHTTP = errors.New("is asked over plain http")
	ErrForeign   = errors.New("is not of its domain")
)

// known are the token servers of public registries that take tokens only, by
// host. https://docs.docker.com/reference/api/registry/auth/ and the challenges
// that the others answer with.
var known = map[string]string{
	"registry-1.docker.io": "https://auth.docker.io",
	"ghcr.io":              "https://ghcr.io",
	"quay.io":              "https://quay.io",
	"registry.gitlab.com":  "https://gitlab.com",
}

// Known gives the token server of a public registry that takes tokens only. host
// is the host[:port] that is asked over https: registry-1.docker.io for Docker
// Hub.
func Known(host string) (server string, ok bool) {
	server, ok = known[hostport.TrimDefaultPort(strings.ToLower(host), "https")]
	return server, ok
}

// Named gives the token server that an answer names, as [Parse] does. containerd
// follows a Bearer challenge before any other one. ok is false when there is
// none.
func Named(answer http.Header) (server string, ok bool) {
	for _, c := range auth.ParseAuthHeader(answer) {
		if c.Scheme == auth.BearerAuth {
			server, err := Parse(c.Parameters["realm"])
			return server, err == nil
		}
	}
	return "", false
}

// Parse gives scheme and host of a realm, in lower case and without the port
// that the scheme implies.
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

// Check says why a login for the registry at scheme://host must not go to a
// token server; nil allows it. server is as [Parse] gives it. It has to be the
// registry's own name, on any port, or one of the same registered domain, or its
// [Known] one, over https; or the registry's own name over http, if the registry
// itself is asked so.
func Check(scheme, host, server string) error {
	if s, ok := Known(host); ok && s == server {
		return nil
	}
	s, asked, _ := strings.Cut(server, "://")
	mine, theirs := strings.ToLower(hostport.Host(host)), hostport.Host(asked)
	switch {
	case mine != theirs && !sameDomain(mine, theirs):
		return ErrForeign
	case s != "https" && (scheme == "https" || mine != theirs):
		return ErrPlainHTTP
	}
	return nil
}

// sameDomain reports whether two names have one registered domain. Addresses
// have none.
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
