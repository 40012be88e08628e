package reconcile

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/berth-registry/berth/config"
	"github.com/berth-registry/berth/test/fakes/fakedocker"
	"github.com/berth-registry/berth/test/nodetest"
)

const (
	dockerHubFile  = "/etc/docker/certs.d/docker.io/hosts.toml"
	dockerSettings = "/etc/docker/daemon.json"
)

var docker29 = fakedocker.Info{Version: "29.7.2", APIVersion: "1.53"}

// dockerNode is a node with a config for Docker.
type dockerNode struct {
	*testing.T
	root string
}

func (n dockerNode) config(mode string) *config.Config {
	n.Helper()
	body := `
mirrors:
- upstream: docker.io
  endpoints: [{url: https://harbor.corp/hub}]
  upstreamFallback: false
registries:
- {host: harbor.corp, username: u, password: hunter2, auth: basic}
`
	if mode != "" {
		body += "docker: {mode: \"" + mode + "\"}\n"
	}
	return nodetest.ParseConfig(n.T, body)
}

func (n dockerNode) apply(mode string) Result {
	n.Helper()
	m := open(n.T, n.root)
	plan, err := m.Plan(n.Context(), n.config(mode))
	if err != nil {
		n.Fatal(err)
	}
	result, err := m.Apply(n.Context(), n.config(mode), nil)
	if err != nil {
		n.Fatal(err)
	}
	if len(plan.Changes()) != len(result.Plan.Changes()) {
		n.Errorf("plan has %d changes, apply %d", len(plan.Changes()), len(result.Plan.Changes()))
	}
	if again, err := m.Plan(n.Context(), n.config(mode)); err != nil || again.Differs() {
		n.Errorf("a second plan differs: %+v, %v", again.Changes(), err)
	}
	return result
}

func (n dockerNode) write(file, content string) {
	n.Helper()
	name := filepath.Join(n.root, file)
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		n.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(content), 0o644); err != nil {
		n.Fatal(err)
	}
}

func (n dockerNode) read(file string) string {
	b, _ := os.ReadFile(filepath.Join(n.root, file))
	return string(b)
}

func (r Result) notices() string { return strings.Join(r.Summary().Notices, "\n") }

// TestDockerAuto follows mode auto: it begins when a Docker is seen that reads the files, and ends
// only with a known change.
func TestDockerAuto(t *testing.T) {
	n := dockerNode{t, t.TempDir()}
	n.apply("")
	if _, err := os.Lstat(filepath.Join(n.root, "/etc/docker")); err == nil {
		t.Error("/etc/docker is made on a node without Docker")
	}
	old := docker29
	old.GraphDriver = true
	engine := fakedocker.Start(t, filepath.Join(n.root, "/run/docker.sock"), old)
	if r := n.apply(""); n.read(dockerHubFile) != "" || !strings.Contains(r.notices(), "docker: nothing is written for Docker: its image store is that of earlier releases") {
		t.Errorf("written for the image store of earlier releases, or no notice:\n%s", r.notices())
	}
	engine.Set(docker29)
	n.apply("")
	first := n.read(dockerHubFile)
	if !strings.Contains(first, `server = "https://harbor.corp/v2/hub"`) || !strings.Contains(first, "Authorization") {
		t.Fatalf("not written when Docker is seen:\n%s", first)
	}
	if file := n.read("/etc/docker/certs.d/harbor.corp/hosts.toml"); !strings.Contains(file, `capabilities = ["pull", "resolve", "push"]`) {
		t.Errorf("no push to a registry with a login:\n%s", file)
	}
	if file := n.read("/etc/containerd/certs.d/harbor.corp/hosts.toml"); !strings.Contains(file, `capabilities = ["pull", "resolve"]`) {
		t.Errorf("containerd's file:\n%s", file)
	}
	engine.Stop()
	n.apply("") // its API does not answer; the settings of the daemon cannot be known
	if now := n.read(dockerHubFile); now == "" || strings.Contains(now, "Authorization") {
		t.Errorf("while Docker is stopped:\n%s", now)
	}
	engine.Resume()
	n.apply("")
	if now := n.read(dockerHubFile); now != first {
		t.Errorf("after a start:\n%s", now)
	}
	engine.Set(old)
	if n.apply(""); n.read(dockerHubFile) != "" {
		t.Error("stays although the image store is another one")
	}
	if _, err := os.Lstat(filepath.Join(n.root, "/etc/docker/certs.d/docker.io")); err == nil {
		t.Error("the directory stays")
	}
	if r := n.apply("on"); n.read(dockerHubFile) == "" || !strings.Contains(r.notices(), "docker: the files have no effect") {
		t.Errorf("mode on does not write, or no notice:\n%s", r.notices())
	}
	if n.apply("off"); n.read(dockerHubFile) != "" {
		t.Error("mode off does not remove")
	}
}

