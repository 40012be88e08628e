package reconcile

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/berth-registry/berth/config"
	"github.com/berth-registry/berth/credprovider"
	"github.com/berth-registry/berth/hostsconf"
	"github.com/berth-registry/berth/node/desired"
	"github.com/berth-registry/berth/test/foreignforms"
)

// The provider gives the login of a registry only if no release of containerd asks another host
// because of a foreign file. test/e2e checks with real daemons which release asks which host.
func TestForeignFormsWithholdCredentials(t *testing.T) {
	given := 0
	for _, form := range foreignforms.All() {
		root := t.TempDir()
		dir := filepath.Join(root, "etc/containerd/certs.d")
		at := filepath.Join(dir, foreignforms.Registry)
		content := form.Content(foreignforms.Addresses{Plain: "http://127.0.0.1:5001", IPv6: "http://[::1]:5002"})
		if err := os.MkdirAll(at, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(at, "hosts.toml"), content, 0o644); err != nil {
			t.Fatal(err)
		}
		notices := applyBeside(t, root)
		if form.KillsV1 != slices.ContainsFunc(notices, func(n desired.Notice) bool { return strings.Contains(n.String(), "crash at a pull from quay.io") }) {
			t.Errorf("%s: crashes of 1.x %t, notices %q", form.Name, form.KillsV1, notices)
		}
		rules, err := credprovider.ReadRules(filepath.Join(root, credprovider.RulesFile))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := rules.Decide(foreignforms.Registry + "/team/app"); err != nil {
			continue
		}
		given++
		for _, family := range hostsconf.Families() {
			r, _ := family.Lookup(dir, foreignforms.Registry)
			for _, h := range r.Hosts {
				if h.Host != foreignforms.Registry {
					t.Errorf("%s: the login is given, and containerd %s asks %s", form.Name, family, h.URL())
				}
			}
		}
	}
	if given == 0 {
		t.Error("no form leaves the login: nothing was compared")
	}
}

// applyBeside applies a config with a login for quay.io that only the provider can give.
func applyBeside(t *testing.T, root string) []desired.Notice {
	t.Helper()
	cfg, _, err := config.Parse("config.yaml", []byte(`
apiVersion: berth/v1alpha1
kind: RegistryConfig
registries:
- {host: quay.io, username: robot, password: secret, auth: token}
`))
	if err != nil {
		t.Fatal(err)
	}
	m, err := Open(root)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	result, err := m.Apply(t.Context(), cfg, nil)
	if err != nil {
		t.Fatal(err)
	}
	return result.Plan.Notices
}
