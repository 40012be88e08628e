package managedfile

import (
	"errors"
	"os"
	"syscall"
	"testing"

	"github.com/berth-registry/berth/internal/managedfile/record"
	"github.com/berth-registry/berth/internal/nodefs"
)

// Files outside a scope's directory, such as kubelet's and containerd's own.

func singleWorld(t *testing.T) *world {
	w := newWorld(t)
	w.scope = Scope{Name: "kubelet", Adopt: true}
	return w
}

func provider(body string) File {
	return File{Path: kubelet, Body: []byte(body), Mode: 0o644}
}

func TestFileWithoutAMarker(t *testing.T) {
	w := singleWorld(t)
	before := w.tree("/")
	w.expect(actions(w.apply(provider("{}")).Changed), "create "+kubelet)
	w.expect(w.read(kubelet), "{}")
	w.expect(actions(w.plan(provider("{}"))), "unchanged "+kubelet)
	w.expect(actions(w.apply(provider("{1}")).Changed), "update "+kubelet)
	w.write(kubelet, "edit", 0o644)
	r := w.apply(provider("{1}"))
	if len(r.Saved) != 1 || r.Saved[0].Why != record.SavedEdit {
		t.Errorf("saved %v", r.Saved)
	}
	w.remove(r.Saved[0].Copy)
	w.remove(r.Saved[0].Copy + ".json")
	w.restore()
	w.same(before)
}

func TestAdoptedFileWithoutAMarker(t *testing.T) {
	for _, lost := range []bool{false, true} {
		w := singleWorld(t)
		w.write(kubelet, "theirs", 0o600)
		before := w.tree("/etc")
		w.apply(provider("{}"))
		w.apply(provider("{1}"))
		if lost {
			w.remove(record.DefaultStateDir + "/state.json")
			// Without the record the file is foreign: it is reported, not changed.
			w.scope.Adopt = false
			w.expect(actions(w.apply(provider("{2}")).Conflicts), "conflict "+kubelet)
			w.expect(w.read(kubelet), "{1}")
			continue
		}
		w.restore()
		if d := diffTrees(w.tree("/etc"), before); d != "" {
			t.Error(d)
		}
	}
}

func TestForeignFileWithWantedContent(t *testing.T) {
	w := singleWorld(t)
	w.write(kubelet, "{}", 0o644)
	before := w.tree("/")
	w.expect(actions(w.plan(provider("{}"))), "unchanged "+kubelet)
	w.apply(provider("{}"))
	w.restore()
	w.same(before)
}

func TestParentIsFile(t *testing.T) {
	w := singleWorld(t)
	w.write("/etc/kubernetes", "a file", 0o644)
	r, err := w.tryApply(provider("{}"), File{Path: "/etc/other/x", Mode: 0o644})
	if len(r.Conflicts) != 1 || len(r.Changed) != 1 || err != nil {
		t.Errorf("conflicts %v, changed %v, %v", actions(r.Conflicts), actions(r.Changed), err)
	}
}

func TestScopesDoNotTouchOneAnother(t *testing.T) {
	w := newWorld(t)
	before := w.tree("/")
	w.apply(hosts("docker.io", "a\n"))
	other := Scope{Name: "kubelet", Dir: certs}
	snap, err := w.store.Observe(other, []File{hosts("docker.io", "b\n")})
	w.must(err)
	changes := Plan([]File{hosts("docker.io", "b\n")}, snap)
	w.expect(actions(changes), "conflict docker.io/hosts.toml")
	snap, err = w.store.Observe(other, nil)
	w.must(err)
	w.expect(actions(Plan(nil, snap)), "")

	w.scope = Scope{Name: "kubelet"}
	w.apply(provider("{}"))
	w.restore(w.scope)
	if w.exists(kubelet) || !w.exists(docker) {
		t.Error("restore of one scope")
	}
	w.restore()
	w.same(before)
}

// The record knows the former directory of a scope that has moved.
func TestMovedDirectory(t *testing.T) {
	w := newWorld(t)
	before := w.tree("/")
	w.apply(hosts("docker.io", "a\n"))
	w.scope.Dir = "/etc/other"
	f := hosts("docker.io", "a\n")
	f.Path = "/etc/other/docker.io/hosts.toml"
	w.expect(actions(w.apply(f).Changed), "create "+f.Path+", remove docker.io/hosts.toml")
	if w.exists(certs + "/docker.io") {
		t.Error("the old directory is still there")
	}
	w.restore()
	w.same(before)
}

