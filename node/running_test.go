package node_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/berth-registry/berth/internal/containerdconf"
	"github.com/berth-registry/berth/node"
)

// The release is that of the running containerd, and each process is asked once.
func TestRunningRelease(t *testing.T) {
	m := machine(t, process812+"-- proc/812/cmdline --\n/usr/bin/containerd\n-- proc/812/stat --\n812 (containerd) S "+strings.Repeat("1 ", 42)+"\n")
	var asked []string
	m.Version = says("containerd github.com/containerd/containerd v1.7.28 abc", &asked)
	var r node.Running
	want := func(release string, questions int) {
		t.Helper()
		got := r.Release(t.Context(), m)
		if (release == "") != got.IsZero() || release != "" && got.String() != release || len(asked) != questions {
			t.Errorf("%s, asked %q", got, asked)
		}
	}
	want("1.7.28", 1)
	want("1.7.28", 1)
	if !strings.HasSuffix(asked[0], "/812/exe") {
		t.Errorf("asked %q", asked)
	}
	// It is restarted with another release.
	m.Version = says("containerd github.com/containerd/containerd/v2 v2.4.2 abc", &asked)
	stat := "812 (containerd) S " + strings.Repeat("2 ", 42)
	if err := os.WriteFile(filepath.Join(m.Proc, "812/stat"), []byte(stat), 0o644); err != nil {
		t.Fatal(err)
	}
	want("2.4.2", 2)
	// It cannot be asked: the release of the process before does not count.
	m.Version = func(_ context.Context, binary string) (string, error) {
		asked = append(asked, binary)
		return "", errors.New("exec format error")
	}
	if err := os.WriteFile(filepath.Join(m.Proc, "812/stat"), []byte(stat[:20]+strings.Repeat("3 ", 42)), 0o644); err != nil {
		t.Fatal(err)
	}
	want("", 4) // and the file on its command line
	want("", 6)
}

// Without a process it is the program that would be started, except in a distribution with its
// own containerd.
func TestReleaseWithoutAProcess(t *testing.T) {
	const unit = "-- root/etc/systemd/system/containerd.service --\n[Service]\nExecStart=/opt/containerd --config /a.toml\n"
	for _, c := range []struct{ name, archive, asked string }{
		{"a unit", unit, "/opt/containerd"},
		{"a unit, and its program", unit + "-- root/opt/containerd --\n", "/opt/containerd"},
		{"nothing", "", "/usr/bin/containerd"},
		{"k3s", unit + "-- root/var/lib/rancher/k3s/agent/etc/containerd/config.toml --\n", ""},
	} {
		var asked []string
		m := machine(t, c.archive)
		m.Version = says("containerd x v2.1.9 y", &asked)
		var r node.Running
		got := r.Release(t.Context(), m)
		want := containerdconf.Release{}
		if c.asked != "" {
			want = containerdconf.Release{Major: 2, Minor: 1, Patch: 9}
		}
		if got != want || strings.Join(asked, "") != strings.TrimSuffix(m.Root.Path(c.asked), "/") && c.asked != "" {
			t.Errorf("%s: %s, asked %q", c.name, got, asked)
		}
		asked = nil
		if again := r.Release(t.Context(), m); again != got || strings.Contains(c.archive, "root/opt/containerd") != (len(asked) == 0 && c.asked != "") {
			t.Errorf("%s: %s again, asked %q", c.name, again, asked)
		}
		m.Version = nil
		if got := r.Release(t.Context(), m); !got.IsZero() {
			t.Errorf("%s: %s, though nothing may be run", c.name, got)
		}
	}
}
