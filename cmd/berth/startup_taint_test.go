package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// What is wrong with the command line or the pod is one line with a remedy, and nothing is started.
func TestStartupTaintRefuses(t *testing.T) {
	t.Setenv("KUBERNETES_SERVICE_HOST", "")
	account := t.TempDir()
	const key = "--key=berth.example/starting"
	for _, c := range []struct {
		args string
		host string
		code int
		want string
	}{
		{"", "", 2, "--key"},
		{"--key=node.kubernetes.io/not-ready", "", 2, "belongs to Kubernetes"},
		{key + " --fail-open=0", "", 2, "10m, or never"},
		{key + " --fail-open=soon", "", 2, "10m, or never"},
		{key, "", 1, "KUBERNETES_SERVICE_HOST"},
		{key + " --service-account=" + account, "127.0.0.1", 1, "automountServiceAccountToken"},
	} {
		t.Setenv("KUBERNETES_SERVICE_HOST", c.host)
		t.Setenv("KUBERNETES_SERVICE_PORT", "1")
		var stdout, stderr bytes.Buffer
		code := run(append([]string{"startup-taint"}, strings.Fields(c.args)...), strings.NewReader(""), &stdout, &stderr)
		if code != c.code || !strings.Contains(stderr.String(), c.want) || strings.Count(stderr.String(), "\n") != 1 {
			t.Errorf("%s: exit code %d, want %d\n%s", c.args, code, c.code, &stderr)
		}
	}
	// A file without a certificate.
	for name, content := range map[string]string{"token": "token-canary", "ca.crt": "none"} {
		if err := os.WriteFile(filepath.Join(account, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var stdout, stderr bytes.Buffer
	code := run([]string{"startup-taint", key, "--service-account=" + account}, strings.NewReader(""), &stdout, &stderr)
	if code != 1 || !strings.Contains(stderr.String(), "ca.crt: holds no certificate") || strings.Contains(stderr.String(), "canary") {
		t.Errorf("exit code %d\n%s", code, &stderr)
	}
}
