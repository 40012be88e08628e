package managedfile

import (
	"errors"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/berth-registry/berth/internal/managedfile/record"
)

// Symlinks above a scope's directory resolve below the root, whatever their target is.
func TestSymlinksAboveScopeStayBelowRoot(t *testing.T) {
	for _, target := range []string{"/opt/containerd", "../../../../../opt/containerd", "../opt/containerd"} {
		t.Run(target, func(t *testing.T) {
			outside := t.TempDir()
			w := newWorld(t)
			w.mkdir("/opt/containerd", 0o755)
			w.mkdir("/etc", 0o755)
			w.must(os.Symlink(target, w.path("/etc/containerd")))
			before := w.tree("/")
			w.apply(hosts("docker.io", "a\n"))
			if !record.Intact([]byte(w.read("/opt/containerd/certs.d/docker.io/hosts.toml"))) {
				t.Error("not where the link leads")
			}
			w.expect(actions(w.plan(hosts("docker.io", "a\n"))), "unchanged docker.io/hosts.toml")
			w.restore()
			w.same(before)
			if entries, _ := os.ReadDir(outside); len(entries) != 0 {
				t.Error("something was written outside")
			}
		})
	}
}

func TestDanglingLinkIsAnError(t *testing.T) {
	w := newWorld(t)
	w.mkdir("/etc", 0o755)
	w.must(os.Symlink("/nowhere", w.path("/etc/containerd")))
	r, err := w.tryApply(hosts("docker.io", "a\n"))
	var fe *FileError
	if !errors.As(err, &fe) || len(r.Changed) > 0 || w.exists("/nowhere") {
		t.Errorf("%v, changed %v", err, r.Changed)
	}
}

// Another program swaps a host's directory for a symlink and back during the run.
func TestSwappedSymlinksStayBelowRoot(t *testing.T) {
	outside := fastDir(t)
	w := openWorld(t, fastDir(t))
	defer w.close()
	w.mkdir(certs+"/docker.io", 0o755)
	w.must(os.Symlink(outside, w.path(certs+"/link")))
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				_ = os.Rename(w.path(certs+"/docker.io"), w.path(certs+"/aside"))
				_ = os.Rename(w.path(certs+"/link"), w.path(certs+"/docker.io"))
				_ = os.Rename(w.path(certs+"/docker.io"), w.path(certs+"/link"))
				_ = os.Rename(w.path(certs+"/aside"), w.path(certs+"/docker.io"))
			}
		}
	})
	for i := range 300 {
		snap, err := w.store.Observe(w.scope, nil)
		if err != nil {
			continue
		}
		wanted := []File{hosts("docker.io", strings.Repeat("x\n", i%7))}
		_, _ = w.store.Apply(w.ctx(), w.scope, Plan(wanted, snap))
		if entries, _ := os.ReadDir(outside); len(entries) != 0 {
			t.Errorf("written outside: %v", entries)
			break
		}
	}
	close(stop)
	wg.Wait()
}

// Reading has a limit, even if the reported size is wrong.
func TestReadFileUpTo(t *testing.T) {
	w := openWorld(t, fastDir(t))
	defer w.close()
	for name, c := range map[string]struct {
		size int64
		fits bool
	}{
		"as much":   {1 << 20, true},
		"more":      {1<<20 + 1, false},
		"very much": {1 << 40, false}, // sparse
	} {
		w.must(os.WriteFile(w.path("/f"), nil, 0o600))
		w.must(os.Truncate(w.path("/f"), c.size))
		b, err := w.root.ReadFileUpTo("/f", 1<<20)
		if c.fits != (err == nil) || c.fits && int64(len(b)) != c.size || !c.fits && !strings.Contains(err.Error(), "larger than 1 MiB") {
			t.Errorf("%s: %d bytes, %v", name, len(b), err)
		}
	}
}
