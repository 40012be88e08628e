package desired

import (
	"slices"

	"github.com/berth-registry/berth/config"
	"github.com/berth-registry/berth/credprovider"
	"github.com/berth-registry/berth/hostsconf"
)

// KubeletImages lists the registries of a config whose login does not fit into a header,
// because they accept only tokens or the login is for some of their paths: kubelet has to ask
// the credential provider about images from there. They are sorted, in the form of kubelet's
// matchImages: host[:port][/path].
func KubeletImages(cfg *config.Config, in Inputs) []string {
	d := Compute(cfg, in)
	registries, docker := cfg.Logins()
	var images []string
	for _, l := range slices.Concat(registries, docker) {
		if l.IsPassword() && (l.Path != "" || !d.headerServes(l)) {
			images = append(images, l.Name())
		}
	}
	slices.Sort(images)
	return slices.Compact(images)
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
	return d.in.channel(hostsconf.UpstreamURL(l.Host, reach.PlainHTTP), auth).Serves
}
