package hostsconf

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/berth-registry/berth/internal/redact"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func mustURL(t testing.TB, s string) URL {
	t.Helper()
	u, err := ParseURL(s, false)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func mirror(t testing.TB, url string) Host {
	return Host{URL: mustURL(t, url), Capabilities: []string{"pull", "resolve"}, DialTimeout: 2 * time.Second}
}

func withLogin(h Host) Host {
	h.Authorization = BasicAuthorization("user", redact.New("secret"))
	return h
}

func examples(t testing.TB) map[string]Directory {
	ca, cert, key := testCertificate(t)
	hub := Host{URL: UpstreamURL("docker.io", false)}
	secured := mirror(t, "https://mirror.corp:8443")
	secured.TLS = TLS{CA: ca, Cert: cert, Key: redact.New(string(key))}
	blind := mirror(t, "https://blind.corp")
	blind.TLS.SkipVerify = true
	plain := mirror(t, "http://plain.corp:5000")
	plain.TLS = TLS{CA: ca, SkipVerify: true}
	headers := mirror(t, "https://headers.corp")
	headers.Header = map[string][]string{"X-Org": {"team-a", `b "quoted" \ back`}, "X-Another": {""}}
	only := mirror(t, "https://only.corp/quay")
	direct := withLogin(Host{URL: mustURL(t, "https://registry.com:5555"), Capabilities: []string{"pull", "resolve"}})
	direct.TLS.CA = ca
	return map[string]Directory{
		"fallback":      {Upstream: "docker.io", Server: &hub, Hosts: []Host{mirror(t, "https://harbor.corp:8443/hub"), withLogin(mirror(t, "https://111122223333.dkr.ecr.us-east-1.amazonaws.com/docker-hub"))}},
		"mirror-only":   {Upstream: "quay.io", Server: &only},
		"several-only":  {Upstream: "quay.io", Server: &only, Hosts: []Host{mirror(t, "first.corp"), mirror(t, "second.corp")}},
		"direct-login":  {Upstream: "registry.com:5555", Server: &direct},
		"default":       {Upstream: Default, Hosts: []Host{mirror(t, "https://catch.corp/all")}},
		"pass-through":  {Upstream: "ghcr.io"},
		"tls":           {Upstream: "docker.io", Server: &hub, Hosts: []Host{secured, blind}},
		"plain-http":    {Upstream: "docker.io", Server: &hub, Hosts: []Host{plain, mirror(t, "localhost:5000")}},
		"headers":       {Upstream: "docker.io", Server: &hub, Hosts: []Host{withLogin(headers), mirror(t, "other.corp")}},
		"ipv6":          {Upstream: "[2001:db8::1]:5000", Server: &Host{URL: mustURL(t, "https://[2001:db8::1]:5000")}, Hosts: []Host{mirror(t, "[2001:db8::2]:5000/x")}},
		"default-login": {Upstream: Default, Server: ptr(withLogin(mirror(t, "https://catch.corp")))},
		"loopback":      {Upstream: "localhost:5000", Server: &Host{URL: UpstreamURL("localhost:5000", true)}},
		"api-root":      {Upstream: "docker.io", Server: &hub, Hosts: []Host{mirror(t, "https://art.corp/api/docker/hub/v2")}},
	}
}

func ptr[T any](v T) *T { return &v }

// containerd reads every example as intended, and the bytes are those of the golden file.
func TestRender(t *testing.T) {
	for name, dir := range examples(t) {
		t.Run(name, func(t *testing.T) {
			files, err := render("/etc/containerd/certs.d", dir)
			if err != nil {
				t.Fatal(err)
			}
			if err := verify(t.TempDir(), dir, files); err != nil {
				t.Error(err)
			}
			hosts := files[len(files)-1]
			if !strings.Contains(string(hosts.Body), "[host") {
				t.Error("no host table: containerd 1.6 would drop the file")
			}
			hasSecret := strings.Contains(string(hosts.Body), "header]")
			if want := map[bool]os.FileMode{true: 0o600, false: 0o644}[hasSecret]; hosts.Mode != want {
				t.Errorf("mode %o, want %o", hosts.Mode, want)
			}
			golden(t, name+".toml", hosts.Body)
		})
	}
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatalf("%v (go test ./hostsconf -update makes it)", err)
	}
	if string(want) != string(got) {
		t.Errorf("%s differs.\ngot:\n%s\nwant:\n%s", file, got, want)
	}
}

