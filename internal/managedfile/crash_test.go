package managedfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strings"
	"testing"
	"time"

	"github.com/berth-registry/berth/internal/managedfile/record"
	"github.com/berth-registry/berth/internal/nodefs"
)

var errStopped = errors.New("stopped by the test")

// stopper fails one step, the one with number at; with crash it also fails all later ones, as if
// the process had been killed.
type stopper struct {
	n, at int
	crash bool
	step  nodefs.Step
}

func (s *stopper) hook(step nodefs.Step) error {
	s.n++
	if s.n == s.at {
		s.step = step
	}
	if s.n == s.at || s.crash && s.at > 0 && s.n > s.at {
		return errStopped
	}
	return nil
}

const (
	caPath   = certs + "/_berth/ca.pem"
	kubelet  = "/etc/kubernetes/credentials/provider.json"
	longTime = 24 * time.Hour
)

// fullNode is a node with an example of everything that an apply can meet. It returns the files
// that are wanted next, and the tree below /etc after a restore.
func fullNode(w *world) (wanted []File, base map[string]string) {
	w.scope.Adopt = true
	w.write(certs+"/foreign.io/hosts.toml", "# foreign\n", 0o640)
	w.write(certs+"/foreign.io/ca.crt", "extra", 0o604)
	w.write(certs+"/given-back.io/hosts.toml", "# given back\n", 0o600)
	w.write(certs+"/extra.io/ca.crt", "extra", 0o644)
	w.mkdir(certs+"/link.io", 0o755)
	w.must(os.Symlink("../foreign.io/hosts.toml", w.path(certs+"/link.io/hosts.toml")))
	w.mkdir(certs+"/empty.io", 0o711)
	w.mkdir(certs+"/unrelated.io", 0o700)
	base = w.tree("/etc")

	w.apply(
		hosts("same.io", "same\n"), hosts("update.io", "old\n"), hosts("edited.io", "a\n"), hosts("removed.io", "a\n"),
		hosts("theirs.io", "a\n"), hosts("gone.io", "a\n"), hosts("gone-edited.io", "a\n"), hosts("empty.io", "a\n"),
		hosts("given-back.io", "a\n"), hosts("extra.io", "a\n"), hosts("chmod.io", "a\n"),
	)
	w.append(certs+"/edited.io/hosts.toml", "edit\n")
	w.append(certs+"/gone-edited.io/hosts.toml", "edit\n")
	w.remove(certs + "/removed.io")
	w.must(os.Chmod(w.path(certs+"/chmod.io/hosts.toml"), 0o666))
	theirs := certs + "/theirs.io/hosts.toml"
	w.write(theirs, "mine\n", 0o606)
	for _, p := range []string{path.Dir(theirs), theirs} {
		base[p] = w.tree(p)[p]
	}

	ca := File{Path: caPath, Body: []byte("pem"), Mode: 0o600, Comment: "#"}
	fresh := hosts("new.io", "new\n")
	fresh.Needs = []string{ca.Path}
	extra := File{Path: certs + "/new.io/client.pem", Body: []byte("pem"), Mode: 0o600} // no marker
	return []File{
		ca, extra, fresh,
		hosts("same.io", "same\n"), hosts("update.io", "new\n"), hosts("edited.io", "b\n"), hosts("removed.io", "b\n"),
		hosts("theirs.io", "b\n"), hosts("foreign.io", "b\n"), hosts("link.io", "b\n"), hosts("chmod.io", "b\n"),
	}, base
}

// withoutTimes drops the times, which differ from run to run.
func withoutTimes(tree map[string]string) map[string]string {
	out := map[string]string{}
	for p, line := range tree {
		f := strings.SplitN(line, " ", 4)
		if len(f) == 4 {
			f = append(f[:2], f[3])
		}
		out[p] = strings.Join(f, " ")
	}
	return out
}

// checkReadable checks the promise to readers at this moment: files with Berth's marker are
// complete, and no directory without its file hides the default.
func (w *world) checkReadable(base map[string]string) {
	w.t.Helper()
	entries, err := os.ReadDir(w.path(certs))
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	w.must(err)
	for _, e := range entries {
		dir := certs + "/" + e.Name()
		if strings.HasPrefix(e.Name(), nodefs.TempPrefix) || !e.IsDir() {
			continue
		}
		b, err := os.ReadFile(w.path(dir + "/hosts.toml"))
		switch {
		case err == nil && record.StartsWithMarker(b) && !record.Intact(b) && !strings.HasSuffix(string(b), "edit\n"):
			w.t.Errorf("%s is torn: %q", dir, b)
		case errors.Is(err, fs.ErrNotExist) && base[dir] == "" && e.Name() != "_berth":
			w.t.Errorf("%s has no hosts.toml", dir)
		}
	}
}

