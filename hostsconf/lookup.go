package hostsconf

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/containerd/containerd/v2/core/remotes/docker"

	"github.com/berth-registry/berth/internal/hostport"
)

// Resolution says which hosts containerd asks for images of one registry, given the files of one
// certs.d.
type Resolution struct {
	Registry string // host[:port] as in image names
	// Dir is the name below certs.d of the directory that wins, "" if none exists. containerd
	// merges no other directory with it.
	Dir string
	// Shadowed lists existing directories that would win without Dir.
	Shadowed []string
	// Hosts are asked in this order.
	Hosts []ResolvedHost
	// AndUpstream says that containerd asks the registry itself last because no server is
	// named. For [Default], Hosts leaves it out.
	AndUpstream bool
	// Ignored is the reason why containerd ignores the hosts.toml of Dir and asks the upstream;
	// nil if containerd uses the file.
	Ignored error
}

// ResolvedHost is one host that containerd asks.
type ResolvedHost struct {
	Scheme, Host, Path string
	Pull, Resolve      bool
	// Headers are the names of the headers that only this host gets. The values are left out
	// because they may be secrets.
	Headers []string
}

// URL returns the address below which containerd sends requests.
func (h ResolvedHost) URL() string { return h.Scheme + "://" + h.Host + h.Path }

// Lookup is [Family.Lookup] of the newest releases.
func Lookup(certsDir, registry string) (Resolution, error) {
	return Newest.Lookup(certsDir, registry)
}

// Lookup uses containerd's own reader, as releases of family f have it, to find the hosts for
// images of registry (host[:port], "docker.io" for Docker Hub) in certsDir, a path of this
// machine. Symlinks are resolved on this machine. Only regular files are opened.
//
// An error means that containerd would fail the pull, hang or crash ([ErrCrashes]), or that a file
// is too large to read.
func (f Family) Lookup(certsDir, registry string) (Resolution, error) {
	r := Resolution{Registry: registry}
	for _, name := range dirNames(registry) {
		_, err := os.Stat(filepath.Join(certsDir, name))
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			return r, err
		case r.Dir == "":
			r.Dir = name
		default:
			r.Shadowed = append(r.Shadowed, name)
		}
	}
	if r.Dir == "" {
		r.Hosts = []ResolvedHost{upstreamHost(registry)}
		return r, nil
	}
	dir := filepath.Join(certsDir, r.Dir)
	dangling, err := checkDirectory(dir)
	if err != nil {
		return r, err
	}
	hosts, err := f.read(dir, registry, nil)
	if err == nil && dangling != nil {
		err = &skippedError{dangling}
	}
	switch skipped := (*skippedError)(nil); {
	case errors.As(err, &skipped):
		r.Ignored = err
	case err != nil:
		return r, fmt.Errorf("%s: %w", filepath.Join(dir, fileName), err)
	}
	r.Hosts = resolved(hosts)
	return r, nil
}

// checkDirectory refuses a directory in which containerd's reader would open something other than
// a regular file. dangling reports a hosts.toml that is a symlink to a missing file.
func checkDirectory(dir string) (dangling, err error) {
	file := filepath.Join(dir, fileName)
	content, err := readSafely(osFiles{}, file)
	if errors.Is(err, fs.ErrNotExist) {
		if target, lerr := os.Readlink(file); lerr == nil {
			dangling = fmt.Errorf("it is a symlink to %s, which is missing", target)
		}
	} else if err != nil {
		return nil, fmt.Errorf("%s: %w; fix or remove it", file, err)
	}
	names := tlsFiles(content)
	for i, name := range names {
		if !filepath.IsAbs(name) {
			names[i] = filepath.Join(dir, name)
		}
	}
	for _, name := range append(names, dockerCertificates(dir)...) {
		// containerd's own error describes a missing file better.
		if info, err := os.Stat(name); err == nil && !info.IsDir() {
			if err := checkRegular(info); err != nil {
				return nil, fmt.Errorf("%s: %w; fix or remove it", name, err)
			}
		}
	}
	return dangling, nil
}

// resolved converts containerd's hosts and leaves out values that may be secret.
func resolved(hosts []docker.RegistryHost) []ResolvedHost {
	all := make([]ResolvedHost, 0, len(hosts))
	for _, h := range hosts {
		all = append(all, ResolvedHost{
			Scheme: h.Scheme, Host: h.Host, Path: h.Path,
			Pull:    h.Capabilities.Has(docker.HostCapabilityPull),
			Resolve: h.Capabilities.Has(docker.HostCapabilityResolve),
			Headers: slices.Sorted(maps.Keys(h.Header)),
		})
	}
	return all
}

// dirNames lists the directories that containerd tries for a registry, in order.
func dirNames(registry string) []string {
	names := []string{DirName(registry), registry, defaultDir}
	return slices.Compact(names)
}

func upstreamHost(registry string) ResolvedHost {
	// On loopback containerd tries http unless the port is 443 or absent.
	port := hostport.Port(registry)
	plain := hostport.IsLoopback(registry) && port != "" && port != "443"
	u := UpstreamURL(registry, plain)
	return ResolvedHost{Scheme: u.Scheme, Host: u.Host, Path: u.APIPath(), Pull: true, Resolve: true}
}
