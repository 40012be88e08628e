package check

import (
	"path"
	"slices"

	"github.com/berth-registry/berth/hostsconf"
	"github.com/berth-registry/berth/images/reference"
)

// Spot is a registry and repository where an image should be.
type Spot struct {
	Host       string // host[:port], docker.io for Docker Hub
	Repository string
	// Root is the path of the API; "" is /v2.
	Root string
	// PlainHTTP says that the endpoint's URL has the scheme http.
	PlainHTTP bool
	// Upstream is the registry that a mirror stands for, "" for none. It is sent in ?ns=, as
	// containerd does.
	Upstream string
	// Header is sent with every request, as configured for the endpoint.
	Header map[string][]string
	// Itself says that this is the image's own registry, without a mirror.
	Itself bool
}

// String is the host with the repository.
func (s Spot) String() string {
	below := hostsconf.URL{Path: s.Root}.RepositoryPath()
	return s.Host + "/" + path.Join(below, s.Repository)
}

// SpotOn is the spot of an image on a target.
func SpotOn(t reference.Target, image reference.Reference) Spot {
	at := t.Reference(image)
	return Spot{Host: at.Registry(), Repository: at.Repository(), Itself: at == image}
}

// SpotsOf returns where a node pulls an image from, given its hosts.toml directories: every mirror
// in the directory that containerd uses, without the registry itself; if there is no mirror, the
// registry.
func SpotsOf(directories []hostsconf.Directory, image reference.Reference) []Spot {
	itself := []Spot{{Host: image.Registry(), Repository: image.Repository(), Itself: true}}
	i := slices.IndexFunc(directories, func(d hostsconf.Directory) bool { return reference.SameRegistry(d.Upstream, image.Registry()) })
	if i < 0 {
		i = slices.IndexFunc(directories, func(d hostsconf.Directory) bool { return d.Upstream == hostsconf.Default })
	}
	if i < 0 {
		return itself
	}
	hosts := slices.Clone(directories[i].Hosts)
	if s := directories[i].Server; s != nil {
		hosts = append(hosts, *s)
	}
	var all []Spot
	own := hostsconf.UpstreamURL(image.Registry(), false)
	for _, h := range hosts {
		// A host without capabilities has all of them.
		if h.URL.Host == own.Host || len(h.Capabilities) > 0 && !slices.Contains(h.Capabilities, "pull") {
			continue
		}
		all = append(all, Spot{
			Host: h.URL.Host, Root: h.URL.APIPath(), Repository: image.Repository(),
			PlainHTTP: h.URL.Scheme == "http", Upstream: image.Registry(), Header: h.Header,
		})
	}
	if len(all) == 0 {
		return itself
	}
	return all
}
