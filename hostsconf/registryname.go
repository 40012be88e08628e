package hostsconf

// RegistryName is the registry that a host belongs to.
func RegistryName(host string) string {
	if host == UpstreamURL("docker.io", false).Host {
		return "docker.io"
	}
	return host
}
