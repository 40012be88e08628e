package reconcile

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/berth-registry/berth/config"
	"github.com/berth-registry/berth/credprovider"
)

// TestHelperLogins: apply asks a helper once and writes the header, the rules have no secret, the
// provider answers from the file, and a helper that fails leaves no header and one error.
func TestHelperLogins(t *testing.T) {
	root, bin := t.TempDir(), t.TempDir()
	count := filepath.Join(bin, "count")
	program := filepath.Join(bin, "docker-credential-x")
	write := func(script string) {
		if err := os.WriteFile(program, []byte("#!/bin/sh\necho >> "+count+"\n"+script), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	write(`read host; echo "{\"ServerURL\":\"$host\",\"Username\":\"u\",\"Secret\":\"helper-canary\"}"`)
	n, err := Open(root)
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	f := config.File{Path: "config.yaml", Text: []byte("apiVersion: berth/v1alpha1\nkind: RegistryConfig\nregistries:\n" +
		"- {host: registry.corp, auth: basic, credentialHelper: " + program + "}\n")}
	cfg, _, err := f.Parse()
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := n.Apply(context.Background(), cfg, nil); err != nil {
			t.Fatal(err)
		}
	}
	if asked, _ := os.ReadFile(count); len(asked) != 1 {
		t.Errorf("asked %d times", len(asked))
	}
	hosts := filepath.Join(root, "etc/containerd/certs.d/registry.corp/hosts.toml")
	if b, err := os.ReadFile(hosts); err != nil || !strings.Contains(string(b), "Basic ") {
		t.Fatalf("%s, %v", b, err)
	}
	state := filepath.Join(root, StateDir)
	rules, err := credprovider.ReadRules(filepath.Join(state, "provider.json"))
	if err != nil {
		t.Fatal(err)
	}
	if b, _ := os.ReadFile(filepath.Join(state, "provider.json")); bytes.Contains(b, []byte("canary")) {
		t.Error("the rules have the secret")
	}
	info, err := os.Stat(filepath.Join(state, credprovider.HelperLoginsFile))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("%v, %v", info, err)
	}
	p := credprovider.Provider{Rules: rules, HelperErrors: rules.UseHelperLogins(state, info.ModTime())}
	p.Rules = rules
	c, err := p.ServerCredential(t.Context(), "registry.corp")
	if err != nil || c.Password.Reveal() != "helper-canary" || !strings.Contains(c.Rule, "credential helper") || c.Expires.IsZero() {
		t.Errorf("%+v, %v", c, err)
	}
	// The answer is lost and the helper fails: no header, no empty login, one error.
	if err := n.removeHelperLogins(); err != nil {
		t.Fatal(err)
	}
	write("echo helper-canary; exit 7")
	_, err = n.Apply(context.Background(), cfg, nil)
	if _, ok := errors.AsType[*HelperError](err); !ok || !strings.Contains(err.Error(), "exit code 7") || strings.Contains(err.Error(), "canary") {
		t.Errorf("%v", err)
	}
	if b, _ := os.ReadFile(hosts); strings.Contains(string(b), "Basic ") {
		t.Errorf("the header stays: %s", b)
	}
	if rules, err = credprovider.ReadRules(filepath.Join(state, "provider.json")); err != nil {
		t.Fatal(err)
	}
	reasons := rules.UseHelperLogins(state, info.ModTime())
	p = credprovider.Provider{Rules: rules, HelperErrors: reasons}
	if _, err = p.ServerCredential(t.Context(), "registry.corp"); err == nil || errors.Is(err, credprovider.ErrNotServed) {
		t.Errorf("a missing login: %v", err)
	}
}
