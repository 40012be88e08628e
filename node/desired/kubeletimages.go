package desired

import (
	"fmt"
	"slices"
	"strings"

	"github.com/berth-registry/berth/config"
	"github.com/berth-registry/berth/credprovider"
	"github.com/berth-registry/berth/hostsconf"
	"github.com/berth-registry/berth/internal/dockerhub"
	"github.com/berth-registry/berth/internal/kubeletauths"
)

// KubeletImages lists the registries of a config whose login does not fit into a header,
// because they accept only tokens or the login is for some of their paths: kubelet has to ask
// the credential provider about images from there. They are sorted, in the form of kubelet's
// matchImages: host[:port][/path].
func KubeletImages(cfg *config.Config, in Inputs) []string {
	d := Compute(cfg, in)
	var images []string
	for _, l := range d.unservedLogins(cfg) {
		images = append(images, l.Name())
	}
	slices.Sort(images)
	return slices.Compact(images)
}

// unservedLogins lists the logins that no header carries to every reader, those of registries
// first.
func (d *State) unservedLogins(cfg *config.Config) []credprovider.Login {
	registries, docker := cfg.Logins()
	return slices.DeleteFunc(slices.Concat(registries, docker), func(l credprovider.Login) bool {
		return !l.IsPassword() || l.Path == "" && d.headerServes(l)
	})
}

// KubeletLogins lists the hosts, sorted, whose login may be in kubelet's own config.json: it is for
// the whole host, no header serves, and the host is none of ECR. d is the state of containerd's
// directory. A notice names each login that kubelet has to pass and that file cannot hold.
func KubeletLogins(cfg *config.Config, d *State) (hosts []string, notices []Notice) {
	var paths []string
	for _, l := range d.unservedLogins(cfg) {
		if _, isECR := d.ecrNames.Parse(l.Host); isECR {
			continue
		}
		switch {
		case l.Path != "":
			paths = append(paths, l.Name())
		case !kubeletauths.Holds(l.Host):
			notices = append(notices, Notice{l.Host, "its login is not in kubelet's config.json: kubelet reads the brackets as a pattern; use a DNS name"})
		default:
			hosts = append(hosts, dockerhub.Canonical(l.Host))
		}
	}
	if len(paths) > 0 {
		slices.Sort(paths)
		notices = append(notices, Notice{"login", fmt.Sprintf("not in kubelet's config.json: %s; kubelet compares paths as prefixes, so "+
			"registry.corp/team would also serve registry.corp/team-evil; only the credential provider passes it", strings.Join(slices.Compact(paths), ", "))})
	}
	slices.Sort(hosts)
	return slices.Compact(hosts), notices
}

// headerServes reports whether a header logs in with a login for a whole host, when images name
// that host.
func (d *State) headerServes(l credprovider.Login) bool {
	auth := config.AuthAuto
	switch {
	case l.Token:
		auth = config.AuthToken
	case d.authBasic[l.Name()]:
		auth = config.AuthBasic
	}
	reach, _ := d.reach(l.Host, "", "https")
	return d.channel(hostsconf.UpstreamURL(l.Host, reach.PlainHTTP), auth).Serves
}
