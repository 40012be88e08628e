package desired

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/berth-registry/berth/credprovider"
	"github.com/berth-registry/berth/hostsconf"
	"github.com/berth-registry/berth/internal/dockerhub"
	"github.com/berth-registry/berth/internal/hostport"
	"github.com/berth-registry/berth/internal/redact"
)

// Docker are the settings of a Docker Engine that change what it does with hosts.toml files. If a
// directory names one host, Docker adds its own settings (moby's daemon/hosts.go,
// mergeLegacyConfig): registry-mirrors come first, as copies of that host with its header, and
// insecure-registries let it fall back to plain http.
type Docker struct {
	// Mirrors are its registry-mirrors, and Insecure its insecure-registries.
	Mirrors, Insecure []string
	// Unsettled says why the running daemon may have others, "" if they are known.
	Unsettled string
	// CannotRead says why Docker cannot read a file with a login, "" if it can.
	CannotRead string
}

// fitForDocker changes dir, which Docker reads too, in two points. The registry's own entry can be
// pushed to. A directory that names one host has no header while Docker's own settings apply to it,
// or may.
func (d *State) fitForDocker(dir *hostsconf.Directory) {
	d.allowPush(dir)
	docker := d.in.Readers.Docker
	// Docker looks Docker Hub up as docker.io.
	hub := dir.Upstream == dockerhub.Name || dir.Upstream == hostsconf.Default && !d.hasDirectory[dockerhub.Name]
	if len(dir.Hosts) > 0 {
		if hub && len(docker.Mirrors) > 0 {
			d.notice(dir.Upstream, "registry-mirrors of Docker (%s) have no effect beside this hosts.toml, which names several hosts; "+
				"name them under mirrors, or remove them from daemon.json", strings.Join(docker.Mirrors, ", "))
		}
		switch entry := docker.insecure(dir.Upstream); {
		case dir.Upstream == hostsconf.Default && len(docker.Insecure) > 0:
			d.notice(dir.Upstream, "insecure-registries of Docker (%s) have no effect for images that this mirror is asked for first; "+
				"name each under registries, with plainHTTP or tls.insecureSkipVerify", strings.Join(docker.Insecure, ", "))
		case dir.Upstream != hostsconf.Default && entry != "":
			d.notice(dir.Upstream, "insecure-registries of Docker (%s) has no effect beside this hosts.toml, which names several hosts; "+
				"set plainHTTP or tls.insecureSkipVerify for it under registries", entry)
		}
		return
	}
	only := dir.Server // nil: the upstream itself, which then has no header
	if only == nil || only.Authorization.IsZero() && len(only.Header) == 0 {
		return
	}
	why := ""
	switch entry := docker.insecure(only.URL.Host); {
	case hub && len(docker.Mirrors) > 0:
		why = fmt.Sprintf("Docker would send them to its registry-mirrors (%s), too; name these under mirrors and remove them from daemon.json",
			strings.Join(docker.Mirrors, ", "))
	case entry != "":
		why = fmt.Sprintf("insecure-registries of Docker (%s) applies to it, so Docker would send them over plain http if https fails; "+
			"remove it from daemon.json", entry)
	case docker.Unsettled != "":
		why = fmt.Sprintf("registry-mirrors and insecure-registries of Docker are not known: %s", docker.Unsettled)
	default:
		return
	}
	d.notice(dir.Upstream, "headers and logins for %s are not written for Docker: %s", only.URL, why)
	bare := *only
	bare.Authorization, bare.Header = redact.Secret{}, nil
	dir.Server = &bare
}

// allowPush gives the registry's own entry the capability push, which docker push needs. A mirror
// never gets it by itself.
func (d *State) allowPush(dir *hostsconf.Directory) {
	if dir.Server == nil {
		return // containerd's own entry for the upstream has all capabilities
	}
	registry := hostsconf.UpstreamURL(dir.Upstream, false).Host
	pushable := false
	withPush := func(h hostsconf.Host) hostsconf.Host {
		if dir.Upstream == hostsconf.Default || !credprovider.SameHost(h.URL.Host, registry, h.URL.Scheme) || h.URL.RepositoryPath() != "" {
			pushable = pushable || slices.Contains(h.Capabilities, "push")
			return h
		}
		pushable = true
		if len(h.Capabilities) > 0 && !slices.Contains(h.Capabilities, "push") {
			h.Capabilities = append(slices.Clone(h.Capabilities), "push")
		}
		return h
	}
	server := withPush(*dir.Server)
	dir.Server = &server
	hosts := make([]hostsconf.Host, len(dir.Hosts))
	for i, h := range dir.Hosts {
		hosts[i] = withPush(h)
	}
	dir.Hosts = hosts
	if !pushable {
		what := "to " + dir.Upstream
		if dir.Upstream == hostsconf.Default {
			what = "to any registry without an entry of its own"
		}
		d.notice(dir.Upstream, "docker push %s fails, because upstreamFallback is false; where images are pushed, set it to true", what)
	}
}

// insecure returns the entry of insecure-registries that covers a host[:port], "" for none. A
// network covers every name, because no name is resolved here; only the loopback network is
// harmless.
func (k Docker) insecure(host string) string {
	for _, entry := range k.Insecure {
		name := entry
		if _, rest, ok := strings.Cut(entry, "://"); ok {
			name = rest
		}
		network, err := netip.ParsePrefix(name)
		if err != nil {
			if dockerhub.Canonical(strings.ToLower(name)) == dockerhub.Canonical(host) {
				return entry
			}
			continue
		}
		address, err := netip.ParseAddr(hostport.Host(host))
		if err == nil && network.Contains(address.Unmap()) || err != nil && !network.Addr().IsLoopback() {
			return entry
		}
	}
	return ""
}
