package credprovider

import (
	"slices"
	"strings"

	"github.com/berth-registry/berth/internal/dockerhub"
	"github.com/berth-registry/berth/internal/hostport"
)

// Spellings lists the names by which a config, a login or an image can mean a host that is asked
// with scheme ("https" or "http"): first host itself, then with or without the default port of the
// scheme, then Docker Hub's other names. All are in lower case and without a final dot.
func Spellings(host, scheme string) []string {
	name := hostport.TrimDot(strings.ToLower(host))
	bare := hostport.TrimDefaultPort(name, scheme)
	if bare == name && hostport.Port(name) != "" {
		return []string{name}
	}
	port := ":443"
	if scheme == "http" {
		port = ":80"
	}
	all := []string{bare, bare + port}
	if name != bare {
		all[0], all[1] = all[1], all[0]
	}
	if dockerhub.Is(bare) {
		for _, other := range dockerhub.Names() {
			if other != bare {
				all = append(all, other)
			}
		}
	}
	return all
}

// SameHost reports whether a and b are names of one host that is asked with scheme.
func SameHost(a, b, scheme string) bool {
	return slices.Contains(Spellings(a, scheme), hostport.TrimDot(strings.ToLower(b)))
}

// canonicalHost returns host[:port] in the form in which hosts are compared, without the port 443.
// As with [hostport.Parse], an error is the reason only.
func canonicalHost(s string) (string, error) {
	host, err := hostport.Parse(hostport.TrimDot(s))
	if err != nil {
		return "", err
	}
	return dockerhub.Canonical(hostport.TrimDefaultPort(host, "https")), nil
}
