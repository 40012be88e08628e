//go:build e2e

package agent

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/berth-registry/berth/config"
	"github.com/berth-registry/berth/node/reconcile"
	"github.com/berth-registry/berth/test/fakes/fakeaws"
	"github.com/berth-registry/berth/test/nodetest"
)

// mountSmall mounts a file system of 64 KiB on dir for the time of the test.
func (n *node) mountSmall(dir string) {
	n.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		n.Fatal(err)
	}
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=64k,mode=0755"); err != nil {
		n.Fatalf("mount a small file system (as root): %v", err)
	}
	n.Cleanup(func() {
		n.end()
		if err := unix.Unmount(dir, 0); err != nil {
			n.Error(err)
		}
	})
}

// fill uses up the space that is left on a directory's file system.
func fill(t *testing.T, dir string) (filler string) {
	t.Helper()
	filler = filepath.Join(dir, "filler")
	f, err := os.Create(filler)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for err == nil {
		_, err = f.Write(bytes.Repeat([]byte("x"), 1024))
	}
	if !errors.Is(err, unix.ENOSPC) {
		t.Fatal(err)
	}
	return filler
}

// TestFullDisk needs root: certs.d is a file system of 64 KiB that is full.
func TestFullDisk(t *testing.T) {
	n := newNode(t)
	dir := filepath.Join(n.root, nodetest.CertsDir)
	n.mountSmall(dir)
	mirrors := func(count int, host string) string {
		c := nodetest.Head + "health: {mode: \"off\"}\nmirrors:\n"
		for i := range count {
			c += fmt.Sprintf("- upstream: r%d.corp\n  endpoints:\n  - url: https://%s\n", i, host)
		}
		return c
	}
	n.write("etc/config.yaml", mirrors(3, "a.corp"))
	n.start()
	for i := range 3 {
		n.waitForHost(fmt.Sprintf("r%d.corp", i), "a.corp", true)
	}
	n.converged()
	var before [3]string
	for i := range before {
		before[i] = n.hosts(fmt.Sprintf("r%d.corp", i))
	}

	filler := fill(t, dir)

	n.write("etc/config.yaml", mirrors(40, "b.corp"))
	n.eventually("it is reported", func() bool {
		s := n.agent.Snapshot()
		return strings.Contains(s.Converge.Error, "no space left on device") && !s.Ready.Ready && s.Config.OK
	})
	for i, want := range before {
		if got := n.hosts(fmt.Sprintf("r%d.corp", i)); got != want && !strings.Contains(got, "b.corp") {
			t.Errorf("r%d.corp is neither as before nor as wanted:\n%s", i, got)
		}
	}

	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	// 40 files of a page each still do not fit into 64 KiB.
	n.write("etc/config.yaml", mirrors(5, "b.corp"))
	for i := range 5 {
		n.waitForHost(fmt.Sprintf("r%d.corp", i), "b.corp", true)
	}
	n.eventually("ready again", func() bool { return n.agent.Snapshot().Ready.Ready })
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 5 {
		t.Errorf("%v %v", entries, err)
	}
}

// TestFullDiskStateDir needs root: Berth's own directory is full when a token expires. The
// header is removed nevertheless, and is written again when there is space.
func TestFullDiskStateDir(t *testing.T) {
	n, aws := ecrNode(t, 10*time.Second)
	dir := filepath.Join(n.root, reconcile.StateDir)
	n.mountSmall(dir)
	n.start()
	n.eventually("the header", func() bool { return n.authorization() != "" })
	n.converged()
	aws.Inject(fakeaws.Fault{Point: fakeaws.ECR, Status: http.StatusBadRequest, Code: "AccessDeniedException", Message: "not allowed"})
	filler := fill(t, dir)
	n.eventually("the header is gone", func() bool { return n.hosts("quay.io") != "" && n.authorization() == "" })
	if !strings.Contains(n.hosts("quay.io"), "images.corp") {
		t.Errorf("the mirror went with it:\n%s", n.hosts("quay.io"))
	}
	n.eventually("it is reported", func() bool {
		s := n.agent.Snapshot()
		return strings.Contains(s.Converge.Error, "no space left on device") && !s.Ready.Ready
	})
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	n.eventually("ready again", func() bool { return n.agent.Snapshot().Ready.Ready })
	aws.Heal()
	n.eventually("the header is back", func() bool { return n.authorization() != "" })
	if f := n.agent.Snapshot().Files; f.Repaired > 0 || len(f.Saved) > 0 || len(f.Conflicts) > 0 {
		t.Errorf("our own file was taken for an edit: %+v", f)
	}
	if _, err := os.Lstat(filepath.Join(n.root, "/run/berth/record")); err == nil {
		t.Error("the disk-full record is left")
	}
}