func TestRenderRefuses(t *testing.T) {
	m := mirror(t, "https://m.corp")
	with := func(change func(*Host)) Directory {
		h := m
		change(&h)
		return Directory{Upstream: "docker.io", Hosts: []Host{h}}
	}
	for want, dir := range map[string]Directory{
		"listed twice":              {Upstream: "docker.io", Hosts: []Host{m, m}},
		"older containerd releases": with(func(h *Host) { h.Capabilities = []string{"referrers"} }),
		"set by a login":            with(func(h *Host) { h.Header = map[string][]string{"authorization": {"x"}} }),
		"not a valid name":          with(func(h *Host) { h.Header = map[string][]string{"a b": {"x"}} }),
		"control character":         with(func(h *Host) { h.Header = map[string][]string{"A": {"x\ny"}} }),
		"HTTP header cannot":        with(func(h *Host) { h.Authorization = redact.New("a\x00b") }),
	} {
		if _, err := render("/c", dir); err == nil || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), "docker.io: ") {
			t.Errorf("render = %v, want an error with %q", err, want)
		}
	}
}

// Verification must be able to fail: each of these files differs from its intended hosts.
func TestVerifyNotices(t *testing.T) {
	dir := examples(t)["fallback"]
	for name, change := range map[string]func(string) string{
		"other server":       func(s string) string { return strings.Replace(s, "registry-1.docker.io", "evil.example", 1) },
		"host missing":       func(s string) string { return s[:strings.Index(s, "[host.")] },
		"no prefix":          func(s string) string { return strings.Replace(s, "override_path = true", "", 1) },
		"other path":         func(s string) string { return strings.ReplaceAll(s, "/v2/hub", "/v2/bub") },
		"other scheme":       func(s string) string { return strings.Replace(s, "https://harbor", "http://harbor", 1) },
		"other credential":   func(s string) string { return strings.Replace(s, "Basic ", "Basic A", 1) },
		"credential lost":    func(s string) string { return s[:strings.LastIndex(s, "    Authorization")] },
		"lower-case header":  func(s string) string { return strings.Replace(s, "Authorization", "authorization", 1) },
		"other capability":   func(s string) string { return strings.Replace(s, `"pull", `, "", 1) },
		"unknown capability": func(s string) string { return strings.Replace(s, `"pull"`, `"fetch"`, 1) },
		"no TOML":            func(s string) string { return s + "\n[[[" },
		"table twice":        func(s string) string { return s + s[strings.Index(s, "[host."):] },
		"verification off": func(s string) string {
			return strings.Replace(s, "dial_timeout", "skip_verify = true\n  dial_timeout", 1)
		},
		"a number as a header": func(s string) string { return s + "X = 5\n" },
		"empty":                func(string) string { return "" },
	} {
		files, err := render("/c", dir)
		if err != nil {
			t.Fatal(err)
		}
		last := &files[len(files)-1]
		changed := change(string(last.Body))
		if changed == string(last.Body) {
			t.Fatalf("%s: the case changes nothing", name)
		}
		last.Body = []byte(changed)
		err = verify(t.TempDir(), dir, files)
		if err == nil {
			t.Errorf("%s: not noticed", name)
			continue
		}
		if strings.Contains(err.Error(), "c2VjcmV0") || strings.Contains(err.Error(), "Basic") {
			t.Errorf("%s: the error shows the login: %v", name, err)
		}
	}
}

func FuzzRender(f *testing.F) {
	f.Add("docker.io", "https://mirror.corp/hub", "X-Org", "v", "user", "secret", true, uint8(0))
	f.Add("*", "http://localhost:5000", "", "", "", "", false, uint8(1))
	f.Add("[::1]:5000", "h/v2/x", "A", "\"\\\x7fé\u2028", "u:v", "p\"\\", true, uint8(2))
	f.Fuzz(func(t *testing.T, upstream, url, header, value, user, password string, fallback bool, capability uint8) {
		name, err := ParseUpstream(upstream)
		if err != nil {
			return
		}
		u, err := ParseURL(url, capability&4 != 0)
		if err != nil {
			return
		}
		h := Host{URL: u, Capabilities: [][]string{nil, {"pull"}, {"pull", "resolve"}, {"push"}}[capability&3], DialTimeout: time.Second}
		if header != "" {
			h.Header = map[string][]string{header: {value, value}}
		}
		if user != "" {
			h.Authorization = BasicAuthorization(user, redact.New(password))
		}
		dir := Directory{Upstream: name, Hosts: []Host{h}}
		switch {
		case !fallback:
			dir = Directory{Upstream: name, Server: &h}
		case name != Default:
			dir.Server = &Host{URL: UpstreamURL(name, false)}
		}
		files, err := render("/c", dir)
		if err != nil {
			return
		}
		if err := verify(t.TempDir(), dir, files); err != nil {
			t.Fatalf("%v\n%s", err, files[len(files)-1].Body)
		}
	})
}
