package convert_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/containerd/containerd/v2/core/remotes/docker"
	dockerconfig "github.com/containerd/containerd/v2/core/remotes/docker/config"
	"github.com/containerd/log"
	"github.com/pelletier/go-toml/v2"
	"github.com/sirupsen/logrus"
	yaml "go.yaml.in/yaml/v3"

	"github.com/berth-registry/berth/config/convert"
	"github.com/berth-registry/berth/hostsconf"
	"github.com/berth-registry/berth/internal/managedfile"
)

var emptySnapshot managedfile.Snapshot

// resolver uses containerd's own package to resolve a certs.d.
type resolver struct {
	dir string
	// login returns the login of a host without a header. only says that no other host is
	// asked.
	login func(host string, only bool) string
	// rewrites holds the rewrite rules of an address by registry; containerd's package does not
	// know them.
	rewrites map[string]map[string]string
}

func (r resolver) asked(t *testing.T, registry string) []hop {
	t.Helper()
	quiet := logrus.New()
	quiet.SetOutput(io.Discard)
	ctx := log.WithLogger(context.Background(), logrus.NewEntry(quiet))
	hosts, err := dockerconfig.ConfigureHosts(ctx, dockerconfig.HostOptions{
		HostDir: dockerconfig.HostDirFromRoot(r.dir),
	})(registry)
	if err != nil {
		t.Fatal(err)
	}
	var all []hop
	for i, h := range hosts {
		a := hop{url: h.Scheme + "://" + h.Host + h.Path}
		switch pull, resolve := h.Capabilities.Has(docker.HostCapabilityPull), h.Capabilities.Has(docker.HostCapabilityResolve); {
		case !pull && !resolve:
			continue
		case !resolve:
			a.only = "pull"
		case !pull:
			a.only = "resolve"
		}
		fallback := transport(t, h, &a)
		if basic, ok := strings.CutPrefix(h.Header.Get("Authorization"), "Basic "); ok {
			decoded, err := base64.StdEncoding.DecodeString(basic)
			if err != nil {
				t.Fatal(err)
			}
			a.login = string(decoded)
		} else if r.login != nil {
			a.login = r.login(h.Host, len(hosts) == 1)
		}
		if rules := r.rewrites[registry]; rules != nil && i < len(hosts)-1 {
			a.repositories = rewritten(rules)
		}
		all = append(all, a)
		if fallback {
			a.url, a.skipVerify, a.ca, a.client = "http"+strings.TrimPrefix(a.url, "https"), false, false, false
			all = append(all, a)
		}
	}
	return all
}

// transport returns how a host is verified, and whether http is tried if it does not speak TLS.
func transport(t *testing.T, h docker.RegistryHost, a *hop) (fallback bool) {
	t.Helper()
	v := reflect.ValueOf(h.Client.Transport).Elem()
	if _, ok := h.Client.Transport.(*http.Transport); !ok {
		v, fallback = v.FieldByName("super").Elem().Elem(), true
	}
	config := v.FieldByName("TLSClientConfig").Elem()
	a.skipVerify = config.FieldByName("InsecureSkipVerify").Bool()
	a.ca = !config.FieldByName("RootCAs").IsNil()
	a.client = config.FieldByName("Certificates").Len() > 0
	return fallback
}

// rewritten applies rules as k3s' containerd does, in an order that is random. If several rules
// change a name, the expected one is unknown; the result is never equal to the original.
func rewritten(rules map[string]string) []string {
	var all []string
	for _, name := range repositories {
		for pattern, replacement := range rules {
			re, err := regexp.Compile(pattern)
			if err != nil {
				continue
			}
			if changed := re.ReplaceAllString(name, replacement); changed != name {
				name = changed
				break
			}
		}
		all = append(all, name)
	}
	return all
}

// source is the configuration before the conversion.
type source interface {
	registries() []string
	wildcard(registry string) bool
	asked(t *testing.T, registry string) []hop
}

// readSources returns the source, and for Docker one for each of its image stores.
func readSources(t *testing.T, format convert.Format, data []byte, certs string) []source {
	t.Helper()
	placed := []byte(strings.ReplaceAll(string(data), "/etc/certs/", certs+"/"))
	switch format {
	case convert.Containerd:
		return []source{readContainerd(t, placed)}
	case convert.CertsD:
		return []source{readCertsD(t, format, data, certs)}
	case convert.Docker:
		return []source{readDocker(t, data, certs, false), readDocker(t, data, certs, true)}
	}
	return []source{readK3s(t, placed)}
}

// tables are mirrors and configs, in either format.
type tables struct {
	Mirrors map[string]struct {
		Endpoint []string          `yaml:"endpoint" toml:"endpoint"`
		Rewrite  map[string]string `yaml:"rewrite" toml:"rewrite"`
	} `yaml:"mirrors" toml:"mirrors"`
	Configs map[string]struct {
		Auth *login `yaml:"auth" toml:"auth"`
		TLS  *certs `yaml:"tls" toml:"tls"`
	} `yaml:"configs" toml:"configs"`
	Auths map[string]login `yaml:"-" toml:"auths"`
}

