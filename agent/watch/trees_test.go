package watch

import (
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestTreeComesAndGoes(t *testing.T) {
	r := newReader(t, Options{}, nil, []string{"etc/containerd/certs.d"})
	for range 10 {
		r.does(func() { r.mkdir("etc/containerd/certs.d") })
		r.does(func() { r.mkdir("etc/containerd/certs.d/docker.io") })
		r.does(func() { r.write("etc/containerd/certs.d/docker.io/hosts.toml", "1") })
		r.does(func() { r.must(os.Chmod(r.path("etc/containerd/certs.d/docker.io/hosts.toml"), 0o640)) })
		// A new directory that has a file at once.
		r.does(func() {
			r.mkdir("etc/containerd/certs.d/quay.io")
			r.write("etc/containerd/certs.d/quay.io/hosts.toml", "2")
		})
		r.does(func() { r.write("etc/containerd/certs.d/quay.io/hosts.toml", "22") })
		r.does(func() { r.rename("etc/containerd/certs.d/quay.io", "etc/containerd/certs.d/ghcr.io") })
		r.does(func() { r.write("etc/containerd/certs.d/ghcr.io/hosts.toml", "222") })
		r.does(func() { r.remove("etc/containerd/certs.d/docker.io") })
		r.does(func() {
			r.mkdir("etc/containerd/certs.d/docker.io")
			r.write("etc/containerd/certs.d/docker.io/hosts.toml", "3")
		})
		r.does(func() { r.write("etc/containerd/certs.d/docker.io/hosts.toml", "33") })
		r.does(func() { r.remove("etc/containerd") })
	}
}

func TestTreeReplaced(t *testing.T) {
	r := newReader(t, Options{}, nil, []string{"certs.d"})
	r.mkdir("certs.d/docker.io")
	r.mkdir("elsewhere/docker.io")
	r.mkdir("third/quay.io")
	r.does(func() { r.write("certs.d/docker.io/hosts.toml", "1") })
	r.does(func() { r.rename("certs.d", "old"); r.symlink("elsewhere", "certs.d") })
	r.does(func() { r.write("elsewhere/docker.io/hosts.toml", "2") })
	r.does(func() { r.remove("certs.d"); r.symlink(r.path("third"), "certs.d") })
	r.does(func() { r.write("third/quay.io/hosts.toml", "3") })
	r.does(func() { r.mkdir("third/ghcr.io"); r.write("third/ghcr.io/hosts.toml", "4") })
	r.does(func() { r.remove("third") })
	r.does(func() { r.mkdir("third/ghcr.io"); r.write("third/ghcr.io/hosts.toml", "5") })
	r.does(func() { r.remove("certs.d"); r.write("certs.d", "a file") })
	r.does(func() { r.remove("certs.d"); r.rename("old", "certs.d") })
	r.does(func() { r.write("certs.d/docker.io/hosts.toml", "6") })
}

// A subdirectory that becomes a symlink wakes. Changes behind the symlink do not.
func TestSubdirectoryBecomesLink(t *testing.T) {
	r := newReader(t, Options{}, nil, []string{"certs.d"})
	r.mkdir("busy")
	r.does(func() { r.mkdir("certs.d/docker.io"); r.write("certs.d/docker.io/hosts.toml", "1") })
	r.does(func() { r.remove("certs.d/docker.io"); r.symlink(r.path("busy"), "certs.d/docker.io") })
	r.settle()
	before := r.wakes.Load()
	for range 50 {
		r.write("busy/file", "x")
	}
	r.settle()
	if n := r.wakes.Load() - before; n > 2 {
		t.Errorf("%d wakes, but only the fence has changed", n)
	}
	r.does(func() { r.remove("certs.d/docker.io"); r.mkdir("certs.d/docker.io") })
	r.does(func() { r.write("certs.d/docker.io/hosts.toml", "2") })
}

// Otherwise a caller whose writes fail would be woken by each of its attempts.
func TestIgnoredNames(t *testing.T) {
	o := Options{Ignore: func(name string) bool { return strings.HasPrefix(name, "_tmp-") }}
	r := newReader(t, o, nil, []string{"certs.d"})
	r.does(func() { r.mkdir("certs.d/docker.io") })
	r.settle()
	before := r.wakes.Load()
	for range 50 {
		r.write("certs.d/docker.io/_tmp-file", "x")
		r.remove("certs.d/docker.io/_tmp-file")
		r.mkdir("certs.d/_tmp-dir")
		r.write("certs.d/_tmp-dir/hosts.toml", "x")
		r.remove("certs.d/_tmp-dir")
	}
	r.settle()
	if n := r.wakes.Load() - before; n > 2 {
		t.Errorf("%d wakes, but only the fence has changed", n)
	}
	r.does(func() {
		r.mkdir("certs.d/_tmp-dir")
		r.write("certs.d/_tmp-dir/hosts.toml", "1")
		r.rename("certs.d/_tmp-dir", "certs.d/quay.io")
	})
	r.does(func() {
		r.write("certs.d/quay.io/_tmp-file", "2")
		r.rename("certs.d/quay.io/_tmp-file", "certs.d/quay.io/hosts.toml")
	})
}

// Below a root, symlinks are followed as a process on the node follows them.
func TestTreeBelowRoot(t *testing.T) {
	r := prepare(t, nil, []string{"host/etc/certs.d"})
	r.mkdir("real-host/data/certs.d/docker.io")
	r.mkdir("real-host/etc")
	r.symlink("real-host", "host")
	r.start(New(r.options(Options{Root: r.path("host")})))
	r.settle()
	// The snapshot follows symlinks as this process does, so it does not show where this one leads
	// on the node. The test counts wakes instead, and only while the fence does not change.
	wakesOn := func(what string, change func()) {
		t.Helper()
		r.settle()
		before := r.wakes.Load()
		change()
		for deadline := time.Now().Add(patience); r.wakes.Load() == before; time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("%s: no wake", what)
			}
		}
	}
	r.symlink("/data/../../../data/certs.d", "real-host/etc/certs.d")
	// Many times: a late wake for the fence may count once or twice.
	for i := range 50 {
		wakesOn("a file of the tree changed", func() {
			r.write("real-host/data/certs.d/docker.io/hosts.toml", fmt.Sprint(i))
		})
	}
	for range 10 {
		wakesOn("a link taken away", func() { r.remove("real-host/etc/certs.d") })
		wakesOn("a link put back", func() { r.symlink("/data/certs.d", "real-host/etc/certs.d") })
	}
}