// TestFullDiskCertsDir needs root: the file system of certs.d itself is full when a token
// expires. The header is removed, the mirror stays.
func TestFullDiskCertsDir(t *testing.T) {
	n, aws := ecrNode(t, 10*time.Second)
	dir := filepath.Join(n.root, nodetest.CertsDir)
	n.mountSmall(dir)
	// A file of another tool, so that the mirror's is the only one of ours: the
	// removal of another one would make room.
	n.write("root"+nodetest.CertsDir+"/images.corp/hosts.toml", "[host]\n")
	n.start()
	n.eventually("the header", func() bool { return n.authorization() != "" })
	n.converged()
	aws.Inject(fakeaws.Fault{Point: fakeaws.ECR, Status: http.StatusBadRequest, Code: "AccessDeniedException", Message: "not allowed"})
	filler := fill(t, dir)
	n.eventually("the header is gone", func() bool { return n.hosts("quay.io") != "" && n.authorization() == "" })
	if strings.Contains(n.hosts("quay.io"), "Basic") {
		t.Errorf("the login is there:\n%s", n.hosts("quay.io"))
	}
	if hosts := nodetest.Lookup(t, n.root, "quay.io"); hosts != "https://images.corp/v2/quay https://quay.io/v2" {
		t.Errorf("containerd asks %s", hosts)
	}
	n.eventually("it is reported", func() bool {
		s := n.agent.Snapshot()
		return strings.Contains(s.Converge.Error, "no space left on device") && !s.Ready.Ready
	})
	n.nextPass() // the edited file stays as it is, and is ours
	if hosts := nodetest.Lookup(t, n.root, "quay.io"); hosts != "https://images.corp/v2/quay https://quay.io/v2" {
		t.Errorf("later containerd asks %s", hosts)
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	n.eventually("ready again", func() bool { return n.agent.Snapshot().Ready.Ready })
	aws.Heal()
	n.eventually("the header is back", func() bool { return n.authorization() != "" })
	if f := n.agent.Snapshot().Files; f.Repaired > 0 || len(f.Saved) > 0 {
		t.Errorf("our own file was taken for an edit: %+v", f)
	}
	if _, err := os.Lstat(filepath.Join(n.root, "/run/berth/record")); err == nil {
		t.Error("the disk-full record is left")
	}
}

// TestFullDisks needs root: certs.d and Berth's own directory are file systems of their own, and
// both are full. A login that the config withdraws leaves the disk, the mirror stays, and a restore
// removes the files, but not the rules of the provider.
func TestFullDisks(t *testing.T) {
	n := newNode(t)
	certs, state := filepath.Join(n.root, nodetest.CertsDir), filepath.Join(n.root, reconcile.StateDir)
	n.mountSmall(certs)
	n.mountSmall(state)
	n.write("root"+nodetest.CertsDir+"/foreign.corp/hosts.toml", "[host]\n")
	login := "registries:\n- host: a.corp\n  username: u\n  password: p\n"
	n.write("etc/config.yaml", mirrorTo("https://a.corp")+login)
	n.start()
	n.eventually("the header", func() bool { return n.authorization() != "" })
	n.converged()
	hosts := nodetest.Lookup(t, n.root, "quay.io")
	fillers := []string{fill(t, certs), fill(t, state)}
	n.write("etc/config.yaml", mirrorTo("https://a.corp"))
	n.eventually("the header is gone", func() bool { return n.hosts("quay.io") != "" && n.authorization() == "" })
	n.nextPass()
	if now := n.hosts("quay.io"); strings.Contains(now, "Basic") {
		t.Errorf("the login is there:\n%s", now)
	}
	if now := nodetest.Lookup(t, n.root, "quay.io"); now != hosts {
		t.Errorf("containerd asks %s, it asked %s", now, hosts)
	}
	n.end()
	m := openNode(t, n.root)
	report, err := m.Restore(t.Context(), config.Default())
	if !errors.Is(err, unix.ENOSPC) || n.hosts("quay.io") != "" || len(report.Saved) > 0 {
		t.Errorf("%v, saved %v, the file is %q", err, report.Saved, n.hosts("quay.io"))
	}
	for _, filler := range fillers {
		if err := os.Remove(filler); err != nil {
			t.Fatal(err)
		}
	}
	if report, err := m.Restore(t.Context(), config.Default()); err != nil || len(report.Saved) > 0 {
		t.Errorf("%v, saved %v", err, report.Saved)
	}
	for dir, want := range map[string]int{certs: 1, state: 0} {
		if left, err := os.ReadDir(dir); err != nil || len(left) != want {
			t.Errorf("%v, left in %s: %v", err, dir, left)
		}
	}
}

// TestReadOnlyCerts needs root: neither the normal write nor the one for a full disk works, and
// the error is reported once.
func TestReadOnlyCerts(t *testing.T) {
	n := newNode(t)
	login := "registries:\n- host: a.corp\n  username: u\n  password: p\n"
	n.write("etc/config.yaml", mirrorTo("https://a.corp")+login)
	n.start()
	n.waitForHost("quay.io", "a.corp", true)
	n.converged()
	dir := filepath.Join(n.root, nodetest.CertsDir)
	if err := unix.Mount(dir, dir, "", unix.MS_BIND, ""); err != nil {
		t.Fatalf("mount certs.d on itself (as root): %v", err)
	}
	mounted := true
	unmount := func() {
		if mounted {
			mounted = false
			if err := unix.Unmount(dir, 0); err != nil {
				t.Error(err)
			}
		}
	}
	t.Cleanup(func() { n.end(); unmount() })
	if err := unix.Mount("", dir, "", unix.MS_REMOUNT|unix.MS_BIND|unix.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	n.write("etc/config.yaml", mirrorTo("https://b.corp"))
	file := filepath.Join(nodetest.CertsDir, "quay.io", "hosts.toml")
	n.eventually("it is reported", func() bool { return strings.Contains(n.agent.Snapshot().Converge.Error, file) })
	response, err := http.Get(n.page() + "/readyz")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	if count := strings.Count(string(body), file); response.StatusCode != http.StatusServiceUnavailable || count != 1 {
		t.Errorf("%s, the file is named %d times:\n%s", response.Status, count, body)
	}
	http.DefaultClient.CloseIdleConnections()
	unmount()
	n.waitForHost("quay.io", "b.corp", true)
	n.eventually("ready again", func() bool { return n.agent.Snapshot().Ready.Ready })
}

// TestReadOnlyRun needs root: the lock file cannot be made, and the error says so.
func TestReadOnlyRun(t *testing.T) {
	n := newNode(t)
	m := openNode(t, n.root)
	dir := filepath.Join(n.root, "run")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", dir, "tmpfs", unix.MS_RDONLY, "mode=0755"); err != nil {
		t.Fatalf("mount a file system that is read-only (as root): %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	n.o.Log, n.o.Listen = slog.New(slog.DiscardHandler), ""
	err := New(m, n.o).Run(t.Context())
	if !errors.Is(err, unix.EROFS) || !strings.Contains(err.Error(), "make /run/berth a directory that root can write") {
		t.Error(err)
	}
}
