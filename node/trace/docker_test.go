package trace

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/berth-registry/berth/internal/nodefs"
	"github.com/berth-registry/berth/node"
	"github.com/berth-registry/berth/test/fakes/fakedocker"
)

// TestDocker checks which hosts Docker asks, and in which order.
func TestDocker(t *testing.T) {
	const hub = "docker.io/team/app:v1"
	for name, c := range map[string]struct {
		mirrors, insecure bool
		hosts             func(w *fixture) // of the directory docker.io
		want              func(w *fixture) string
		count             int
		note              string
	}{
		"one host": {false, false, func(w *fixture) { w.hosts("docker.io", "server = %q\n[host]\n", w.up.URL) },
			func(w *fixture) string { return w.up.addr() }, 1, ""},
		"one host beside registry-mirrors": {true, false, func(w *fixture) { w.hosts("docker.io", "server = %q\n[host]\n", w.up.URL) },
			func(w *fixture) string { return w.mirror.addr() }, 2, "registry-mirrors"},
		"two hosts beside registry-mirrors": {true, false, func(w *fixture) {
			w.hosts("docker.io", "server = %q\n[host.%q]\n", w.up.URL, "http://"+refused(w))
		}, func(w *fixture) string { return w.up.addr() }, 2, ""},
		"a host over TLS that speaks http": {false, false, func(w *fixture) {
			w.hosts("docker.io", "server = %q\n[host]\n", "https://"+w.up.addr())
		}, func(*fixture) string { return "" }, 1, ""},
		"the same among insecure-registries": {false, true, func(w *fixture) {
			w.hosts("docker.io", "server = %q\n[host]\n", "https://"+w.up.addr())
		}, func(w *fixture) string { return w.up.addr() }, 1, ""},
	} {
		t.Run(name, func(t *testing.T) {
			w := newFixture(t)
			w.Node.Docker = &node.DockerSettings{}
			if c.mirrors {
				w.Node.Docker.Mirrors = []string{w.mirror.URL + "/"}
			}
			if c.insecure {
				w.Node.Docker.Insecure = []string{w.up.addr()}
			}
			c.hosts(w)
			r := w.Image(t.Context(), hub)
			if r.Verdict.Host != c.want(w) || len(r.Hosts) != c.count {
				t.Errorf("%+v", r)
			}
			noted := ""
			for _, n := range r.Notes {
				noted += n.ID + " "
			}
			if strings.TrimSpace(noted) != c.note || r.Credential != "" {
				t.Errorf("notes %q, credential %q", noted, r.Credential)
			}
		})
	}
}

// TestLookDocker checks that a Docker that reads no hosts.toml is not taken for one that does.
func TestLookDocker(t *testing.T) {
	for name, c := range map[string]struct {
		info     *fakedocker.Info
		dirs     int
		note     string
		unloaded string
	}{
		"none":           {nil, 1, "no-docker", ""},
		"reads":          {&fakedocker.Info{Version: "29.7.2", APIVersion: "1.53", Mirrors: []string{"https://m.corp"}}, 1, "", ""},
		"a graph driver": {&fakedocker.Info{Version: "29.7.2", APIVersion: "1.53", GraphDriver: true}, 0, "docker", ""},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			root, err := nodefs.OpenRoot(dir)
			if err != nil {
				t.Fatal(err)
			}
			defer root.Close()
			if c.info != nil {
				fakedocker.Start(t, filepath.Join(dir, "run/docker.sock"), *c.info)
				if err := os.MkdirAll(filepath.Join(dir, "etc/docker"), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(filepath.Join(dir, "etc/docker/daemon.json"), []byte(`{"registry-mirrors": ["https://not-yet.corp"], "proxies": {"http-proxy": "http://proxy.corp:3128"}}`), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			n, err := LookDocker(t.Context(), node.Machine{Root: root}, "/etc/docker/certs.d", func(string) string { return "" })
			if err != nil {
				t.Fatal(err)
			}
			note := ""
			if len(n.Notes) > 0 {
				note = n.Notes[0].ID
			}
			if len(n.CertsDirs) != c.dirs || note != c.note || n.Unloaded != c.unloaded || n.Docker == nil {
				t.Errorf("%+v", n)
			}
			if c.info != nil && (len(n.Docker.Mirrors) != len(c.info.Mirrors) || n.Proxy.HTTP.Reveal() != "http://proxy.corp:3128") {
				t.Errorf("not the settings of the running daemon: %+v", n.Docker)
			}
		})
	}
}
