package reconcile

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/berth-registry/berth/test/nodetest"
)

// TestPlanRefusesHeadersOverPodRoles: a foreign file with a header would serve the pulls that are for
// the pod's own role. The config alone does not know it.
func TestPlanRefusesHeadersOverPodRoles(t *testing.T) {
	const registry = "111122223333.dkr.ecr.us-east-1.amazonaws.com"
	cfg := nodetest.ParseConfig(t, "registries:\n- {host: "+registry+", ecr: {serviceAccount: {}}}\n")
	const plain = "[host.\"https://mirror.corp\"]\n"
	for content, want := range map[string]string{
		plain: "",
		plain + "[host.\"https://mirror.corp\".header]\nAuthorization = \"Basic eDp5\"\n": registry +
			": the hosts.toml for it has a login for mirror.corp in a header, and pulls are with the pod's own role; remove that file",
	} {
		root := t.TempDir()
		dir := filepath.Join(root, "etc/containerd/certs.d", registry)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "hosts.toml"), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
		_, err := open(t, root).Plan(t.Context(), cfg)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", content, err)
		}
	}
}
