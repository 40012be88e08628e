package agent

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/berth-registry/berth/agent/status"
	"github.com/berth-registry/berth/test/fakes/fakedocker"
	"github.com/berth-registry/berth/test/nodetest"
)

// TestDocker checks that an agent follows Docker's own settings and its directory: an edit of
// daemon.json takes a login out of a file, and an edit of a file is corrected.
func TestDocker(t *testing.T) {
	n := newNode(t)
	fakedocker.Start(t, filepath.Join(n.root, "/run/docker.sock"), fakedocker.Info{Version: "29.7.2", APIVersion: "1.53"})
	n.write("etc/config.yaml", nodetest.Head+`
mirrors:
- upstream: docker.io
  endpoints: [{url: https://harbor.corp/hub}]
  upstreamFallback: false
registries:
- {host: harbor.corp, username: u, password: p, auth: basic}
health: {mode: "off"}
`)
	n.write("root/etc/docker/daemon.json", "{}")
	file := filepath.Join(n.root, "/etc/docker/certs.d/docker.io/hosts.toml")
	login := func(want bool) func() bool {
		return func() bool {
			b, err := os.ReadFile(file)
			return err == nil && strings.Contains(string(b), "Authorization") == want
		}
	}
	n.start()
	n.eventually("a login for Docker", login(true))
	n.converged()
	n.write("root/etc/docker/daemon.json", `{"registry-mirrors": ["https://m.corp"]}`)
	n.eventually("no login beside registry-mirrors", login(false))
	n.write("root/etc/docker/daemon.json", `{}`)
	n.eventually("the login again", login(true))
	ours, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, append(ours, "# edited\n"...), 0o600); err != nil {
		t.Fatal(err)
	}
	n.eventually("the edit is corrected", func() bool {
		b, err := os.ReadFile(file)
		return err == nil && string(b) == string(ours)
	})
	s := n.agent.Snapshot()
	if d := s.Docker; d == nil || !d.Written || d.Reads != status.ReadsYes || d.Version != "29.7.2" || d.CertsDir != "/etc/docker/certs.d" {
		t.Errorf("%+v", d)
	}
	n.end()
	n.o.Restore = true
	n.start()
	n.eventually("restored", func() bool {
		_, err := os.Lstat(filepath.Join(n.root, "/etc/docker/certs.d"))
		return os.IsNotExist(err) && n.agent.Snapshot().Phase == status.Restored
	})
}
