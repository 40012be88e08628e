package reconcile

import (
	"fmt"
	"path/filepath"
	"testing"

	"github.com/berth-registry/berth/config"
	"github.com/berth-registry/berth/credprovider"
)

// The permission to go over plain http belongs to one login, not to its host.
func TestPlainHTTPPermissionIsNotShared(t *testing.T) {
	const registries = `
- {host: plain.corp, username: all, password: one, auth: token, plainHTTP: true, allowPlainHTTPCredentials: true}
- {host: plain.corp/ops, username: ops, password: two, auth: token, allowPlainHTTPCredentials: %t}
`
	for _, c := range []struct {
		image    string
		allowed  bool // for ops
		insecure bool
	}{
		{"plain.corp/ops/x", true, false},
		{"plain.corp/ops/x", false, true},
		// One address serves both, so neither is sent there.
		{"plain.corp/other/x", false, true},
	} {
		rules := appliedRules(t, fmt.Sprintf(registries, c.allowed))
		_, err := rules.Decide(c.image)
		withheld, ok := err.(*credprovider.WithheldError)
		if insecure := ok && withheld.Insecure; insecure != c.insecure || err != nil && !insecure {
			t.Errorf("%s, ops allowed %t: %v", c.image, c.allowed, err)
		}
	}
}

func appliedRules(t *testing.T, registries string) credprovider.Rules {
	t.Helper()
	cfg, _, err := config.Parse("config.yaml", []byte("apiVersion: berth/v1alpha1\nkind: RegistryConfig\nregistries:"+registries))
	if err != nil {
		t.Fatal(err)
	}
	root := t.TempDir()
	m, err := Open(root)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if _, err := m.Apply(t.Context(), cfg, nil); err != nil {
		t.Fatal(err)
	}
	rules, err := credprovider.ReadRules(filepath.Join(root, credprovider.RulesFile))
	if err != nil {
		t.Fatal(err)
	}
	return rules
}
