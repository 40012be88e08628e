package managedfile

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/berth-registry/berth/internal/managedfile/record"
	"github.com/berth-registry/berth/internal/nodefs"
)

func (w *world) ctx() context.Context { return context.Background() }

const (
	docker = certs + "/docker.io/hosts.toml"
	quay   = certs + "/quay.io/hosts.toml"
)

func TestNothingToDoWritesNothing(t *testing.T) {
	w := newWorld(t)
	w.apply(hosts("docker.io", "a\n"), hosts("quay.io", "b\n"))
	before := w.tree("/")
	var steps int
	w.opts = []Option{WithSteps(func(nodefs.Step) error { steps++; return nil })}
	w.restart()
	w.expect(actions(w.plan(hosts("docker.io", "a\n"), hosts("quay.io", "b\n"))), "unchanged docker.io/hosts.toml, unchanged quay.io/hosts.toml")
	r := w.apply(hosts("docker.io", "a\n"), hosts("quay.io", "b\n"))
	w.same(before)
	if steps != 0 || len(r.Changed) != 0 {
		t.Errorf("%d steps, changed %v", steps, r.Changed)
	}
}

func TestApplyAndRestore(t *testing.T) {
	w := newWorld(t)
	before := w.tree("/")
	f := hosts("docker.io", "secret\n")
	f.Mode = 0o600
	w.expect(actions(w.apply(f, hosts("quay.io", "b\n")).Changed), "create docker.io/hosts.toml, create quay.io/hosts.toml")
	w.expect(w.read(docker), string(f.Content()))
	if !record.Intact([]byte(w.read(docker))) {
		t.Error("not intact")
	}
	if info, err := os.Stat(w.path(docker)); err != nil || info.Mode() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	w.expect(actions(w.apply(hosts("docker.io", "other\n")).Changed), "update docker.io/hosts.toml, remove quay.io/hosts.toml")
	if w.exists(certs + "/quay.io") {
		t.Error("an empty directory stands in the way of _default")
	}
	w.restore()
	w.same(before)
	w.restore()
	w.same(before)
}

func TestForeignFileIsAConflict(t *testing.T) {
	w := newWorld(t)
	w.write(docker, "theirs\n", 0o640)
	w.mkdir(certs+"/quay.io/hosts.toml", 0o755) // a directory instead of a file
	w.must(os.Symlink("/elsewhere", w.path(certs+"/ghcr.io")))
	w.write(certs+"/gcr.io", "a file where a directory should be", 0o644)
	w.must(os.MkdirAll(w.path(certs+"/k8s.io"), 0o755))
	w.must(os.Symlink("../docker.io/hosts.toml", w.path(certs+"/k8s.io/hosts.toml")))
	before := w.tree("/")
	for _, adopt := range []bool{false, true} {
		w.scope.Adopt = adopt
		names := []string{"quay.io", "ghcr.io", "gcr.io"} // always
		if !adopt {
			names = append(names, "docker.io", "k8s.io")
		}
		var wanted []File
		for _, h := range names {
			wanted = append(wanted, hosts(h, "ours\n"))
		}
		r := w.apply(wanted...)
		if len(r.Conflicts) != len(wanted) || len(r.Changed) != 0 {
			t.Errorf("adopt %v: conflicts %s, changed %s", adopt, actions(r.Conflicts), actions(r.Changed))
		}
		for _, c := range r.Conflicts {
			if c.Reason == "" {
				t.Errorf("%s: no reason", c.Path)
			}
		}
	}
	w.same(before)
	w.restore()
	w.same(before)
}

func TestAdoptAndRestore(t *testing.T) {
	for _, how := range []string{"restore", "no longer wanted", "lost record"} {
		t.Run(how, func(t *testing.T) {
			w := newWorld(t)
			w.write(docker, "theirs\n", 0o640)
			old := time.Date(2020, 1, 2, 3, 4, 5, 678, time.UTC)
			w.must(os.Chtimes(w.path(docker), old, old))
			w.mkdir(certs+"/quay.io", 0o750)
			w.must(os.Symlink("../docker.io/hosts.toml", w.path(quay)))
			before := w.tree("/etc")
			w.scope.Adopt = true
			r := w.apply(hosts("docker.io", "ours\n"), hosts("quay.io", "ours\n"))
			w.expect(actions(r.Changed), "adopt docker.io/hosts.toml, adopt quay.io/hosts.toml")
			if len(r.Saved) != 2 || r.Saved[0].Why != record.SavedOriginal || w.read(r.Saved[0].Copy) != "theirs\n" {
				t.Errorf("saved %v", r.Saved)
			}
			w.apply(hosts("docker.io", "newer\n"), hosts("quay.io", "newer\n"))
			switch how {
			case "restore":
				w.restore()
			case "no longer wanted":
				w.expect(actions(w.apply().Changed), "remove docker.io/hosts.toml, remove quay.io/hosts.toml")
			case "lost record":
				w.remove(record.DefaultStateDir + "/state.json")
				w.restore()
			}
			if d := diffTrees(w.tree("/etc"), before); d != "" {
				t.Error(d)
			}
			if how == "restore" && w.exists("/var") {
				t.Errorf("left: %v", w.tree("/var"))
			}
		})
	}
}