func TestFullDisk(t *testing.T) {
	w := newWorld(t)
	w.apply(hosts("docker.io", "a\n"))
	before := w.tree("/etc")
	w.opts = []Option{WithSteps(func(s nodefs.Step) error {
		if s.Op == "write" && len(s.Path) > len(certs) && s.Path[:len(certs)] == certs {
			return syscall.ENOSPC
		}
		return nil
	})}
	w.restart()
	_, err := w.tryApply(hosts("docker.io", "b\n"), hosts("quay.io", "b\n"))
	var fe *FileError
	if !errors.As(err, &fe) || !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("%v", err)
	}
	w.expect(err.Error(), docker+": write: no space left on device (the old file is unchanged)\n"+
		quay+": write: no space left on device (nothing was written)")
	if d := diffTrees(w.tree("/etc"), before); d != "" {
		t.Error(d)
	}
	w.opts = nil
	w.restart()
	w.expect(actions(w.apply(hosts("docker.io", "b\n"), hosts("quay.io", "b\n")).Changed), "update docker.io/hosts.toml, create quay.io/hosts.toml")
}

func TestRecordCannotBeWritten(t *testing.T) {
	w := newWorld(t)
	w.scope.Adopt = true
	w.write(docker, "theirs\n", 0o600)
	before := w.tree("/etc")
	w.opts = []Option{WithSteps(func(s nodefs.Step) error {
		if s.Op == "rename" && s.Path == record.DefaultStateDir+"/state.json" {
			return syscall.EROFS
		}
		return nil
	})}
	w.restart()
	r, err := w.tryApply(hosts("docker.io", "b\n"), hosts("quay.io", "b\n"))
	w.expect(err.Error(), "nothing was changed: "+record.DefaultStateDir+"/state.json: rename: read-only file system")
	if len(r.Changed) != 0 || len(r.Skipped) != 2 {
		t.Errorf("changed %v, skipped %v", actions(r.Changed), actions(r.Skipped))
	}
	if d := diffTrees(w.tree("/etc"), before); d != "" {
		t.Error(d)
	}
}

func TestTooLargeToKeep(t *testing.T) {
	w := newWorld(t)
	w.scope.Adopt = true
	w.write(docker, "", 0o644)
	w.must(os.Truncate(w.path(docker), record.MaxContent+1))
	r := w.apply(hosts("docker.io", "a\n"))
	w.expect(actions(r.Conflicts), "conflict docker.io/hosts.toml")
	w.expect(r.Conflicts[0].Reason, "larger than 4 MiB, too large to keep a copy of")
	w.must(os.Truncate(w.path(docker), record.MaxContent))
	before := w.tree("/etc")
	w.expect(actions(w.apply(hosts("docker.io", "a\n")).Changed), "adopt docker.io/hosts.toml")
	w.restore()
	if d := diffTrees(w.tree("/etc"), before); d != "" {
		t.Error("a file of 4 MiB did not come back")
	}
}

func TestInvalidWantedFiles(t *testing.T) {
	w := newWorld(t)
	for name, f := range map[string]File{
		"relative":      {Path: "etc/x/y", Mode: 0o644},
		"not clean":     {Path: certs + "/a/../b/c", Mode: 0o644},
		"elsewhere":     {Path: "/etc/a/b", Mode: 0o644},
		"too deep":      {Path: certs + "/a/b/c", Mode: 0o644},
		"too high":      {Path: certs + "/a", Mode: 0o644},
		"NUL":           {Path: certs + "/a/\x00", Mode: 0o644},
		"no mode":       {Path: certs + "/a/b"},
		"setuid":        {Path: certs + "/a/b", Mode: os.ModeSetuid | 0o755},
		"temporary":     {Path: certs + "/" + nodefs.TempPrefix + "x/b", Mode: 0o644},
		"comment":       {Path: certs + "/a/b", Mode: 0o644, Comment: "a b"},
		"large":         {Path: certs + "/a/b", Mode: 0o644, Body: make([]byte, record.MaxContent)},
		"needs nothing": {Path: certs + "/a/b", Mode: 0o644, Needs: []string{"/x"}},
	} {
		if _, err := w.store.Observe(w.scope, []File{f}); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	ok := hosts("docker.io", "a\n")
	if _, err := w.store.Observe(w.scope, []File{ok, ok}); err == nil {
		t.Error("twice: no error")
	}
	if _, err := w.store.Observe(Scope{}, nil); err == nil {
		t.Error("no name: no error")
	}
	if _, err := Open(w.root, "var"); err == nil {
		t.Error("state directory: no error")
	}
	bad := Change{Action: Create, Path: docker, After: &File{Path: quay, Mode: 0o644}}
	if _, err := w.store.Apply(w.ctx(), w.scope, []Change{bad}); err == nil {
		t.Error("a change that writes another file: no error")
	}
}
