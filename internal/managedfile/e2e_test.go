//go:build e2e

package managedfile

import (
	"errors"
	"os"
	"path"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/berth-registry/berth/internal/managedfile/record"
)

// These tests mount file systems: as root, with
//
//	go test -tags e2e ./internal/managedfile

// tinyDisk mounts a file system of 64 KiB at a host path.
func (w *world) tinyDisk(t *testing.T, hostPath string) {
	t.Helper()
	w.mkdir(hostPath, 0o755)
	if err := unix.Mount("tmpfs", w.path(hostPath), "tmpfs", 0, "size=64k,mode=0755"); err != nil {
		t.Fatalf("mount a tmpfs (root is needed): %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(w.path(hostPath), 0); err != nil {
			t.Errorf("unmount: %v", err)
		}
	})
}

// fill uses up all space at a host path.
func (w *world) fill(hostPath string) {
	w.t.Helper()
	f, err := os.Create(w.path(hostPath))
	w.must(err)
	defer f.Close()
	block := make([]byte, 4096)
	for {
		if _, err := f.Write(block); errors.Is(err, unix.ENOSPC) {
			return
		} else if err != nil {
			w.must(err)
		}
	}
}

func TestLifeOnATinyDisk(t *testing.T) {
	w := newWorld(t)
	w.tinyDisk(t, "/etc")
	lifecycle(w)
}

func TestFullDiskBelowCertsD(t *testing.T) {
	w := newWorld(t)
	w.tinyDisk(t, certs)
	w.scope.Adopt = true
	w.write(certs+"/foreign.io/hosts.toml", "foreign\n", 0o640)
	base := w.tree("/etc")
	w.apply(hosts("docker.io", "a\n"), hosts("gone.io", "a\n"))
	w.fill(certs + "/ballast")
	before := w.tree("/etc")
	r, err := w.tryApply(hosts("docker.io", strings.Repeat("b", 8192)), hosts("quay.io", strings.Repeat("b", 8192)),
		hosts("foreign.io", strings.Repeat("b", 8192)))
	for _, want := range []string{
		docker + ": write: no space left on device (the old file is unchanged)",
		certs + "/foreign.io/hosts.toml: write: no space left on device (the old file is unchanged)",
		quay + ": ", "no space left on device (nothing was written)",
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v\nlacks %s", err, want)
		}
	}
	// Changes that need no space continue.
	w.expect(actions(r.Changed), "remove gone.io/hosts.toml")
	delete(before, certs+"/gone.io/hosts.toml")
	delete(before, certs+"/gone.io")
	if d := diffTrees(w.tree("/etc"), before); d != "" {
		t.Error(d)
	}
	// Restore needs no space for files that did not exist before.
	w.restore()
	w.remove(certs + "/ballast")
	if d := diffTrees(w.tree("/etc"), base); d != "" {
		t.Error(d)
	}
}

func TestFullDiskOfTheRecord(t *testing.T) {
	w := newWorld(t)
	w.tinyDisk(t, record.DefaultStateDir)
	base := w.tree("/")
	w.apply(hosts("docker.io", "a\n"))
	w.fill(record.DefaultStateDir + "/ballast")
	before := w.tree("/")
	r, err := w.tryApply(hosts("docker.io", "b\n"), hosts("quay.io", "b\n"))
	if !errors.Is(err, unix.ENOSPC) || !strings.Contains(err.Error(), "nothing was changed: "+record.DefaultStateDir+"/state.json: ") {
		t.Errorf("%v", err)
	}
	if len(r.Changed) != 0 || len(r.Skipped) != 2 {
		t.Errorf("changed %s, skipped %s", actions(r.Changed), actions(r.Skipped))
	}
	w.same(before)
	w.restore()
	w.remove(record.DefaultStateDir + "/ballast")
	w.same(base)
}

// The file system of certs.d has no space, and neither has that of the record: a file is changed in
// place, and is Berth's for the next process.
func TestFullDiskOfBoth(t *testing.T) {
	w := newWorld(t)
	w.tinyDisk(t, certs)
	w.tinyDisk(t, record.DefaultStateDir)
	base := w.tree("/")
	w.apply(hosts("docker.io", "a = 'secret'\nb\n"), hosts("quay.io", "a = 'secret'\nb\n"))
	w.fill(certs + "/ballast")
	w.fill(record.DefaultStateDir + "/ballast")
	before := w.tree("/")
	updates := w.unrecorded("#-----------\nb\n")
	r, err := w.store.ApplyUnrecorded(w.ctx(), w.scope, updates)
	if !errors.Is(err, unix.ENOSPC) || len(r.Changed) > 0 {
		t.Errorf("%v, changed %s", err, actions(r.Changed))
	}
	w.same(before)
	for i := range updates {
		updates[i].InPlace = true
	}
	r, err = w.store.ApplyUnrecorded(w.ctx(), w.scope, updates)
	w.must(err)
	w.expect(actions(r.Changed), "update docker.io/hosts.toml, update quay.io/hosts.toml")
	w.restart()
	w.expect(actions(w.plan(hosts("docker.io", "b\n"))), "update docker.io/hosts.toml, remove quay.io/hosts.toml")
	w.remove(record.DefaultStateDir + "/ballast")
	// The removal of a file makes space for another one.
	r, _ = w.tryApply()
	w.expect(actions(r.Changed), "remove docker.io/hosts.toml, remove quay.io/hosts.toml")
	if len(r.Saved) > 0 {
		t.Errorf("saved %v", r.Saved)
	}
	w.restore()
	w.remove(certs + "/ballast")
	w.same(base)
}