func TestEditIsSavedAndRepaired(t *testing.T) {
	w := newWorld(t)
	before := w.tree("/etc")
	w.apply(hosts("docker.io", "a\n"))
	w.append(docker, "edit\n")
	edited := w.read(docker)
	w.expect(actions(w.plan(hosts("docker.io", "a\n"))), "repair docker.io/hosts.toml")
	r := w.apply(hosts("docker.io", "a\n"))
	if len(r.Saved) != 1 || r.Saved[0].Why != record.SavedEdit || w.read(r.Saved[0].Copy) != edited {
		t.Errorf("saved %v", r.Saved)
	}
	w.expect(w.read(docker), string(hosts("docker.io", "a\n").Content()))

	// The same edit is repaired again, but not saved or reported again.
	w.append(docker, "edit\n")
	if r := w.apply(hosts("docker.io", "a\n")); len(r.Saved) != 0 || len(r.Changed) != 1 {
		t.Errorf("saved again %v, changed %v", r.Saved, r.Changed)
	}

	// An edit of a file that is no longer wanted is saved, and restore reports the copy.
	w.append(docker, "last words\n")
	last := w.read(docker)
	if r := w.apply(); len(r.Saved) != 1 || w.read(r.Saved[0].Copy) != last || w.exists(docker) {
		t.Errorf("saved %v", r.Saved)
	}
	if r := w.restore(); len(r.Saved) != 2 {
		t.Errorf("restore tells of %v", r.Saved)
	}
	if d := diffTrees(w.tree("/etc"), before); d != "" {
		t.Error(d)
	}
}

func TestEditAboveTheMarkerIsAnEdit(t *testing.T) {
	w := newWorld(t)
	w.apply(hosts("docker.io", "a\n"))
	w.write(docker, "# mine now?\n"+w.read(docker), 0o644)
	r := w.restore()
	if len(r.Saved) != 1 || w.exists(docker) {
		t.Errorf("saved %v", r.Saved)
	}
}

func TestModeAndRemovalAreRepaired(t *testing.T) {
	w := newWorld(t)
	w.apply(hosts("docker.io", "a\n"), hosts("quay.io", "a\n"), hosts("ghcr.io", "a\n"))
	w.must(os.Chmod(w.path(docker), 0o666))
	w.remove(quay)
	w.remove(certs + "/ghcr.io")
	r := w.apply(hosts("docker.io", "a\n"), hosts("quay.io", "a\n"), hosts("ghcr.io", "a\n"))
	w.expect(actions(r.Changed), "repair docker.io/hosts.toml, repair quay.io/hosts.toml, repair ghcr.io/hosts.toml")
	if len(r.Saved) != 0 {
		t.Errorf("saved %v", r.Saved)
	}
	for _, c := range r.Changed {
		if c.Reason == "" {
			t.Errorf("%s: no reason", c.Path)
		}
	}
	w.expect(actions(w.plan(hosts("docker.io", "a\n"), hosts("quay.io", "a\n"), hosts("ghcr.io", "a\n"))),
		"unchanged docker.io/hosts.toml, unchanged quay.io/hosts.toml, unchanged ghcr.io/hosts.toml")
}

func TestForeignFileReplacesOurs(t *testing.T) {
	w := newWorld(t)
	w.scope.Adopt = true
	w.write(docker, "first\n", 0o644)
	w.apply(hosts("docker.io", "a\n"))
	w.write(docker, "second\n", 0o604)
	w.expect(actions(w.apply(hosts("docker.io", "a\n")).Changed), "repair docker.io/hosts.toml")
	r := w.restore()
	w.expect(w.read(docker), "second\n")
	if info, _ := os.Stat(w.path(docker)); info.Mode() != 0o604 {
		t.Errorf("mode %v", info.Mode())
	}
	if len(r.Saved) != 1 || w.read(r.Saved[0].Copy) != "first\n" {
		t.Errorf("the former original: %v", r.Saved)
	}
}

