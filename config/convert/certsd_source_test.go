package convert_test

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net/netip"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/berth-registry/berth/config/convert"
	"github.com/berth-registry/berth/hostsconf"
)

// certsD is a certs.d with the certificates that it names.
type certsD struct {
	resolver
	names    []string
	catchAll bool
	direct   map[string]bool // registries with a directory
}

var hostKey = regexp.MustCompile(`(?m)^\s*(?:\[host\."|[sS]erver = "|\[host\.')([^"']+)`)

// readCertsD writes the input below a directory, and real certificates in place of its own.
func readCertsD(t *testing.T, format convert.Format, data []byte, certs string) certsD {
	t.Helper()
	tree := archive(format, data)
	if tree == nil {
		tree = fstest.MapFS{"docker.io/hosts.toml": {Data: data}}
	}
	if sub, err := fs.Sub(tree, "certs.d"); err == nil && format == convert.Docker {
		tree = sub
	}
	root := t.TempDir()
	s := certsD{resolver: resolver{dir: filepath.Join(root, "certs.d")}, direct: map[string]bool{}}
	placed := strings.NewReplacer("/etc/certs/other.pem", certs+"/ca.pem", "/etc/certs/both.pem", certs+"/both.pem", "/etc/certs/", certs+"/")
	s.names = []string{"docker.io", "other.example", "localhost:5000"}
	err := fs.WalkDir(tree, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || path.Base(name) == "daemon.json" {
			return err
		}
		content, err := fs.ReadFile(tree, name)
		if err != nil {
			return err
		}
		switch word := strings.TrimSpace(string(content)); word {
		case "ca", "cert", "key", "both":
			content, err = os.ReadFile(filepath.Join(certs, word+".pem"))
		}
		if err != nil {
			return err
		}
		for _, m := range hostKey.FindAllStringSubmatch(string(content), -1) {
			if u, err := url.Parse(m[1]); err == nil {
				s.names = append(s.names, u.Host)
			}
		}
		if registry := hostsconf.UpstreamOf(path.Dir(name)); registry == hostsconf.Default {
			s.catchAll = true
		} else if registry != "" {
			s.names, s.direct[registry] = append(s.names, registry), true
		}
		file := filepath.Join(s.dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			return err
		}
		return os.WriteFile(file, []byte(placed.Replace(string(content))), 0o600)
	})
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return s
}

// registries lists names that images can have.
func (s certsD) registries() []string {
	names := slices.DeleteFunc(slices.Clone(s.names), func(name string) bool {
		parsed, err := hostsconf.ParseUpstream(name)
		return err != nil || parsed != name || name == hostsconf.Default
	})
	slices.Sort(names)
	return slices.Compact(names)
}

func (s certsD) wildcard(registry string) bool { return s.catchAll && !s.direct[registry] }

// dockerd is a daemon.json beside Docker's certs.d.
type dockerd struct {
	certsD
	Mirrors  []string `json:"registry-mirrors"`
	Insecure []string `json:"insecure-registries"`
	// older says that Docker has its older image store, not that of containerd.
	older bool
}

func readDocker(t *testing.T, data []byte, certs string, older bool) dockerd {
	t.Helper()
	s := dockerd{certsD: readCertsD(t, convert.Docker, data, certs), older: older}
	daemon := data
	if tree := archive(convert.Docker, data); tree != nil {
		daemon, _ = fs.ReadFile(tree, "daemon.json")
	} else {
		s.certsD = readCertsD(t, convert.Docker, []byte("-- certs.d/README --\n"), certs)
	}
	if len(daemon) > 0 {
		if err := json.Unmarshal(daemon, &s); err != nil {
			t.Fatal(err)
		}
	}
	s.Mirrors = slices.DeleteFunc(s.Mirrors, func(m string) bool {
		u, err := url.Parse(m)
		return err != nil || u.Scheme == "" || u.Host == "" || u.User != nil || strings.Contains(m, " ") // dockerd refuses it
	})
	for i, m := range s.Mirrors {
		u, err := url.Parse(m)
		if err != nil {
			t.Fatal(err)
		}
		s.Mirrors[i] = strings.TrimSuffix(m, "/") + "/"
		s.names = append(s.names, u.Host)
	}
	for i, r := range s.Insecure {
		s.Insecure[i] = strings.TrimPrefix(strings.TrimPrefix(r, "https://"), "http://")
		s.names = append(s.names, s.Insecure[i])
	}
	return s
}

