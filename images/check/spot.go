package check

import (
	"path"
	"slices"
	"strings"

	"github.com/berth-registry/berth/hostsconf"
	"github.com/berth-registry/berth/images/reference"
)

// Spot is a place where an image should be.
type Spot struct {
	Host       string // host[:port], docker.io for Docker Hub
	Repository string
	// Root is the path below which the API lies; "" is /v2.
	Root string
	// PlainHTTP: it is asked over plain http, because an endpoint says so.
	PlainHTTP bool
	// Upstream is the registry that it is a mirror of, "" for none. Mirrors
	// are told it as containerd tells them, in ?ns=.
	Upstream string
	// Header goes with every request to it, as an endpoint wants it.
	Header map[string][]string
	// Itself says that this is where the image comes from: there is no mirror.
	Itself bool
}

// String is the spot as people write it.
func (s Spot) String() string {
	below := strings.TrimPrefix(strings.TrimPrefix(strings.TrimSuffix(s.Root, "/v2"), "/v2/"), "/")
	return s.Host + "/" + path.Join(below, s.Repository)
}

// SpotOn is where an image lies on a target.
func SpotOn(t reference.Target, image reference.Reference) Spot {
	at := t.Reference(image)
	return Spot{Host: at.Registry(), Repository: at.Repository(), Itself: at == image}
}

// SpotsOf lists where a node takes an image from, given what its directories
// shall hold: every mirror of the one that wins, without the registry itself;
// that alone where there is no mirror.
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
		// A host without capabilities has them all.
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
