package parts

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// A directory that lacks one program is an unfinished build.
func TestHalfABuildIsNone(t *testing.T) {
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	dir, err := newest().dir()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range newest().programs {
		_, err := newest().locate()
		var missing *MissingError
		if !errors.As(err, &missing) || !strings.Contains(missing.Run, "go run ./cmd/parts") {
			t.Fatalf("without %s: %v, want a MissingError that says what to run", name, err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	found, err := newest().locate()
	if err != nil {
		t.Fatal(err)
	}
	if found.Daemon != filepath.Join(dir, "containerd") || found.BinDir != dir {
		t.Errorf("found %+v, want it in %s", found, dir)
	}
}

func TestLockIsHeldByOne(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	unlock, err := lock(path, "2.4.2", io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	var released atomic.Bool
	done := make(chan error)
	go func() {
		second, err := lock(path, "2.4.2", io.Discard)
		if err == nil {
			if !released.Load() {
				err = errors.New("the lock was taken while another held it")
			}
			second()
		}
		done <- err
	}()
	time.Sleep(50 * time.Millisecond)
	released.Store(true)
	unlock()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// The nested modules that are compiled must have the versions that the tests name.
func TestSourceIsThePinnedVersion(t *testing.T) {
	for _, r := range builtReleases() {
		dir, err := r.source(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		sums := strings.TrimSuffix(r.modfile, ".mod") + ".sum"
		if _, err := os.Stat(filepath.Join(dir, sums)); err != nil {
			t.Error(err)
		}
	}
}

func TestSelected(t *testing.T) {
	for names, want := range map[string]string{
		"": "1.6.20 1.7.28 2.4.2", "all": "1.6.20 1.7.28 2.0.14 2.1.9 2.2.9 2.3.7 2.4.2", "2.1.9,1.6.20": "2.1.9 1.6.20",
	} {
		t.Setenv("BERTH_RELEASES", names)
		if got, err := selected(); err != nil || strings.Join(got, " ") != want {
			t.Errorf("%q: %q, %v; want %q", names, got, err, want)
		}
	}
	t.Setenv("BERTH_RELEASES", "2.1.9,2.99")
	if _, err := selected(); err == nil || !strings.Contains(err.Error(), `"2.99"`) {
		t.Errorf("an unknown release: %v", err)
	}
}