func (w *world) checkRestored(base map[string]string) {
	w.t.Helper()
	if d := diffTrees(w.tree("/etc"), base); d != "" {
		w.t.Errorf("not as before:\n%s", d)
	}
	for p := range w.tree("/var") {
		if rest, ok := strings.CutPrefix(p, record.DefaultStateDir+"/"); ok && !strings.HasPrefix(rest, "saved") {
			w.t.Errorf("left: %s", p)
		}
	}
	if t := w.temps(); len(t) > 0 {
		w.t.Errorf("left: %v", t)
	}
}

// everyStep calls trial for each step of act.
func everyStep(t *testing.T, crash bool, setUp func(w *world) func() error, check func(w *world, err error)) {
	t.Helper()
	for at := 1; ; at++ {
		stop := &stopper{crash: crash}
		w := openWorld(t, fastDir(t), WithSteps(stop.hook))
		act := setUp(w)
		stop.n, stop.at = 0, at
		err := act()
		reached := stop.n >= at
		stop.at = 0
		w.opts = nil
		w.restart()
		failed := t.Failed()
		check(w, err)
		if t.Failed() && !failed {
			t.Logf("^ stopped at step %d: %s %s; error: %v", at, stop.step.Op, stop.step.Path, err)
		}
		w.close()
		if !reached {
			if err != nil || at < 50 {
				t.Errorf("%d steps, %v", at, err)
			}
			return
		}
	}
}

func TestStoppedAtEveryStepOfApply(t *testing.T) {
	var want map[string]string
	ref := newWorld(t)
	wanted, _ := fullNode(ref)
	ref.apply(wanted...)
	want = withoutTimes(ref.tree("/etc"))

	for _, crash := range []bool{true, false} {
		for _, next := range []string{"apply", "restore"} {
			t.Run(fmt.Sprintf("crash %v then %s", crash, next), func(t *testing.T) {
				t.Parallel()
				var base map[string]string
				everyStep(t, crash, func(w *world) func() error {
					var wanted []File
					wanted, base = fullNode(w)
					return func() error { _, err := w.tryApply(wanted...); return err }
				}, func(w *world, _ error) {
					w.scope.Adopt = true
					w.checkReadable(base)
					if next == "apply" {
						r := w.apply(wanted...)
						if len(r.Conflicts)+len(r.Skipped) > 0 {
							t.Errorf("conflicts %v, skipped %v", actions(r.Conflicts), actions(r.Skipped))
						}
						if d := diffTrees(withoutTimes(w.tree("/etc")), want); d != "" {
							t.Errorf("apply again:\n%s", d)
						}
						if tm := w.temps(); len(tm) > 0 {
							t.Errorf("left: %v", tm)
						}
						w.expect(strings.ReplaceAll(actions(w.plan(wanted...)), "unchanged", ""), strings.ReplaceAll(actions(unchanged(wanted)), "unchanged", ""))
					}
					w.restore()
					w.checkRestored(base)
					w.restore(w.scope)
					w.checkRestored(base)
				})
			})
		}
	}
}

func unchanged(wanted []File) []Change {
	var c []Change
	for _, f := range wanted {
		c = append(c, Change{Action: Unchanged, Path: f.Path})
	}
	return c
}

func TestStoppedAtEveryStepOfRestore(t *testing.T) {
	for _, crash := range []bool{true, false} {
		t.Run(fmt.Sprintf("crash %v", crash), func(t *testing.T) {
			t.Parallel()
			var base map[string]string
			everyStep(t, crash, func(w *world) func() error {
				var wanted []File
				wanted, base = fullNode(w)
				w.apply(wanted...)
				w.append(caPath, "edit\n")
				return func() error { _, err := w.store.Restore(w.ctx()); return err }
			}, func(w *world, _ error) {
				w.checkReadable(base)
				w.restore(w.scope)
				w.checkRestored(base)
			})
		})
	}
}
