package agent

import "github.com/berth-registry/berth/hostsconf"

// registryName is the registry that a host belongs to.
func registryName(host string) string {
	if host == hostsconf.UpstreamURL("docker.io", false).Host {
		return "docker.io"
	}
	return host
}