// Hundreds of directories are created, moved and removed while the watcher still handles the
// earlier ones.
func TestHundredsOfDirectories(t *testing.T) {
	const n = 300
	r := newReader(t, Options{}, nil, []string{"certs.d"})
	name := func(i int) string { return fmt.Sprintf("certs.d/host%03d", i) }
	all := func(f func(i int)) func() {
		return func() {
			var wg sync.WaitGroup
			for half := range 2 {
				wg.Go(func() {
					for i := half; i < n; i += 2 {
						f(i)
					}
				})
			}
			wg.Wait()
		}
	}
	must := func(err error) {
		if err != nil {
			t.Error(err)
		}
	}
	r.mkdir("certs.d")
	r.does(all(func(i int) {
		must(os.Mkdir(r.path(name(i)), 0o755))
		must(os.WriteFile(r.path(name(i)+"/hosts.toml"), []byte("1"), 0o600))
	}))
	for _, i := range []int{0, 1, n / 2, n - 1} {
		r.does(func() { r.write(name(i)+"/hosts.toml", "2") })
	}
	r.does(all(func(i int) {
		must(os.Rename(r.path(name(i)), r.path(name(i)+"-old")))
		must(os.RemoveAll(r.path(name(i) + "-old")))
		must(os.Mkdir(r.path(name(i)), 0o755))
	}))
	for _, i := range []int{0, 1, n / 2, n - 1} {
		r.does(func() { r.write(name(i)+"/hosts.toml", "3") })
	}
	r.does(func() { r.remove("certs.d") })
}
