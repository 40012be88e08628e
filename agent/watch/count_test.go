package watch

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// kernelWatches counts the inotify watches of this process in the kernel; see proc_pid_fdinfo(5).
func kernelWatches(t testing.TB) (watches int) {
	t.Helper()
	files, err := filepath.Glob("/proc/self/fdinfo/*")
	if err != nil || len(files) == 0 {
		t.Fatalf("no /proc/self/fdinfo: %v", err)
	}
	for _, f := range files {
		content, _ := os.ReadFile(f) // the descriptor of the directory itself is closed by now
		watches += strings.Count(string(content), "inotify wd:")
	}
	return watches
}

// watches waits until the kernel has n watches of this process.
func (r *reader) watches(n int) {
	r.t.Helper()
	r.settle()
	var now int
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		if now = kernelWatches(r.t); now == n {
			return
		}
	}
	r.t.Fatalf("%d watches, not %d", now, n)
}

// Targets and directories that are gone leave no watch behind.
func TestNoWatchLeaks(t *testing.T) {
	r := newReader(t, Options{}, nil, nil)
	base := kernelWatches(t) // the directories down to that of the fence
	if up := strings.Count(r.dir, "/") + 2; base != up {
		t.Fatalf("%d watches; the fence is %d directories down", base, up)
	}
	for range 3 {
		r.retarget([]string{"a/b/c/config.yaml"}, []string{"certs.d"})
		r.watches(base)
		r.mkdir("a/b/c")
		r.mkdir("certs.d")
		for i := range 50 {
			r.mkdir(fmt.Sprintf("certs.d/host%d", i))
		}
		r.watches(base + 3 + 51)
		r.write("a/b/c/config.yaml", "1")
		r.rename("a", "z") // the kernel's watches move with it
		r.watches(base + 51)
		r.rename("z", "a")
		r.watches(base + 3 + 51)
		r.rename("certs.d/host0", "certs.d/host99")
		r.rename("certs.d/host1", "outside")
		r.watches(base + 3 + 50)
		r.rename("certs.d", "elsewhere")
		r.symlink("elsewhere", "certs.d")
		r.watches(base + 3 + 50)
		r.retarget([]string{"a/b/c/config.yaml"}, nil)
		r.watches(base + 3)
		r.retarget(nil, []string{"certs.d", "elsewhere"}) // the same directory twice
		r.watches(base + 50)
		r.retarget(nil, []string{"elsewhere"})
		r.watches(base + 50)
		r.remove("elsewhere")
		r.watches(base)
		r.retarget(nil, nil)
		for _, p := range []string{"a", "certs.d", "outside"} {
			r.remove(p)
		}
		r.watches(base)
	}
}
