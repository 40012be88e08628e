package draft

import "strings"

// Format is a format of the input.
type Format string

// The formats that convert.Convert reads.
const (
	RKE        Format = "rke"        // cluster.yml of RKE 1
	K3s        Format = "k3s"        // registries.yaml of k3s and RKE2
	Containerd Format = "containerd" // config.toml with registry.mirrors, configs or auths
	Rancher    Format = "rancher"    // a Cluster of provisioning.cattle.io/v1
	Docker     Format = "docker"     // daemon.json of dockerd, or the directory with it and certs.d
	CertsD     Format = "certs.d"    // a directory of containerd's hosts.toml files, or one of them
)

// Formats lists the formats that convert.Convert reads.
func Formats() []Format { return []Format{RKE, K3s, Containerd, Rancher, Docker, CertsD} }

// Program returns the name of the program that reads the format.
func (f Format) Program() string {
	switch f {
	case RKE:
		return "RKE"
	case K3s:
		return "k3s"
	case Rancher:
		return "Rancher"
	case Docker:
		return "Docker"
	}
	return "containerd"
}

// FormatList lists the formats, for messages.
func FormatList() string {
	var names []string
	for _, f := range Formats() {
		names = append(names, string(f))
	}
	last := len(names) - 1
	return strings.Join(names[:last], ", ") + " or " + names[last]
}