// unverified is isSecureIndex of moby's daemon/pkg/registry; it resolves no name but localhost.
func (s dockerd) unverified(host string) bool {
	if slices.Contains(s.Insecure, host) && host != "docker.io" {
		return true
	}
	if loopback(host) {
		return true
	}
	u, err := url.Parse("//" + host)
	if err != nil {
		return false
	}
	addr, err := netip.ParseAddr(u.Hostname())
	return err == nil && slices.ContainsFunc(s.Insecure, func(r string) bool {
		network, err := netip.ParsePrefix(r)
		return err == nil && network.Contains(addr)
	})
}

func (s dockerd) asked(t *testing.T, registry string) []hop {
	if s.older {
		return s.askedByOlder(t, registry)
	}
	hops := s.resolver.asked(t, registry)
	hosts := map[string]bool{}
	for _, h := range hops {
		hosts[h.host()] = true
	}
	if len(hosts) != 1 {
		return hops
	}
	// mergeLegacyConfig of moby's daemon/hosts.go. All hosts share one client, so the first that is
	// not verified changes it for all.
	own := hops[0]
	if registry == "docker.io" && len(s.Mirrors) > 0 {
		hops = nil
		for _, m := range s.Mirrors {
			u, err := url.Parse(m)
			if err != nil {
				t.Fatal(err)
			}
			p := strings.TrimSuffix(u.Path, "/")
			if !strings.HasSuffix(p, "/v2") {
				p = path.Join(p, "/v2")
			}
			h := own
			h.url = u.Scheme + "://" + u.Host + "/" + strings.TrimPrefix(p, "/")
			hops = append(hops, h)
		}
		hops = append(hops, own)
	}
	if !slices.ContainsFunc(hops, func(h hop) bool { return s.unverified(h.host()) }) || len(hops) == 2 && hops[0].host() == hops[1].host() {
		return hops
	}
	var all []hop
	for _, h := range hops {
		h.skipVerify = true
		all = append(all, h)
		if strings.HasPrefix(h.url, "https:") {
			all = append(all, hop{url: "http" + strings.TrimPrefix(h.url, "https")})
		}
	}
	return all
}

// askedByOlder follows lookupV2Endpoints of moby's daemon/pkg/registry/service_v2.go.
func (s dockerd) askedByOlder(t *testing.T, registry string) (all []hop) {
	add := func(scheme, host, root string) {
		h := hop{url: scheme + "://" + host + root}
		if scheme == "https" {
			h.skipVerify = s.unverified(host)
			if found, _ := filepath.Glob(filepath.Join(s.dir, host, "*.crt")); len(found) > 0 && !h.skipVerify {
				h.ca = true
			}
			if found, _ := filepath.Glob(filepath.Join(s.dir, host, "*.key")); len(found) > 0 && !h.skipVerify {
				h.client = true
			}
		}
		all = append(all, h)
	}
	if registry == "docker.io" {
		for _, m := range s.Mirrors {
			u, err := url.Parse(m)
			if err != nil {
				t.Fatal(err)
			}
			add(u.Scheme, u.Host, strings.TrimSuffix(u.Path, "/")+"/v2")
		}
		return append(all, hop{url: "https://registry-1.docker.io/v2"})
	}
	add("https", registry, "/v2")
	if s.unverified(registry) {
		add("http", registry, "/v2")
	}
	return all
}

