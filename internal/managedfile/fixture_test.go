package managedfile

import (
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/berth-registry/berth/internal/managedfile/record"
	"github.com/berth-registry/berth/internal/nodefs"
)

const certs = "/etc/containerd/certs.d"

// tb is the common part of *testing.T and *rapid.T.
type tb interface {
	Helper()
	Fatalf(format string, args ...any)
	Errorf(format string, args ...any)
	Logf(format string, args ...any)
}

// world is a node: a root directory, a store and a clock that tests set.
type world struct {
	t     tb
	dir   string
	root  *nodefs.Root
	store *Store
	now   time.Time
	scope Scope
	opts  []Option
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := openWorld(t, t.TempDir())
	t.Cleanup(w.close)
	return w
}

// fastDir is a temporary directory in memory, if available, for tests that sync thousands of files.
func fastDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "managedfile-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// openWorld uses dir as a node's root.
func openWorld(t tb, dir string, opts ...Option) *world {
	t.Helper()
	w := &world{
		t: t, dir: dir, opts: opts, now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC),
		scope: Scope{Name: "certs.d", Dir: certs},
	}
	root, err := nodefs.OpenRoot(dir)
	if err != nil {
		t.Fatalf("root: %v", err)
	}
	w.root = root
	w.restart()
	return w
}

func (w *world) close() { w.root.Close() }

// restart opens the store as a new process does.
func (w *world) restart() {
	w.t.Helper()
	opts := append([]Option{func(s *Store) { s.now = func() time.Time { return w.now } }}, w.opts...)
	s, err := Open(w.root, record.DefaultStateDir, opts...)
	if err != nil {
		w.t.Fatalf("open: %v", err)
	}
	w.store = s
}

func (w *world) path(p string) string { return filepath.Join(w.dir, p) }

// hosts returns a wanted hosts.toml.
func hosts(host, body string) File {
	return File{Path: path.Join(certs, host, "hosts.toml"), Body: []byte(body), Mode: 0o644, Comment: "#"}
}

func (w *world) plan(wanted ...File) []Change {
	w.t.Helper()
	snap, err := w.store.Observe(w.scope, wanted)
	if err != nil {
		w.t.Fatalf("observe: %v", err)
	}
	return Plan(wanted, snap)
}

// unrecorded returns updates of all of Berth's files for ApplyUnrecorded.
func (w *world) unrecorded(body string) []Change {
	w.t.Helper()
	snap, err := w.store.Observe(w.scope, nil)
	w.must(err)
	var updates []Change
	for _, o := range snap.Files {
		if o.Owner == Ours && o.Kind == nodefs.Regular && record.Intact(o.Content) {
			updates = append(updates, Change{Action: Update, Path: o.Path, Before: o, After: &File{
				Path: o.Path, Body: []byte(body), Mode: o.Mode, Comment: "#", Unrecorded: true,
			}})
		}
	}
	return updates
}

func (w *world) tryApply(wanted ...File) (Report, error) {
	w.t.Helper()
	return w.store.Apply(w.ctx(), w.scope, w.plan(wanted...))
}

func (w *world) apply(wanted ...File) Report {
	w.t.Helper()
	r, err := w.tryApply(wanted...)
	if err != nil {
		w.t.Fatalf("apply: %v", err)
	}
	return r
}

func (w *world) restore(scopes ...Scope) Report {
	w.t.Helper()
	r, err := w.store.Restore(w.ctx(), scopes...)
	if err != nil {
		w.t.Fatalf("restore: %v", err)
	}
	return r
}

// Changes by other programs on the node.

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatalf("%v", err)
	}
}

func (w *world) write(p, content string, perm fs.FileMode) {
	w.t.Helper()
	w.must(os.MkdirAll(w.path(path.Dir(p)), 0o755))
	w.must(os.WriteFile(w.path(p), []byte(content), 0o600))
	w.must(os.Chmod(w.path(p), perm))
}

func (w *world) mkdir(p string, perm fs.FileMode) {
	w.t.Helper()
	w.must(os.MkdirAll(w.path(p), 0o755))
	w.must(os.Chmod(w.path(p), perm))
}

func (w *world) append(p, more string) {
	w.t.Helper()
	f, err := os.OpenFile(w.path(p), os.O_WRONLY|os.O_APPEND, 0)
	w.must(err)
	_, err = f.WriteString(more)
	w.must(err)
	w.must(f.Close())
}

func (w *world) remove(p string) {
	w.t.Helper()
	w.must(os.RemoveAll(w.path(p)))
}

func (w *world) read(p string) string {
	w.t.Helper()
	b, err := os.ReadFile(w.path(p))
	w.must(err)
	return string(b)
}

func (w *world) exists(p string) bool {
	_, err := os.Lstat(w.path(p))
	return err == nil
}

// tree describes everything below a host path: one line for each name, with mode, owner and
// content, and the time except for directories.
func (w *world) tree(p string) map[string]string {
	w.t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(w.path(p), func(at string, d fs.DirEntry, err error) error {
		if err != nil {
			if os.IsNotExist(err) {
				return nil
			}
			return err
		}
		rel, err := filepath.Rel(w.dir, at)
		if err != nil {
			return err
		}
		line, err := describeFile(at, d)
		all["/"+filepath.ToSlash(rel)] = line
		return err
	})
	w.must(err)
	return all
}

func describeFile(at string, d fs.DirEntry) (string, error) {
	info, err := d.Info()
	if err != nil {
		return "", err
	}
	st := info.Sys().(*syscall.Stat_t)
	who := fmt.Sprintf("%v %d:%d", info.Mode(), st.Uid, st.Gid)
	switch {
	case info.IsDir():
		return who, nil
	case info.Mode()&fs.ModeSymlink != 0:
		target, err := os.Readlink(at)
		return fmt.Sprintf("%s %d -> %s", who, info.ModTime().UnixNano(), target), err
	case info.Mode().IsRegular():
		b, err := os.ReadFile(at)
		return fmt.Sprintf("%s %d %q", who, info.ModTime().UnixNano(), b), err
	}
	return who, nil
}

// diffTrees describes the differences.
func diffTrees(got, want map[string]string) string {
	var lines []string
	for p, w := range want {
		if g, ok := got[p]; !ok {
			lines = append(lines, fmt.Sprintf("- %s %s", p, w))
		} else if g != w {
			lines = append(lines, fmt.Sprintf("! %s\n    is    %s\n    want  %s", p, g, w))
		}
	}
	for p, g := range got {
		if _, ok := want[p]; !ok {
			lines = append(lines, fmt.Sprintf("+ %s %s", p, g))
		}
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

func (w *world) same(want map[string]string) {
	w.t.Helper()
	if d := diffTrees(w.tree("/"), want); d != "" {
		w.t.Errorf("the node is not as it was:\n%s", d)
	}
}

// temps lists the temporary entries that a killed run left.
func (w *world) temps() []string {
	var found []string
	for p := range w.tree("/") {
		if strings.HasPrefix(path.Base(p), nodefs.TempPrefix) {
			found = append(found, p)
		}
	}
	slices.Sort(found)
	return found
}

func actions(changes []Change) string {
	var s []string
	for _, c := range changes {
		s = append(s, string(c.Action)+" "+strings.TrimPrefix(c.Path, certs+"/"))
	}
	return strings.Join(s, ", ")
}

func (w *world) expect(got, want string) {
	w.t.Helper()
	if got != want {
		w.t.Errorf("got  %s\nwant %s", got, want)
	}
}
