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

// A directory that lacks one program is a build that did not finish.
func TestHalfABuildIsNone(t *testing.T) {
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	dir, err := containerd2Dir()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range containerd2Programs {
		_, err := locateContainerd2()
		var missing *MissingError
		if !errors.As(err, &missing) || !strings.Contains(missing.Run, "go run ./cmd/parts") {
			t.Fatalf("without %s: %v, want a MissingError that says what to run", name, err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	found, err := locateContainerd2()
	if err != nil {
		t.Fatal(err)
	}
	if found.Daemon != filepath.Join(dir, "containerd") || found.BinDir != dir {
		t.Errorf("found %+v, want it in %s", found, dir)
	}
}

func TestLockIsHeldByOne(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	unlock, err := lock(path, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	var released atomic.Bool
	done := make(chan error)
	go func() {
		second, err := lock(path, io.Discard)
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

// The nested module that is compiled must be the version that the tests name.
func TestSourceIsThePinnedVersion(t *testing.T) {
	dir, err := containerd2Source(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "go.sum")); err != nil {
		t.Error(err)
	}
}
