package desired

import (
	"maps"
	"slices"
	"strings"

	"github.com/berth-registry/berth/config"
	"github.com/berth-registry/berth/credprovider"
	"github.com/berth-registry/berth/hostsconf"
	"github.com/berth-registry/berth/internal/dockerhub"
	"github.com/berth-registry/berth/internal/hostport"
)

// RuleDirectories returns the hosts that containerd asks for each upstream, for the provider's
// rules: of the desired directories where Berth writes the file, and of others where the file
// is foreign.
//
// Withdrawn endpoints are included: they may return before kubelet asks again, and then
// containerd offers them the credential.
//
// files are the digests of the hosts.toml files, by the directory's name. A header of an uncertain
// host does not count: a reader of the file may still need the login from kubelet.
func RuleDirectories(cfg *config.Config, desired []hostsconf.Directory, withdrawn map[string][]hostsconf.Host,
	uncertain map[hostsconf.URL]bool, foreign []hostsconf.Resolution, files map[string][]string) []credprovider.Directory {
	isForeign := make(map[string]bool, len(foreign))
	var all []credprovider.Directory
	for _, r := range foreign {
		isForeign[r.Registry] = true
		dir := foreignDirectory(r)
		dir.Files = files[r.Dir]
		all = append(all, dir)
	}
	for _, d := range desired {
		if isForeign[d.Upstream] {
			continue
		}
		dir := credprovider.Directory{
			Upstream: d.Upstream, AndUpstream: d.Server == nil, Files: files[hostsconf.DirName(d.Upstream)],
		}
		for _, h := range slices.Concat(d.Hosts, withdrawn[d.Upstream]) {
			dir.Hosts = append(dir.Hosts, ruleHost(cfg, h, uncertain))
		}
		if d.Server != nil {
			dir.Hosts = append(dir.Hosts, ruleHost(cfg, *d.Server, uncertain))
		}
		all = append(all, dir)
	}
	slices.SortFunc(all, func(a, b credprovider.Directory) int { return strings.Compare(a.Upstream, b.Upstream) })
	return all
}

func ruleHost(cfg *config.Config, h hostsconf.Host, uncertain map[hostsconf.URL]bool) credprovider.Host {
	return credprovider.Host{
		Host:     dockerhub.Canonical(h.URL.Host),
		Path:     h.URL.RepositoryPath(),
		Insecure: hostport.Exposed(h.URL.Scheme, h.URL.Host) && !allowsPlainHTTP(cfg, h.URL),
		Header:   !h.Authorization.IsZero() && !uncertain[h.URL],
	}
}

// allowsPlainHTTP reports whether every credential that the provider may choose for this
// address has the permission to go over plain http. The permission of one login does not extend
// to another login of the same host. As in the check of the config, a login under registries
// has it in its own entry, and other logins in any entry that covers them.
func allowsPlainHTTP(cfg *config.Config, u hostsconf.URL) bool {
	here := strings.TrimSuffix(u.Host+"/"+u.RepositoryPath(), "/")
	covered := func(name string) bool {
		return slices.ContainsFunc(cfg.Registries, func(r config.Registry) bool {
			return r.AllowPlainHTTPCredentials && credprovider.Within(name, r.Host)
		})
	}
	// For the provider host and host:443 are the same.
	canonical := strings.NewReplacer(":443/", "/").Replace
	chosen := func(name string) bool {
		name, here := canonical(name+"/"), canonical(here+"/")
		return strings.HasPrefix(name, here) || strings.HasPrefix(here, name)
	}
	for _, r := range cfg.Registries {
		if r.HasLogin() && chosen(r.Host) && !r.AllowPlainHTTPCredentials {
			return false
		}
	}
	for _, l := range cfg.DockerConfig {
		if chosen(l.Host) && !covered(l.Host) {
			return false
		}
	}
	_, isECR := cfg.ECRNames().Parse(u.Host)
	return !isECR || covered(here)
}

// foreignDirectory is a directory that Berth did not write. It has no permission for plain
// http.
func foreignDirectory(r hostsconf.Resolution) credprovider.Directory {
	dir := credprovider.Directory{Upstream: r.Registry, AndUpstream: r.AndUpstream}
	for _, h := range r.Hosts {
		dir.Hosts = append(dir.Hosts, credprovider.Host{
			Host:     dockerhub.Canonical(h.Host),
			Path:     hostsconf.URL{Path: h.Path}.RepositoryPath(),
			Insecure: hostport.Exposed(h.Scheme, h.Host),
			Header:   slices.Contains(h.Headers, "Authorization"),
		})
	}
	return dir
}

// MergeTransition merges two states of the directories: while files change one after the other,
// a host may get a credential only if it may in every mixture of the two. For an upstream
// without a directory, containerd asks "*" or the registry itself.
func MergeTransition(before, after []credprovider.Directory) []credprovider.Directory {
	b, a := byUpstream(before), byUpstream(after)
	var all []credprovider.Directory
	for _, upstream := range slices.Sorted(maps.Keys(union(b, a))) {
		joined := credprovider.Directory{Upstream: upstream}
		states := []map[string]credprovider.Directory{b, a}
		present := 0
		for _, state := range states {
			if d, ok := state[upstream]; ok {
				joined = join(joined, d)
				present++
			}
		}
		if present < len(states) {
			for _, state := range states {
				joined = join(joined, fallback(state))
			}
		}
		all = append(all, joined)
	}
	return all
}

// WithFiles returns directories with the digests that other has for the same upstream. The
// directories of absent may be missing on the node as well.
func WithFiles(directories, other []credprovider.Directory, absent []string) []credprovider.Directory {
	from := byUpstream(other)
	all := slices.Clone(directories)
	for i, d := range all {
		all[i].Files = slices.Clone(from[d.Upstream].Files)
		if slices.Contains(absent, d.Upstream) {
			all[i].Files = append(all[i].Files, "")
		}
	}
	return all
}

// fallback returns what containerd asks for an upstream without a directory.
func fallback(state map[string]credprovider.Directory) credprovider.Directory {
	if d, ok := state[hostsconf.Default]; ok {
		return d
	}
	return credprovider.Directory{AndUpstream: true}
}

func byUpstream(directories []credprovider.Directory) map[string]credprovider.Directory {
	m := make(map[string]credprovider.Directory, len(directories))
	for _, d := range directories {
		m[d.Upstream] = d
	}
	return m
}

func union(a, b map[string]credprovider.Directory) map[string]bool {
	keys := make(map[string]bool, len(a)+len(b))
	for k := range a {
		keys[k] = true
	}
	for k := range b {
		keys[k] = true
	}
	return keys
}

// join adds the hosts of d to those of to.
func join(to, d credprovider.Directory) credprovider.Directory {
	// With a directory without hosts containerd asks the registry itself.
	to.AndUpstream = to.AndUpstream || d.AndUpstream || len(d.Hosts) == 0
	for _, h := range d.Hosts {
		if !slices.Contains(to.Hosts, h) {
			to.Hosts = append(to.Hosts, h)
		}
	}
	for _, f := range d.Files {
		if !slices.Contains(to.Files, f) {
			to.Files = append(to.Files, f)
		}
	}
	return to
}

// WithholdAll returns rules that withhold every credential.
func WithholdAll() credprovider.Rules {
	return credprovider.Rules{Directories: []credprovider.Directory{
		{Upstream: hostsconf.Default, Hosts: []credprovider.Host{{Host: hostsconf.Unreadable}}},
	}}
}