// TestDockerSettings checks that a login leaves a directory with one host as soon as a file or the
// running daemon names registry-mirrors, and returns only when neither does.
func TestDockerSettings(t *testing.T) {
	n := dockerNode{t, t.TempDir()}
	engine := fakedocker.Start(t, filepath.Join(n.root, "/run/docker.sock"), docker29)
	has := func(when string, want bool) {
		t.Helper()
		r := n.apply("")
		file := n.read(dockerHubFile)
		if got := strings.Contains(file, "Authorization"); got != want || file == "" {
			t.Errorf("%s: a login is there: %v\n%s", when, got, file)
		}
		if got := strings.Contains(r.notices(), "docker.io (Docker): headers and logins for https://harbor.corp/v2/hub are not written"); got == want {
			t.Errorf("%s: notices:\n%s", when, r.notices())
		}
		if !strings.Contains(n.read("/etc/containerd/certs.d/docker.io/hosts.toml"), "Authorization") {
			t.Errorf("%s: containerd's file has no login", when)
		}
	}
	has("no settings", true)
	n.write(dockerSettings, `{"registry-mirrors": ["https://m.corp"]}`)
	has("an edit before the reload", false)
	mirrored := docker29
	mirrored.Mirrors = []string{"https://m.corp/"}
	engine.Set(mirrored)
	has("after the reload", false)
	n.write(dockerSettings, `{}`)
	has("removed, before the reload", false)
	engine.Set(docker29)
	has("removed, after the reload", true)
}

// TestDockerRestore checks that Docker's own files stay as they were, also without the record.
func TestDockerRestore(t *testing.T) {
	for _, lost := range []bool{false, true} {
		n := dockerNode{t, t.TempDir()}
		const ca = "/etc/docker/certs.d/harbor.corp/ca.crt"
		n.write(ca, "-----BEGIN CERTIFICATE-----\n")
		n.write(dockerSettings, "{}")
		fakedocker.Start(t, filepath.Join(n.root, "/run/docker.sock"), docker29)
		n.apply("")
		if file := n.read("/etc/docker/certs.d/harbor.corp/hosts.toml"); !strings.Contains(file, `ca = "ca.crt"`) {
			t.Errorf("Docker's own certificate loses its effect:\n%s", file)
		}
		if lost {
			if err := os.Remove(filepath.Join(n.root, "/var/lib/berth/state.json")); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := open(t, n.root).Restore(t.Context(), config.Default()); err != nil {
			t.Fatal(err)
		}
		if n.read(ca) == "" || n.read(dockerSettings) != "{}" {
			t.Error("a file of Docker is gone")
		}
		for _, file := range []string{dockerHubFile, "/etc/docker/certs.d/harbor.corp/hosts.toml", "/etc/docker/certs.d/_berth", "/etc/containerd/certs.d/docker.io/hosts.toml"} {
			if _, err := os.Lstat(filepath.Join(n.root, file)); err == nil {
				t.Errorf("record lost %v: %s stays", lost, file)
			}
		}
	}
}

// TestDockerDirectoryUnreadable checks that something odd in Docker's place does not keep the files
// for containerd from being written, unless the config insists.
func TestDockerDirectoryUnreadable(t *testing.T) {
	n := dockerNode{t, t.TempDir()}
	n.write("/etc/docker/certs.d", "a file\n")
	fakedocker.Start(t, filepath.Join(n.root, "/run/docker.sock"), docker29)
	for _, mode := range []string{"", "off"} {
		r := n.apply(mode)
		if n.read("/etc/containerd/certs.d/docker.io/hosts.toml") == "" || !strings.Contains(r.notices(), "docker: nothing is written for Docker: ") {
			t.Errorf("mode %q: %s", mode, r.notices())
		}
	}
	if _, err := open(t, n.root).Apply(t.Context(), n.config("on"), nil); err == nil || !strings.Contains(err.Error(), "/etc/docker/certs.d") {
		t.Errorf("mode on: %v", err)
	}
}

// TestDockerShares checks a directory that containerd and Docker both read: one file serves both.
func TestDockerShares(t *testing.T) {
	n := dockerNode{t, t.TempDir()}
	fakedocker.Start(t, filepath.Join(n.root, "/run/docker.sock"), docker29)
	cfg := nodetest.ParseConfig(t, `
registries:
- {host: harbor.corp, username: u, password: p}
- {host: ghcr.io, username: u, password: p, tls: {insecureSkipVerify: true}}
containerd: {certsDir: /etc/docker/certs.d}
`)
	m := open(t, n.root)
	if _, err := m.Apply(t.Context(), cfg, nil); err != nil {
		t.Fatal(err)
	}
	if file := n.read("/etc/docker/certs.d/harbor.corp/hosts.toml"); !strings.Contains(file, "Authorization") || !strings.Contains(file, `"push"`) {
		t.Errorf("a registry with Basic:\n%s", file)
	}
	if file := n.read("/etc/docker/certs.d/ghcr.io/hosts.toml"); file == "" || strings.Contains(file, "Authorization") {
		t.Errorf("a registry with tokens:\n%s", file)
	}
	if plan, err := m.Plan(t.Context(), cfg); err != nil || plan.Differs() || len(plan.Trees) != 1 {
		t.Errorf("%+v, %v", plan, err)
	}
}