func TestReadOnlyDirectory(t *testing.T) {
	w := newWorld(t)
	w.apply(hosts("docker.io", "a\n"), hosts("quay.io", "a\n"), hosts("gone.io", "a\n"), hosts("stays.io", "a\n"))
	for _, host := range []string{"docker.io", "gone.io"} {
		at := w.path(certs + "/" + host)
		w.must(unix.Mount(at, at, "", unix.MS_BIND, ""))
		t.Cleanup(func() {
			if err := unix.Unmount(at, 0); err != nil {
				t.Errorf("unmount: %v", err)
			}
		})
		w.must(unix.Mount("", at, "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY, ""))
	}
	before := w.tree("/etc")
	r, err := w.tryApply(hosts("docker.io", "b\n"), hosts("quay.io", "b\n"), hosts("stays.io", "a\n"))
	w.expect(actions(r.Changed), "update quay.io/hosts.toml")
	if !errors.Is(err, unix.EROFS) || !strings.Contains(err.Error(), docker+": create: read-only file system (the old file is unchanged)") {
		t.Errorf("%v", err)
	}
	if !strings.Contains(err.Error(), certs+"/gone.io/hosts.toml: ") {
		t.Errorf("%v", err)
	}
	after := w.tree("/etc")
	for p, line := range before {
		if path.Dir(p) != certs+"/quay.io" && after[p] != line {
			t.Errorf("%s\nis   %s\nwant %s", p, after[p], line)
		}
	}
	w.expect(actions(w.plan(hosts("docker.io", "b\n"), hosts("quay.io", "b\n"), hosts("stays.io", "a\n"))),
		"update docker.io/hosts.toml, unchanged quay.io/hosts.toml, unchanged stays.io/hosts.toml, remove gone.io/hosts.toml")
}

// TestKeepOwner: the owner of a foreign file stays through its life as Berth's file.
func TestKeepOwner(t *testing.T) {
	w := singleWorld(t)
	const uid, gid = 12, 34
	owner := func(when string) {
		t.Helper()
		var s unix.Stat_t
		w.must(unix.Stat(w.path(kubelet), &s))
		if s.Uid != uid || s.Gid != gid || s.Mode&0o7777 != 0o640 {
			t.Errorf("%s: owner %d:%d, mode %o", when, s.Uid, s.Gid, s.Mode&0o7777)
		}
	}
	file := func(body string) File {
		return File{Path: kubelet, Body: []byte(body), Mode: 0o640, KeepOwner: true}
	}
	w.write(kubelet, "theirs", 0o640)
	w.must(os.Chown(w.path(kubelet), uid, gid))
	before := w.tree("/etc")
	for _, step := range []struct{ action, body string }{{"adopt", "{}"}, {"update", "{1}"}, {"unchanged", "{1}"}} {
		if got := actions(w.plan(file(step.body))); got != step.action+" "+kubelet {
			t.Errorf("plan: %s, want %s", got, step.action)
		}
		w.apply(file(step.body))
		owner(step.action)
	}
	w.restore()
	owner("restored")
	if d := diffTrees(w.tree("/etc"), before); d != "" {
		t.Error(d)
	}
}

func TestReadOnlyRoot(t *testing.T) {
	w := newWorld(t)
	w.apply(hosts("docker.io", "a\n"))
	before := w.tree("/")
	w.must(unix.Mount(w.dir, w.dir, "", unix.MS_BIND, ""))
	t.Cleanup(func() {
		if err := unix.Unmount(w.dir, unix.MNT_DETACH); err != nil {
			t.Errorf("unmount: %v", err)
		}
	})
	w.must(unix.Mount("", w.dir, "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY, ""))
	ro := openWorld(t, w.dir) // through the new mount
	defer ro.close()
	if _, err := ro.tryApply(hosts("docker.io", "b\n")); !errors.Is(err, unix.EROFS) {
		t.Errorf("%v", err)
	}
	if r, err := ro.tryApply(hosts("docker.io", "a\n")); err != nil || len(r.Changed) > 0 {
		t.Errorf("nothing to do, on a read-only disk: %v", err)
	}
	if _, err := ro.store.Restore(ro.ctx()); !errors.Is(err, unix.EROFS) {
		t.Errorf("%v", err)
	}
	w.same(before)
}
