package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// The programs of a version, in few lines: their files and output depend on the verb alone.
const (
	fakeBerth = `#!/bin/sh
case $1 in
convert) echo 'apiVersion: berth/v1alpha1'; exit 0;;
restore) rm -rf node/etc/containerd/certs.d/docker.io; echo '{"changes": []}'; exit 0;;
esac
mkdir -p node/etc/containerd/certs.d/docker.io node/var/lib/berth
rm -rf node/etc/containerd/certs.d/docker.io/hosts.toml
echo 'server = "https://registry-1.docker.io"' > node/etc/containerd/certs.d/docker.io/hosts.toml
echo '{"version": 1}' > node/var/lib/berth/state.json
echo 'warning: config.yaml:1:1: kind: odd' >&2
echo '{"conflicts": 0, "changes": [{"path": "/etc/x", "action": "create", "reason": "because"}]}'
`
	fakeProvider = `#!/bin/sh
echo '{"auth": {}}'
`
)

// fakes writes the programs of a version.
func fakes(t *testing.T, berthProgram, providerProgram string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{berth: berthProgram, provider: providerProgram} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func try(t *testing.T, old, new string, only int) (string, error) {
	t.Helper()
	var out bytes.Buffer
	o := options{old: old, new: new, trials: 2, seed: 2, only: only, parallel: 2, dir: t.TempDir()}
	err := run(context.Background(), &out, o)
	return out.String(), err
}

func TestSameVersions(t *testing.T) {
	out, err := try(t, fakes(t, fakeBerth, fakeProvider), fakes(t, fakeBerth, fakeProvider), -1)
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	// Texts for people may differ.
	other := strings.NewReplacer("because", "for a reason", "kind: odd", "kind: strange").Replace(fakeBerth)
	if out, err := try(t, fakes(t, fakeBerth, fakeProvider), fakes(t, other, fakeProvider), -1); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// Any difference between the versions fails the trial, which is kept and can be repeated.
func TestDifferentVersions(t *testing.T) {
	old := fakes(t, fakeBerth, fakeProvider)
	for name, c := range map[string]struct{ berth, provider, says string }{
		"a byte in a file":      {strings.Replace(fakeBerth, "registry-1.", "registry-2.", 1), fakeProvider, "file /etc/containerd/certs.d/docker.io/hosts.toml"},
		"an exit code":          {fakeBerth + "exit 1\n", fakeProvider, ": exit\n"},
		"a value in the JSON":   {strings.Replace(fakeBerth, `"create"`, `"update"`, 1), fakeProvider, "|action"},
		"a value of the record": {strings.Replace(fakeBerth, `"version": 1`, `"version": 2`, 1), fakeProvider, "state.json|version"},
		"a place of a warning":  {strings.Replace(fakeBerth, "yaml:1:1", "yaml:1:2", 1), fakeProvider, "stderr warning config.yaml:1:2 kind"},
		"what restore leaves":   {strings.Replace(fakeBerth, "rm -rf node/etc/containerd/certs.d/docker.io;", "", 1), fakeProvider, "docker.io"},
		"a config":              {strings.Replace(fakeBerth, "berth/v1alpha1", "berth/v1", 1), fakeProvider, "yaml|apiVersion"},
		"an answer":             {fakeBerth, strings.Replace(fakeProvider, "auth", "Auth", 1), "stdout"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			out, err := try(t, old, fakes(t, c.berth, c.provider), 0)
			if err == nil || !strings.Contains(out, c.says) || !strings.Contains(out, "-seed 2 -trials 2 -only 0") {
				t.Fatalf("%v\n%s", err, out)
			}
			_, dir, _ := strings.Cut(out, "inputs and results: ")
			dir, _, _ = strings.Cut(dir, "\n")
			if _, err := os.Stat(filepath.Join(dir, "differences.txt")); err != nil {
				t.Errorf("the trial is not kept: %v", err)
			}
		})
	}
}

// Docker's files are converted only where both versions know them, and then a difference is found.
func TestDockersFiles(t *testing.T) {
	knows := strings.Replace(fakeBerth, "convert)", `convert) case "$*" in
*--help*) echo 'docker certs.d'; exit 0;;
*docker*|*certs.d*) echo 'mirrors: []'; exit 0;;
esac;`, 1)
	other := strings.Replace(knows, "mirrors: []", "registries: []", 1)
	old, oldKnows := fakes(t, fakeBerth, fakeProvider), fakes(t, knows, fakeProvider)
	const left = "not compared: convert --from docker"
	if out, err := try(t, old, fakes(t, other, fakeProvider), -1); err != nil || !strings.Contains(out, left) {
		t.Errorf("one version does not know them: %v\n%s", err, out)
	}
	if out, err := try(t, oldKnows, oldKnows, -1); err != nil || strings.Contains(out, left) {
		t.Errorf("the same: %v\n%s", err, out)
	}
	if out, err := try(t, oldKnows, fakes(t, other, fakeProvider), -1); err == nil || !strings.Contains(out, "yaml|registries") {
		t.Errorf("a difference: %v\n%s", err, out)
	}
}

// The same seed makes the same trial, whatever ran before.
func TestTrialsRepeat(t *testing.T) {
	c, err := startClouds()
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	o := options{seed: 7, docker: true}
	differ := false
	for n := range 50 {
		a, b := newTrial(o, n, "x", c), newTrial(o, n, "x", c)
		if !reflect.DeepEqual(a.steps, b.steps) || len(a.layout.entries) != len(b.layout.entries) {
			t.Fatalf("trial %d is another one the second time", n)
		}
		differ = differ || !reflect.DeepEqual(a.steps, newTrial(options{seed: 8, docker: true}, n, "x", c).steps)
	}
	if !differ {
		t.Error("another seed makes the same trials")
	}
}

// A rule for one difference must not match another one.
func TestPurposesAreNarrow(t *testing.T) {
	names := map[string]bool{}
	for _, p := range purposes {
		if names[p.name] || p.name == "" || p.what == "" {
			t.Errorf("purpose %q: named twice, or without a sentence", p.name)
		}
		names[p.name] = true
	}
	server := "-rw-r--r--\n# Written by berth; x\nserver = \"http://localhost:5000\"\n\n[host.\"https://m.corp\"]\n"
	bare := strings.Replace(server, "server = \"http://localhost:5000\"\n\n", "", 1)
	at := func(dir, old, new string) string {
		d := difference{name: atFile + certsDir + "/" + dir + "/hosts.toml", old: old, new: new, oldThere: true, newThere: true, subject: upstreamOf(dir)}
		c := situation{trial: &trial{}, step: on(&config{}, "apply")}
		if p := purposeOf(c, d); p != nil {
			return p.name
		}
		return ""
	}
	for _, c := range []struct{ dir, old, new, want string }{
		{"localhost_5000_", server, bare, "registries on this machine"},
		{"localhost_5000_", bare, server, ""},
		{"localhost_5000_", server, strings.Replace(bare, "m.corp", "other.corp", 1), ""},
		{"localhost_5000_", server, strings.Replace(bare, "rw-r--r--", "rw-rw-rw-", 1), ""},
		{"quay.io", server, bare, ""},
	} {
		if got := at(c.dir, c.old, c.new); got != c.want {
			t.Errorf("%s: %q, want %q", c.dir, got, c.want)
		}
	}
}

func TestSubjects(t *testing.T) {
	for name, want := range map[string]string{
		atFile + "/etc/containerd/certs.d/[::1]_5000_/hosts.toml":                                        "[::1]:5000",
		atFile + "/etc/containerd/certs.d/_default/ca.crt":                                               "*",
		atFile + "/var/lib/berth/state.json|files|/etc/containerd/certs.d/docker.io/hosts.toml|scope":    "docker.io",
		atFile + "/var/lib/berth/provider.json|directories[[::1]:5000]|hosts[0]|host":                    "[::1]:5000",
		atFile + "/var/lib/berth/saved/etc_containerd_certs.d_127.0.0.1_80__hosts.toml.112167b85ccf92ef": "127.0.0.1:80",
		atJSON + "|changes[quay.io]|action":                                                              "quay.io",
		atJSON + "|conflicts":                                                                            "",
		atYAML + "|mirrors[a.corp:5000]|endpoints[0]|url":                                                "a.corp:5000",
	} {
		if got := subjectOf(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}
