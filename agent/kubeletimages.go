package agent

import (
	"slices"

	"github.com/berth-registry/berth/agent/config"
)

// KubeletImages lists the registries of a config whose login does not fit into a
// header, because they insist on tokens or the login is for a part of their
// paths: kubelet has to ask the credential provider about images from there. They
// are sorted, in the form of kubelet's matchImages: host[:port][/path].
func KubeletImages(cfg *config.Config) []string {
	registries, docker := logins(cfg)
	var images []string
	for _, l := range registries {
		if l.Token || l.Path != "" {
			images = append(images, l.Name())
		}
	}
	for _, l := range docker {
		if l.Path != "" {
			images = append(images, l.Name())
		}
	}
	slices.Sort(images)
	return slices.Compact(images)
}
