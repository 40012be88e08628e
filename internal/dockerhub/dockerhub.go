// Package dockerhub holds the names of Docker Hub.
//
// Docker Hub has one name in image names, four hosts that serve the registry, a token server, and
// a key of its own in Docker's config.json. Which of them mean the same is decided here only. The
// package opens no connection. Start reading at [Canonical].
package dockerhub

import (
	"slices"
	"strings"

	"github.com/berth-registry/berth/internal/hostport"
)

const (
	// Name is the registry in image names:
	// https://github.com/distribution/reference/blob/main/normalize.go (defaultDomain).
	Name = "docker.io"
	// LegacyName in an image name is read as [Name], in exactly this spelling; same source
	// (legacyDefaultDomain).
	LegacyName = "index.docker.io"
	// Official is the path of the images whose name in short form has no path; same source
	// (officialRepoPrefix).
	Official = "library/"

	// Server is the host that containerd and Docker ask for images of [Name]:
	// https://github.com/containerd/containerd/blob/main/core/remotes/docker/registry.go
	// (DefaultHost).
	Server = "registry-1.docker.io"
	// TokenServer gives the tokens that [Server] requires:
	// https://docs.docker.com/reference/api/registry/auth/
	TokenServer = "https://auth.docker.io"
	// LoginKey is the key of Docker Hub's login in Docker's config.json:
	// https://github.com/moby/moby/blob/master/registry/config.go (IndexServer).
	LoginKey = "https://index.docker.io/v1/"
)

// names are the hosts that a config, a login or an image can mean Docker Hub by. The last one
// answers /v2/ with the challenge of [Server]: https://github.com/jupyterhub/binderhub/issues/993
var names = [...]string{Name, Server, LegacyName, "registry.hub.docker.com"}

// Names lists all hosts that mean Docker Hub's registry, [Name] first.
func Names() []string { return slices.Clone(names[:]) }

// Is reports whether host[:port], asked over https, means Docker Hub's registry.
func Is(host string) bool {
	return slices.Contains(names[:], hostport.TrimDefaultPort(strings.ToLower(host), "https"))
}

// Canonical returns [Name] for every host of Docker Hub, and any other host unchanged.
func Canonical(host string) string {
	if Is(host) {
		return Name
	}
	return host
}

// Host returns the host that is asked for images of a registry: [Server] for [Name], and any other
// registry itself.
func Host(registry string) string {
	if registry == Name {
		return Server
	}
	return registry
}

// IsWebsite reports whether host is a web site of Docker Hub where no registry answers.
func IsWebsite(host string) bool {
	return slices.Contains([]string{"hub.docker.com", "docker.com", "www.docker.com"}, host)
}
