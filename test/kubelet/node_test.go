package kubelet

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Paths below the root that berth is given.
const (
	certsDir  = "etc/containerd/certs.d"
	rulesFile = "var/lib/berth/provider.json"
	tokenDir  = "run/berth/tokens"
)

// providerFlags make the provider use a root.
func providerFlags(root string) []string {
	return []string{"--root", root, "--rules", filepath.Join(root, rulesFile), "--run-dir", filepath.Join(root, tokenDir)}
}

// apply applies a RegistryConfig, given without its first two lines.
func apply(t *testing.T, root, config string, env []string) {
	t.Helper()
	config = "apiVersion: berth/v1alpha1\nkind: RegistryConfig\n" + config
	cmd := exec.CommandContext(t.Context(), berthBinary(), "apply", "--config", write(t, "config.yaml", []byte(config)), "--root", root)
	cmd.Env = env
	output, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("berth apply: %v\n%s\nof\n%s", err, output, config)
	}
	noSecret(t, "what berth says", string(output))
}

// node is an installation for a kubelet. Its provider is started through a script, which counts
// runs and can add flags.
type node struct {
	instead string // another program in place of our provider
	args    []string
	runs    string // file with one line for each run
}

// binDir makes the directory in which kubelet looks for the provider.
func (n *node) binDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	quoted := ""
	for _, a := range append([]string{n.program()}, n.args...) {
		quoted += fmt.Sprintf(" '%s'", a)
	}
	script := fmt.Sprintf("#!/bin/sh\necho run >>'%s'\nexec%s \"$@\"\n", n.runs, quoted)
	if err := os.WriteFile(filepath.Join(dir, "berth-credential-provider"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

func (n *node) program() string {
	if n.instead != "" {
		return n.instead
	}
	return providerBinary()
}

// count returns how many times the provider was run.
func (n *node) count(t *testing.T) int {
	t.Helper()
	raw, err := os.ReadFile(n.runs)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	return bytes.Count(raw, []byte("\n"))
}

// config returns our configuration for kubelet with changes: each edit replaces the first text by
// the second.
func config(t *testing.T, edits ...string) string {
	t.Helper()
	raw, err := os.ReadFile(manifest(configFile))
	if err != nil {
		t.Fatal(err)
	}
	text := string(raw)
	for i := 0; i < len(edits); i += 2 {
		if !strings.Contains(text, edits[i]) {
			t.Fatalf("%s holds no %q", configFile, edits[i])
		}
		text = strings.Replace(text, edits[i], edits[i+1], 1)
	}
	return write(t, "config.yaml", []byte(text))
}
