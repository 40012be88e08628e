package trace

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"path"
	"strings"

	"github.com/containerd/containerd/v2/core/remotes/docker"

	"github.com/berth-registry/berth/credprovider"
	"github.com/berth-registry/berth/internal/dockerhub"
	"github.com/berth-registry/berth/internal/proxy"
	"github.com/berth-registry/berth/node"
)

// LookDocker finds the Docker Engine of a node, as [Look] finds containerd. certsDir is where Berth
// writes for Docker.
func LookDocker(ctx context.Context, m node.Machine, certsDir string, getenv func(string) string) (Node, error) {
	d, found, err := node.DiscoverDocker(ctx, m)
	if err != nil {
		return Node{}, err
	}
	n := Node{Docker: &node.DockerSettings{Mirrors: d.Mirrors, Insecure: d.Insecure}, Proxy: proxy.FromEnvironment(getenv)}
	n.CertsDirs = []string{m.Root.Path(certsDir)}
	if !found {
		n.note("no-docker", "no Docker Engine is seen here; this is the result for one that reads "+certsDir, "run this where Docker runs")
		return n, nil
	}
	if d.PID != 0 {
		if settings, err := node.ProxyOf(m, d.PID); err == nil {
			n.Proxy = settings
		} else {
			n.note("proxy", "the proxy of Docker's environment cannot be read; that of this command is used", "run this as root")
		}
	}
	if !d.Proxy.HTTP.IsZero() {
		n.Proxy.HTTP = d.Proxy.HTTP
	}
	if !d.Proxy.HTTPS.IsZero() {
		n.Proxy.HTTPS = d.Proxy.HTTPS
	}
	if d.Proxy.No != "" {
		n.Proxy.No = d.Proxy.No
	}
	if d.Running != nil {
		n.Docker = d.Running
	}
	switch reads, why := d.Reads(); {
	case reads == node.DoesNot:
		n.CertsDirs = nil
		n.note("docker", why, d.Remedy())
	case reads == node.CannotTell:
		n.Unloaded = "whether Docker reads hosts.toml files is not known: " + why
	case d.Unsettled != "":
		n.Unloaded = "registry-mirrors and insecure-registries of Docker are not known: " + d.Unsettled
	}
	return n, nil
}

// program is the name of what pulls.
func (n Node) program() string {
	if n.Docker != nil {
		return "Docker"
	}
	return "containerd"
}

// withDockerSettings adds Docker's own settings to the hosts of a registry, as moby's
// daemon/hosts.go does (mergeLegacyConfig): only to a single host.
func (t *Tracer) withDockerSettings(ctx context.Context, registry string, hosts []docker.RegistryHost) []docker.RegistryHost {
	settings := t.Node.Docker
	if settings == nil || len(hosts) != 1 || len(settings.Mirrors)+len(settings.Insecure) == 0 {
		return hosts
	}
	if registry == dockerhub.Name && len(settings.Mirrors) > 0 {
		only := hosts[0]
		hosts = nil
		for _, written := range settings.Mirrors {
			if u, err := url.Parse(written); err == nil && u.Host != "" {
				hosts = append(hosts, mirrorOf(only, u))
			}
		}
		t.dockerMirrors = len(hosts)
		hosts = append(hosts, only)
	}
	for i, h := range hosts {
		transport, ok := h.Client.Transport.(*http.Transport)
		if !ok || !insecure(ctx, settings.Insecure, h.Host) {
			continue
		}
		unverified := transport.Clone()
		if unverified.TLSClientConfig == nil {
			unverified.TLSClientConfig = &tls.Config{}
		}
		unverified.TLSClientConfig.InsecureSkipVerify = true
		client := *h.Client
		client.Transport = docker.NewHTTPFallback(unverified)
		hosts[i].Client = &client
	}
	return hosts
}

// mirrorOf is one of registry-mirrors: a copy of the host with another address.
func mirrorOf(only docker.RegistryHost, u *url.URL) docker.RegistryHost {
	h := only
	h.Capabilities = docker.HostCapabilityPull | docker.HostCapabilityResolve | docker.HostCapabilityReferrers
	h.Scheme, h.Host, h.Path = u.Scheme, u.Host, strings.TrimSuffix(u.Path, "/")
	if !strings.HasSuffix(h.Path, "/v2") {
		h.Path = path.Join(h.Path, "/v2")
	}
	return h
}

// insecure reports whether a host is among insecure-registries. Docker resolves a name to compare
// it with networks; the networks of this machine are always among them.
func insecure(ctx context.Context, entries []string, host string) bool {
	networks := []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}
	for _, entry := range entries {
		if _, rest, ok := strings.Cut(entry, "://"); ok {
			entry = rest
		}
		if network, err := netip.ParsePrefix(entry); err == nil {
			networks = append(networks, network.Masked())
		} else if entry == host {
			return true
		}
	}
	name, _, err := net.SplitHostPort(host)
	if err != nil {
		name = strings.Trim(host, "[]")
	}
	addresses, _ := net.DefaultResolver.LookupNetIP(ctx, "ip", name)
	for _, a := range addresses {
		for _, network := range networks {
			if network.Contains(a.Unmap()) {
				return true
			}
		}
	}
	return false
}

// forDocker changes what is known of credentials: kubelet passes none, and the login of docker login
// is not known here.
func forDocker(e credprovider.Explanation) credprovider.Explanation {
	e.Credential, e.Err = nil, &unaskedError{"Docker has no header for it; docker login passes a login to the registry itself, never to a mirror"}
	return e
}