// generatedCertsD generates directories from the parts that matter.
func generatedCertsD(seed uint64) []byte {
	r := rand.New(rand.NewPCG(seed, 9))
	pick := func(from ...string) string { return from[r.IntN(len(from))] }
	dirs := []string{"docker.io", "a.corp", "a.corp:5000", "b.corp_80_", "b.corp:443", "localhost", "localhost:80", "localhost:443", "localhost:5000", "127.0.0.1:5000", "_default", "m.corp"}
	hosts := []string{"a.corp", "a.corp:5000", "m.corp", "m.corp:443", "m.corp:80", "m.corp:5000", "localhost", "localhost:5000", "registry-1.docker.io", "docker.io", "127.0.0.1:5000", "b.corp:443", "b.corp:80"}
	r.Shuffle(len(dirs), func(i, j int) { dirs[i], dirs[j] = dirs[j], dirs[i] })
	var b strings.Builder
	settings := func(indent, header string) {
		switch r.IntN(8) {
		case 0:
			b.WriteString(indent + "skip_verify = true\n")
		case 1:
			b.WriteString(indent + "skip_verify = false\n")
		case 2:
			b.WriteString(indent + "ca = \"/etc/certs/ca.pem\"\n")
		case 3:
			b.WriteString(indent + "client = [[\"/etc/certs/cert.pem\", \"/etc/certs/key.pem\"]]\n")
		}
		if r.IntN(4) == 0 {
			b.WriteString(indent + "capabilities = " + pick(`["pull"]`, `["resolve"]`, `["pull", "resolve"]`, `["push"]`) + "\n")
		}
		if r.IntN(5) == 0 {
			b.WriteString(indent + "override_path = true\n")
		}
		if r.IntN(4) == 0 {
			fmt.Fprintf(&b, "%s[%s]\n%s  Authorization = %q\n", indent, header, indent, pick("Basic dTpw", "Basic dTpw", "Basic djpw", "Bearer x"))
		}
	}
	for _, dir := range dirs[:1+r.IntN(5)] {
		if r.IntN(6) == 0 {
			fmt.Fprintf(&b, "-- %s/ca.crt --\nca\n", dir)
			continue
		}
		fmt.Fprintf(&b, "-- %s/hosts.toml --\n", dir)
		if r.IntN(2) == 0 {
			server := hostsconf.UpstreamOf(dir)
			if r.IntN(3) == 0 || server == "*" {
				server = pick(hosts...)
			}
			fmt.Fprintf(&b, "server = %q\n", pick("http://", "https://", "https://", "")+server+pick("", "", "", "/v2", "/hub"))
		}
		settings("", "header")
		seen := map[string]bool{}
		for range r.IntN(4) {
			host := pick("http://", "https://", "https://") + pick(hosts...) + pick("", "", "", "/", "/v2", "/hub", "/v2/hub")
			if !seen[host] {
				seen[host] = true
				fmt.Fprintf(&b, "[host.%q]\n", host)
				settings("  ", fmt.Sprintf("host.%q.header", host))
			}
		}
	}
	return []byte(b.String())
}

// generatedDocker generates a daemon.json and certificates.
func generatedDocker(seed uint64) []byte {
	r := rand.New(rand.NewPCG(seed, 10))
	pick := func(from ...string) string { return from[r.IntN(len(from))] }
	hosts := []string{"a.corp", "a.corp:5000", "m.corp", "m.corp:443", "m.corp:80", "localhost:5000", "127.0.0.1:5000", "b.corp:443", "10.0.0.5", "10.0.0.6:5000", "localhost"}
	var mirrors, insecure []string
	for range r.IntN(4) {
		mirrors = append(mirrors, fmt.Sprintf("%q", pick("http://", "https://", "https://")+pick(hosts...)+pick("", "/", "/hub", "/hub/")))
	}
	for range r.IntN(4) {
		insecure = append(insecure, fmt.Sprintf("%q", pick(append(hosts, "10.0.0.0/24", "https://s.corp", "docker.io")...)))
	}
	var b strings.Builder
	fmt.Fprintf(&b, "-- daemon.json --\n{\"registry-mirrors\": [%s], \"insecure-registries\": [%s]}\n", strings.Join(mirrors, ", "), strings.Join(insecure, ", "))
	for range r.IntN(3) {
		fmt.Fprintf(&b, "-- certs.d/%s/ca.crt --\nca\n", pick(hosts...))
	}
	return []byte(b.String())
}