func TestRestoreLeavesForeignFile(t *testing.T) {
	w := newWorld(t)
	w.apply(hosts("docker.io", "a\n"), hosts("quay.io", "a\n"))
	w.write(docker, "mine\n", 0o600)
	before := w.tree(certs + "/docker.io")
	r := w.restore()
	w.expect(actions(r.Conflicts), "forget docker.io/hosts.toml")
	if d := diffTrees(w.tree("/etc/containerd/certs.d/docker.io"), before); d != "" {
		t.Error(d)
	}
	if w.exists(quay) || w.exists("/var") {
		t.Error("the rest did not go")
	}
}

func TestUnwantedFileReplacedByForeign(t *testing.T) {
	w := newWorld(t)
	w.apply(hosts("docker.io", "a\n"))
	w.write(docker, "mine\n", 0o600)
	w.expect(actions(w.apply().Conflicts), "forget docker.io/hosts.toml")
	w.expect(w.read(docker), "mine\n")
	w.expect(actions(w.plan()), "")
}

func TestForeignFilesKeepADirectory(t *testing.T) {
	w := newWorld(t)
	w.apply(hosts("docker.io", "a\n"), hosts("quay.io", "a\n"))
	w.write(certs+"/docker.io/ca.crt", "theirs", 0o644)
	w.apply()
	if w.exists(docker) || w.exists(certs+"/quay.io") || w.read(certs+"/docker.io/ca.crt") != "theirs" {
		t.Errorf("%v", w.tree(certs))
	}
	w.restore()
	w.expect(w.read(certs+"/docker.io/ca.crt"), "theirs")
}

func TestEmptyDirectoryIsRemovedAndRestored(t *testing.T) {
	w := newWorld(t)
	w.mkdir(certs+"/docker.io", 0o711)
	before := w.tree("/etc")
	w.apply(hosts("docker.io", "a\n"))
	w.apply()
	if w.exists(certs + "/docker.io") {
		t.Error("the empty directory is still there")
	}
	w.apply(hosts("docker.io", "b\n"))
	w.restore()
	if d := diffTrees(w.tree("/etc"), before); d != "" {
		t.Error(d)
	}
	w.apply(hosts("docker.io", "a\n"))
	w.apply()
	w.restore()
	if d := diffTrees(w.tree("/etc"), before); d != "" {
		t.Error(d)
	}
}

func TestLostRecord(t *testing.T) {
	for _, corrupt := range []string{"", "{", "null", `{"version":1,"files":null}`, `{"version":1,"files":{"../x":{}}}`, "\x00\x01"} {
		t.Run("state "+corrupt, func(t *testing.T) {
			w := newWorld(t)
			w.apply(hosts("docker.io", "a\n"), hosts("quay.io", "a\n"))
			state := record.DefaultStateDir + "/state.json"
			if corrupt == "" {
				w.remove(state)
			} else {
				w.write(state, corrupt, 0o600)
			}
			w.append(quay, "edit")
			w.expect(actions(w.plan(hosts("docker.io", "a\n"))), "unchanged docker.io/hosts.toml, remove quay.io/hosts.toml")
			if corrupt != "" {
				w.expect(w.read(state), corrupt)
			}
			r := w.apply(hosts("docker.io", "a\n"))
			if w.exists(quay) {
				t.Error("quay.io is still there")
			}
			want := 1 // the edit
			if corrupt != "" {
				want = 2
				if r.Saved[0].Why != record.SavedRecord || w.read(r.Saved[0].Copy) != corrupt {
					t.Errorf("saved %v", r.Saved)
				}
			}
			if len(r.Saved) != want {
				t.Errorf("saved %v", r.Saved)
			}
			w.remove(state)
			w.restore(w.scope)
			if left := w.tree(certs); len(left) != 1 { // without the record, who created certs.d is unknown
				t.Errorf("left: %v", left)
			}
		})
	}
}

func TestNewerRecordChangesNothing(t *testing.T) {
	w := newWorld(t)
	w.apply(hosts("docker.io", "a\n"))
	for _, newer := range []string{`{"version":2}`, `{"version":7,"files":["of another type"]}`} {
		w.write(record.DefaultStateDir+"/state.json", newer, 0o600)
		before := w.tree("/")
		_, err := w.store.Observe(w.scope, nil)
		if !errors.Is(err, record.ErrNewerState) || !strings.HasPrefix(err.Error(), record.DefaultStateDir+"/state.json: version ") {
			t.Errorf("observe: %v", err)
		}
		if _, err := w.store.Apply(w.ctx(), w.scope, nil); !errors.Is(err, record.ErrNewerState) {
			t.Errorf("apply: %v", err)
		}
		if _, err := w.store.Restore(w.ctx(), w.scope); !errors.Is(err, record.ErrNewerState) {
			t.Errorf("restore: %v", err)
		}
		w.same(before)
	}
}
