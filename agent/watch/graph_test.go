package watch

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/fsnotify/fsnotify"
)

// fakeDirs is a list of directories that are not really watched.
type fakeDirs struct {
	list map[string]bool
	log  []string
}

func (p *fakeDirs) Add(dir string) error {
	p.list[dir] = true
	p.log = append(p.log, "add "+filepath.Base(dir))
	return nil
}

func (p *fakeDirs) Remove(dir string) error {
	if !p.list[dir] {
		return fsnotify.ErrNonExistentWatch
	}
	delete(p.list, dir)
	p.log = append(p.log, "remove "+filepath.Base(dir))
	return nil
}

func (p *fakeDirs) WatchList() []string { return nil }

// Some file systems give the inode number of a removed directory to the next one. A directory that
// was removed and created again must not count as the watched one, nor the directories below it.
func TestReusedInodeNumber(t *testing.T) {
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range []string{"a/b/c", "certs.d/docker.io"} {
		if err := os.MkdirAll(filepath.Join(dir, p), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		path string
		want string
	}{
		{"a/b", "add b, add c, remove b, remove c"},
		{"a/b/c", "add c, remove c"},
		{"certs.d", "add certs.d, add docker.io, remove certs.d, remove docker.io"},
		{"certs.d/docker.io", "add docker.io, remove docker.io"},
		{"a/other", ""},
	} {
		p := &fakeDirs{list: map[string]bool{}}
		g := newGraph(&Notifier{Dirs: p}, Options{Root: "/"})
		g.set([]string{filepath.Join(dir, "a/b/c/file")}, []string{filepath.Join(dir, "certs.d")})
		p.log = nil
		name := filepath.Join(dir, c.path)
		relevant := g.handle([]fsnotify.Event{{Name: name, Op: fsnotify.Remove}, {Name: name, Op: fsnotify.Create}})
		if relevant != (c.want != "") {
			t.Errorf("%s: relevant is %v", c.path, relevant)
		}
		slices.Sort(p.log)
		if got := strings.Join(p.log, ", "); got != c.want {
			t.Errorf("%s: %s; want %s", c.path, got, c.want)
		}
	}
}

func TestQueue(t *testing.T) {
	q := &queue{ready: make(chan struct{}, 1)}
	send := func(name string, op fsnotify.Op) { q.event(fsnotify.Event{Name: name, Op: op}) }
	for range 10 {
		send("a", fsnotify.Write)
	}
	send("a", fsnotify.Remove)
	send("b", fsnotify.Remove)
	send("a", fsnotify.Write)
	want := []fsnotify.Event{
		{Name: "a", Op: fsnotify.Write}, {Name: "a", Op: fsnotify.Remove}, {Name: "b", Op: fsnotify.Remove}, {Name: "a", Op: fsnotify.Write},
	}
	first := q.take()
	send("c", fsnotify.Create) // must not overwrite the events that were taken
	if !slices.Equal(first.events, want) || first.lost {
		t.Errorf("taken: %+v", first)
	}
	if second := q.take(); len(second.events) != 1 || second.events[0].Name != "c" {
		t.Errorf("then taken: %+v", second)
	}
	// The queue's memory is bounded even if nothing takes its events.
	for i := range maxQueued + 10 {
		send(fmt.Sprint(i), fsnotify.Create)
	}
	if got := q.take(); !got.lost || len(got.events) > maxQueued {
		t.Errorf("%d events, lost: %v", len(got.events), got.lost)
	}
	if got := q.take(); got.lost || len(got.events) != 0 {
		t.Errorf("an empty queue gave %+v", got)
	}
}

func TestSplit(t *testing.T) {
	for path, want := range map[string][2]string{
		"/etc/berth": {"/etc", "berth"},
		"/etc":       {"/", "etc"},
		"//etc":      {"/", "etc"}, // fsnotify's name of an entry of "/"
	} {
		if dir, name := split(path); dir != want[0] || name != want[1] {
			t.Errorf("%s: %q %q", path, dir, name)
		}
	}
}