type login struct {
	Username string `yaml:"username" toml:"username"`
	Password string `yaml:"password" toml:"password"`
	Auth     string `yaml:"auth" toml:"auth"`
	Token    string `yaml:"identity_token" toml:"identitytoken"`
}

type certs struct {
	CA   string `yaml:"ca_file" toml:"ca_file"`
	Cert string `yaml:"cert_file" toml:"cert_file"`
	Key  string `yaml:"key_file" toml:"key_file"`
	Skip bool   `yaml:"insecure_skip_verify" toml:"insecure_skip_verify"`
}

// text returns the login as ParseAuth of containerd's CRI reads it.
func (l login) text() string {
	switch {
	case l.Username != "":
		return l.Username + ":" + l.Password
	case l.Token != "":
		return "token " + l.Token
	}
	decoded, err := base64.StdEncoding.DecodeString(l.Auth)
	if err != nil || len(decoded) == 0 {
		return ""
	}
	return strings.TrimRight(string(decoded), "\x00")
}

// registries lists the registries that a source names, and two that it does not.
func (s tables) registries() []string {
	names := []string{"docker.io", "other.example", "localhost:5000"}
	add := func(written string) {
		if _, rest, ok := strings.Cut(written, "://"); ok {
			written = rest
		}
		written, _, _ = strings.Cut(written, "/")
		if name, err := hostsconf.ParseUpstream(written); err == nil && name != hostsconf.Default {
			names = append(names, name)
		}
	}
	for name, m := range s.Mirrors {
		add(name)
		for _, e := range m.Endpoint {
			add(e)
		}
	}
	for name := range s.Configs {
		add(name)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// wildcard reports whether a registry is the host of an endpoint while "*" has a mirror.
func (s tables) wildcard(registry string) bool {
	if len(s.Mirrors["*"].Endpoint) == 0 {
		return false
	}
	for _, m := range s.Mirrors {
		for _, e := range m.Endpoint {
			if _, rest, ok := strings.Cut(e, "://"); ok {
				e = rest
			}
			if host, _, _ := strings.Cut(e, "/"); host == registry {
				return true
			}
		}
	}
	return false
}

// k3s is a registries.yaml with the certs.d that k3s generates from it.
type k3s struct {
	tables
	resolver
	written map[string]bool
}

// readK3s writes the same files as k3s: see getHostConfigs in its pkg/agent/containerd/config.go,
// and its template of hosts.toml. Logins go into config.toml, where the CRI plugin looks them up by
// host.
func readK3s(t *testing.T, data []byte) k3s {
	t.Helper()
	s := k3s{resolver: resolver{dir: t.TempDir(), rewrites: map[string]map[string]string{}}, written: map[string]bool{}}
	if err := yaml.Unmarshal(data, &s.tables); err != nil {
		t.Fatal(err)
	}
	s.login = func(host string, _ bool) string {
		if auth := s.Configs[host].Auth; auth != nil {
			return auth.text()
		}
		return ""
	}
	names := map[string]bool{}
	for name := range s.Mirrors {
		names[name] = true
	}
	for name := range s.Configs {
		names[name] = true
	}
	for name := range names {
		body, rewrites := s.directory(t, name)
		if body == "" {
			continue
		}
		dir := name
		if name == "*" {
			dir = "_default"
		} else if host, port, ok := strings.Cut(name, ":"); ok && !strings.HasPrefix(name, "[") {
			dir = host + "_" + port + "_"
		}
		if strings.Contains(dir, "/") {
			continue
		}
		if err := os.MkdirAll(filepath.Join(s.dir, dir), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(s.dir, dir, "hosts.toml"), []byte(body), 0o600); err != nil {
			t.Fatal(err)
		}
		s.written[name] = true
		if rewrites != nil {
			s.rewrites[name] = rewrites
		}
	}
	return s
}

func (s k3s) directory(t *testing.T, name string) (body string, rewrites map[string]string) {
	var b bytes.Buffer
	server, ok := "", true
	if name != "*" {
		server, _, ok = k3sAddress(name)
	}
	if !ok {
		return "", nil
	}
	own := s.tls(name)
	worth := own != nil || s.Configs[name].Auth != nil
	if server != "" {
		fmt.Fprintf(&b, "server = %q\ncapabilities = [\"pull\", \"resolve\", \"push\"]\n", server)
	}
	keys(&b, own)
	b.WriteString("[host]\n")
	seen := map[string]bool{}
	endpoints := s.Mirrors[name].Endpoint
	for i, e := range endpoints {
		address, override, ok := k3sAddress(e)
		if !ok || seen[address] || i == len(endpoints)-1 && address == server {
			continue
		}
		seen[address], worth = true, true
		fmt.Fprintf(&b, "[host.%q]\ncapabilities = [\"pull\", \"resolve\"]\n", address)
		if override {
			b.WriteString("override_path = true\n")
		}
		u, err := url.Parse(address)
		if err != nil {
			t.Fatal(err)
		}
		host := u.Host
		if host == "registry-1.docker.io" {
			host = "docker.io"
		}
		keys(&b, s.tls(host))
	}
	if !worth {
		return "", nil
	}
	return b.String(), s.Mirrors[name].Rewrite
}

func (s k3s) tls(name string) *certs {
	if c, ok := s.Configs["registry-1.docker.io"]; name == "docker.io" && ok {
		return c.TLS
	}
	return s.Configs[name].TLS
}

func (s k3s) asked(t *testing.T, registry string) []hop {
	if !s.written[registry] {
		s.rewrites = map[string]map[string]string{registry: s.rewrites["*"]}
	}
	return s.resolver.asked(t, registry)
}

func keys(b *bytes.Buffer, c *certs) {
	if c == nil {
		return
	}
	if c.CA != "" {
		fmt.Fprintf(b, "ca = [%q]\n", c.CA)
	}
	if c.Cert != "" && c.Key != "" {
		fmt.Fprintf(b, "client = [[%q, %q]]\n", c.Cert, c.Key)
	}
	if c.Skip {
		b.WriteString("skip_verify = true\n")
	}
}

// k3sAddress follows normalizeEndpointAddress.
func k3sAddress(written string) (address string, override, ok bool) {
	if !strings.Contains(written, "://") {
		written = "//" + written
	}
	u, err := url.Parse(written)
	if err != nil || u.Host == "" {
		return "", false, false
	}
	if u.Scheme == "" {
		u.Scheme = "https"
		if loopback(u.Host) && u.Port() != "" && u.Port() != "443" {
			u.Scheme = "http"
		}
	}
	if u.Host == "docker.io" {
		u.Host = "registry-1.docker.io"
	}
	switch u.Path {
	case "", "/", "/v2":
		u.Path = "/v2"
		return u.String(), false, true
	}
	return u.String(), true, true
}

// loopback is docker.IsLocalhost of containerd.
func loopback(host string) bool {
	name := host
	if h, _, err := net.SplitHostPort(host); err == nil {
		name = h
	}
	ip := net.ParseIP(strings.Trim(name, "[]"))
	return name == "localhost" || ip != nil && ip.IsLoopback()
}

// deprecated is a config.toml with mirrors, configs and auths.
type deprecated struct {
	tables
	version int
}

func readContainerd(t *testing.T, data []byte) deprecated {
	t.Helper()
	var file struct {
		Version int `toml:"version"`
		Plugins map[string]struct {
			Registry tables `toml:"registry"`
		} `toml:"plugins"`
	}
	if err := toml.Unmarshal(data, &file); err != nil {
		t.Fatal(err)
	}
	s := deprecated{version: max(1, file.Version)}
	for _, name := range []string{"io.containerd.cri.v1.images", "io.containerd.grpc.v1.cri", "cri"} {
		if p, ok := file.Plugins[name]; ok && (len(p.Registry.Mirrors)+len(p.Registry.Configs)+len(p.Registry.Auths) > 0) {
			s.tables = p.Registry
		}
	}
	// Entries of auths override those of configs.
	for name, auth := range s.Auths {
		u, err := url.Parse(name)
		if err != nil {
			t.Fatal(err)
		}
		if u.Host == "" {
			continue
		}
		if s.Configs == nil {
			s.Configs = tables{Configs: map[string]struct {
				Auth *login `yaml:"auth" toml:"auth"`
				TLS  *certs `yaml:"tls" toml:"tls"`
			}{}}.Configs
		}
		c := s.Configs[u.Host]
		c.Auth = &auth
		s.Configs[u.Host] = c
	}
	return s
}

// asked follows registryEndpoints and registryHosts in the CRI plugin's image_pull.go. Releases
// before 2.0 use the tls tables.
func (s deprecated) asked(_ *testing.T, registry string) []hop {
	m, ok := s.Mirrors[registry]
	if !ok {
		m = s.Mirrors["*"]
	}
	server := registry
	if registry == "docker.io" {
		server = "registry-1.docker.io"
	}
	var all []hop
	named := false
	add := func(written string) {
		scheme := "https"
		if rest, _, _ := strings.Cut(written, "/"); loopback(rest) {
			scheme = "http"
		}
		if !strings.Contains(written, "://") {
			written = scheme + "://" + written
		}
		u, err := url.Parse(written)
		if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			return
		}
		named = named || u.Host == registry
		if u.Path == "" {
			u.Path = "/v2"
		}
		a := hop{url: u.Scheme + "://" + u.Host + strings.TrimSuffix(u.Path, "/")}
		c := s.Configs[u.Host]
		if c.TLS != nil && s.version < 3 {
			a.skipVerify, a.ca, a.client = c.TLS.Skip, c.TLS.CA != "", c.TLS.Cert != "" && c.TLS.Key != ""
		}
		if c.Auth != nil {
			a.login = c.Auth.text()
		}
		if len(m.Rewrite) > 0 {
			a.repositories = rewritten(m.Rewrite)
		}
		all = append(all, a)
	}
	for _, e := range m.Endpoint {
		add(e)
	}
	if !named {
		m.Rewrite = nil
		add(server)
	}
	return all
}
