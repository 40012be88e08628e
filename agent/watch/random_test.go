package watch

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fsnotify/fsnotify"
)

// changeAtRandom does one random thing to the files of a test. It may fail; that does not matter.
func (r *reader) changeAtRandom(rnd *rand.Rand) string {
	dirs := []string{"etc", "etc/berth", "etc/berth/..a", "etc/berth/..b", "etc/berth/..data", "other", "certs.d", "spare",
		"certs.d/docker.io", "certs.d/quay.io", "certs.d/_berth", "spare/docker.io", "spare/ghcr.io"}
	pick := func() string { return dirs[rnd.IntN(len(dirs))] }
	name := func() string { return []string{"config.yaml", "hosts.toml", "real", "password"}[rnd.IntN(4)] }
	content := func() []byte { return fmt.Appendf(nil, "%d", rnd.IntN(1000)) }
	var what string
	switch rnd.IntN(12) {
	case 0, 1:
		p := pick()
		what = "mkdir -p " + p
		_ = os.MkdirAll(r.path(p), 0o755)
	case 2, 3, 4:
		p := pick() + "/" + name()
		what = "write " + p
		_ = os.WriteFile(r.path(p), content(), 0o644)
	case 5, 6:
		p := pick() + "/" + name()
		what = "replace " + p
		_ = os.WriteFile(r.path(p+".new"), content(), 0o644)
		_ = os.Rename(r.path(p+".new"), r.path(p))
	case 7:
		p := pick()
		if rnd.IntN(2) == 0 {
			p += "/" + name()
		}
		what = "remove " + p
		_ = os.RemoveAll(r.path(p))
	case 8, 9:
		a, b := pick(), pick()
		if rnd.IntN(2) == 0 {
			_ = os.RemoveAll(r.path(b))
		}
		what = "rename " + a + " " + b
		_ = os.Rename(r.path(a), r.path(b))
	case 10:
		p, to := pick(), pick()
		if rnd.IntN(2) == 0 {
			p += "/" + name()
			to += "/" + name()
		}
		if rnd.IntN(2) == 0 {
			to = r.path(to)
		} else if rel, err := filepath.Rel(filepath.Dir(p), to); err == nil {
			to = rel
		}
		what = "link " + p + " -> " + to
		_ = os.Symlink(to, r.path(p+".new"))
		_ = os.Rename(r.path(p+".new"), r.path(p))
	case 11:
		p := pick() + "/" + name()
		what = "chmod " + p
		_ = os.Chmod(r.path(p), os.FileMode(0o600+rnd.IntN(2)*0o044))
	}
	return what
}

// storm does random things in bursts, and describes the first change that the reader missed, with
// the steps before it; "" if there was none.
func (r *reader) storm(seed uint64, bursts int, patience time.Duration) string {
	rnd := rand.New(rand.NewPCG(seed, 0))
	var done []string
	for range bursts {
		for range 1 + rnd.IntN(6) {
			done = append(done, r.changeAtRandom(rnd))
		}
		if missed := r.missed(patience); missed != "" {
			return fmt.Sprintf("seed %d: after\n%s\n%s", seed, strings.Join(done, "\n"), missed)
		}
		if rnd.IntN(4) == 0 {
			r.settle()
		}
	}
	return ""
}

var (
	stormFiles = []string{"etc/berth/config.yaml", "etc/berth/password", "other/real"}
	stormTrees = []string{"certs.d"}
)

func TestNothingIsMissed(t *testing.T) {
	seeds := uint64(30)
	if testing.Short() {
		seeds = 5
	}
	for seed := range seeds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			r := newReader(t, Options{}, stormFiles, stormTrees)
			if missed := r.storm(seed, 60, patience); missed != "" {
				t.Error(missed)
			}
		})
	}
}

// naiveWatcher is the obvious wrong watcher: it watches files themselves, but the directory of the
// fence.
type naiveWatcher struct {
	wake  func()
	once  sync.Once
	files chan []string
}

func (n *naiveWatcher) Set(files, trees []string) {
	n.once.Do(func() { n.files <- append(slices.Clone(files), trees...) })
}

func (n *naiveWatcher) Run(ctx context.Context) error {
	w, err := fsnotify.NewWatcher()
	if err != nil {
		return err
	}
	defer w.Close()
	for i, f := range <-n.files {
		if i == 0 {
			f = filepath.Dir(f)
		}
		_ = w.Add(f) // it may not exist
	}
	n.wake()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-w.Events:
			n.wake()
		}
	}
}

// The controls: the same checks fail for a watcher that is known to be bad.
func TestNaiveWatcherIsCaught(t *testing.T) {
	start := func(t *testing.T) *reader {
		r := prepare(t, stormFiles, stormTrees)
		r.mkdir("etc/berth")
		r.mkdir("certs.d")
		r.write("etc/berth/config.yaml", "1")
		r.start(&naiveWatcher{wake: r.wake, files: make(chan []string, 1)})
		r.current()
		return r
	}
	t.Run("by renames", func(t *testing.T) {
		r := start(t)
		r.write("etc/berth/config.yaml", "in place")
		r.current() // it is not deaf
		for i := range 50 {
			r.write("etc/berth/new", fmt.Sprint(i))
			r.rename("etc/berth/new", "etc/berth/config.yaml")
			if r.missed(200*time.Millisecond) != "" {
				return
			}
			r.settle() // a wake for this rename must not count for the next
		}
		t.Error("a watcher of inodes has seen 50 renames")
	})
	t.Run("by storm", func(t *testing.T) {
		if start(t).storm(1, 60, 200*time.Millisecond) == "" {
			t.Error("a watcher of inodes has seen everything")
		}
	})
}
