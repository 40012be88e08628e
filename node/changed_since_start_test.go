package node_test

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/berth-registry/berth/node"
)

// started sets the start time of processes 7 and 9 of h, through the boot time of the machine.
func started(t *testing.T, m node.Machine, at time.Time) {
	t.Helper()
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(m.Proc, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("stat", "btime "+strconv.FormatInt(at.Unix()-10, 10)+"\n")
	for _, pid := range []string{"7", "9"} {
		// 1000 ticks after the boot are ten seconds.
		write(pid+"/stat", pid+" (x) S "+strings.Repeat("1 ", 18)+"1000"+strings.Repeat(" 1", 22)+"\n")
	}
}

const processes = `
-- proc/7/comm --
containerd
-- proc/7/cmdline --
/usr/bin/containerd
-- proc/9/comm --
kubelet
-- proc/9/cmdline --
/usr/bin/kubelet
--image-credential-provider-config=/providers
-- root/etc/containerd/config.toml --
version = 2
-- root/providers/a.yaml --
kind: CredentialProviderConfig
`

// A file counts as changed if its content changed, or the file that a symlink leads to.
func TestChangedSinceTheStart(t *testing.T) {
	const config = "/etc/containerd/config.toml"
	m := machine(t, processes)
	path := m.Root.Path(config)
	long := time.Now().Add(-time.Hour)
	changed := func() (containerd, kubelet []string) {
		t.Helper()
		c, err := node.Discover(t.Context(), m)
		if err != nil {
			t.Fatal(err)
		}
		k, found, err := node.FindKubelet(m)
		if err != nil || !found {
			t.Fatal(err)
		}
		return node.ChangedSince(m, c), k.ChangedSince(m)
	}
	want := func(what string, containerd, kubelet []string) {
		t.Helper()
		if c, k := changed(); !slices.Equal(c, containerd) || !slices.Equal(k, kubelet) {
			t.Errorf("%s: %q and %q, want %q and %q", what, c, k, containerd, kubelet)
		}
	}
	started(t, m, time.Now().Add(time.Hour))
	want("before the start", nil, nil)
	started(t, m, long)
	want("after it", []string{config}, []string{"/providers", "/providers/a.yaml"})

	// An older file is moved there.
	if err := os.Chtimes(path, long.Add(-time.Hour), long.Add(-time.Hour)); err != nil {
		t.Fatal(err)
	}
	want("with an older date", []string{config}, []string{"/providers", "/providers/a.yaml"})

	// The path is a symlink to another file, which is changed in place.
	started(t, m, time.Now().Add(time.Hour))
	later := time.Now().Add(2 * time.Hour)
	real := filepath.Join(filepath.Dir(path), "real.toml")
	if err := os.Rename(path, real); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("real.toml", path); err != nil {
		t.Fatal(err)
	}
	want("a link", nil, nil)
	if err := os.Chtimes(real, later, later); err != nil {
		t.Fatal(err)
	}
	want("what a link leads to", []string{config}, nil)
}

// A kubelet that was not restarted after its unit got a provider.
func TestUnitNamesProvider(t *testing.T) {
	const unit = "-- root/etc/systemd/system/kubelet.service --\n[Service]\nExecStart=/usr/bin/kubelet --v=2\n"
	const dropIn = "-- root/etc/systemd/system/kubelet.service.d/99-berth.conf --\n[Service]\nExecStart=\nExecStart=/usr/bin/kubelet --v=2 --image-credential-provider-config=/p\n"
	for archive, want := range map[string]bool{"": false, unit: false, unit + dropIn: true} {
		if got := (node.Kubelet{}).UnitNamesProvider(machine(t, archive)); got != want {
			t.Errorf("%t with %q", got, archive)
		}
	}
}
