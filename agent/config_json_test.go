package agent

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/berth-registry/berth/agent/status"
	"github.com/berth-registry/berth/test/nodetest"
)

// TestConfigJSON checks that a foreign file that kubelet would use takes ours away within one pass,
// and that it comes back.
func TestConfigJSON(t *testing.T) {
	n := newNode(t)
	nodetest.Kubelet(t, n.root)
	n.write("etc/config.yaml", nodetest.Head+`
registries:
- {host: token.corp, username: u, password: hunter2, auth: token}
kubelet: {configJSON: true}
health: {mode: "off"}
`)
	exists := func(want bool) func() bool {
		return func() bool {
			_, err := os.Lstat(filepath.Join(n.root, nodetest.KubeletFile))
			return (err == nil) == want
		}
	}
	n.start()
	n.eventually("a login for kubelet", exists(true))
	n.converged()
	shown := func(check func(c *status.ConfigJSON, s status.Snapshot) bool) func() bool {
		return func() bool {
			s := n.agent.Snapshot()
			return s.ConfigJSON != nil && check(s.ConfigJSON, s)
		}
	}
	holds := shown(func(c *status.ConfigJSON, s status.Snapshot) bool {
		return c.Path == nodetest.KubeletFile && strings.Join(c.Hosts, " ") == "token.corp" && c.Why == "" && len(s.Files.Conflicts) == 0
	})
	n.eventually("the status names it", holds)

	const foreign = "/root/.docker/config.json"
	nodetest.WriteFile(t, n.root, foreign, "{}")
	n.eventually("ours is gone", exists(false))
	n.eventually("the conflict is reported", shown(func(c *status.ConfigJSON, s status.Snapshot) bool {
		return len(c.Hosts) == 0 && strings.HasPrefix(c.Why, foreign) && len(s.Files.Conflicts) == 1 && s.Files.Conflicts[0].Path == foreign &&
			s.Files.Managed == 1 // the credential provider's rules
	}))
	if alarms := status.Alarms(n.agent.Snapshot()); len(alarms) != 1 || alarms[0].Name != "FileConflict" {
		t.Errorf("%v", alarms)
	}
	if err := os.Remove(filepath.Join(n.root, foreign)); err != nil {
		t.Fatal(err)
	}
	n.eventually("ours is back", exists(true))
	n.eventually("the status names it again", holds)
	n.end()
	n.o.Restore = true
	n.start()
	n.eventually("restored", func() bool { return exists(false)() && n.agent.Snapshot().Phase == status.Restored })
}
