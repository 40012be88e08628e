package nodefs

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestLockedByAnother(t *testing.T) {
	root, dir := newRoot(t)
	l, err := LockFile(t.Context(), root, "/run/berth/agent.lock", false)
	if err != nil {
		t.Fatal(err)
	}
	_, err = LockFile(t.Context(), root, "/run/berth/agent.lock", false)
	var held *LockedError
	host, _ := os.Hostname()
	if !errors.Is(err, ErrLocked) || !errors.As(err, &held) || held.PID != os.Getpid() || held.Host != host {
		t.Errorf("%v", err)
	}
	if want := fmt.Sprintf("/run/berth/agent.lock: locked by process %d on ", os.Getpid()); !strings.HasPrefix(err.Error(), want) {
		t.Errorf("%q does not begin with %q", err, want)
	}
	l.Unlock()
	l.Unlock() // harmless
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("%v, left: %v", err, left)
	}
}

func TestLockWaits(t *testing.T) {
	root, dir := newRoot(t)
	const file = "/run/berth/lock"
	lock, err := LockFile(t.Context(), root, file, true)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*lockPoll)
	defer cancel()
	if _, err := LockFile(ctx, root, file, true); !errors.Is(err, ErrLocked) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
	var first sync.WaitGroup
	first.Go(func() {
		time.Sleep(2 * lockPoll)
		lock.Unlock()
	})
	again, err := LockFile(t.Context(), root, file, true)
	first.Wait()
	if err != nil {
		t.Fatal(err)
	}
	again.Unlock()
	if _, err := os.Lstat(filepath.Join(dir, file)); err == nil {
		t.Error("the file is left")
	}
}

func TestLockWithoutDirectory(t *testing.T) {
	root, dir := newRoot(t)
	write(t, filepath.Join(dir, "run"), "a file")
	if _, err := LockFile(t.Context(), root, "/run/berth/lock", true); err == nil || errors.Is(err, ErrLocked) {
		t.Errorf("%v", err)
	}
}

// The file is created and removed by its holders; still only one holds it at a time.
func TestLockExcludes(t *testing.T) {
	root, dir := newRoot(t)
	var wg sync.WaitGroup
	var inside, total int
	var mu sync.Mutex
	count := func(n int) int {
		mu.Lock()
		defer mu.Unlock()
		inside += n
		total++
		return inside
	}
	for range 8 {
		wg.Go(func() {
			for range 10 {
				l, err := LockFile(context.Background(), root, "/run/berth/lock", true)
				if err != nil {
					t.Errorf("%v", err)
					return
				}
				if n := count(1); n != 1 {
					t.Errorf("%d hold the lock", n)
				}
				time.Sleep(100 * time.Microsecond)
				count(-1)
				l.Unlock()
			}
		})
	}
	wg.Wait()
	if total != 160 {
		t.Errorf("%d", total)
	}
	if _, err := os.Lstat(filepath.Join(dir, "run/berth/lock")); err == nil {
		t.Error("the file is left")
	}
}

func TestLocked(t *testing.T) {
	root, dir := newRoot(t)
	const file = "/run/berth/agent.lock"
	held := func(want bool) {
		t.Helper()
		before, _ := filepath.Glob(filepath.Join(dir, "*/*/*"))
		got, err := Locked(root, file)
		if err != nil {
			t.Fatal(err)
		}
		if got != want {
			t.Errorf("%v, want %v", got, want)
		}
		if after, _ := filepath.Glob(filepath.Join(dir, "*/*/*")); !slices.Equal(after, before) {
			t.Errorf("%v, want %v", after, before)
		}
	}
	held(false)
	l, err := LockFile(t.Context(), root, file, false)
	if err != nil {
		t.Fatal(err)
	}
	held(true)
	l.Unlock()
	held(false)
	write(t, filepath.Join(dir, file), "left by a killed process")
	held(false)
}

// Every release takes the same lock of the kernel on the same file, removes the file while it holds
// the lock, and compares its file with the one at the path: an agent and a command of different
// releases exclude each other.
func TestLockOfOtherReleases(t *testing.T) {
	root, dir := newRoot(t)
	const file = "/run/berth/lock"
	at := filepath.Join(dir, file)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	write(t, at, "")
	other := func() *os.File {
		f, err := os.OpenFile(at, os.O_RDWR|os.O_CREATE, 0o600)
		must(err)
		t.Cleanup(func() { f.Close() })
		return f
	}
	flock := func(f *os.File) error { return unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) }

	holder := other()
	must(flock(holder))
	if _, err := LockFile(t.Context(), root, file, false); !errors.Is(err, ErrLocked) {
		t.Errorf("held by another release: %v", err)
	}
	must(os.Remove(at))
	l, err := LockFile(t.Context(), root, file, false)
	must(err) // the former holder removed its file
	waiting := other()
	if err := flock(waiting); err != unix.EWOULDBLOCK {
		t.Errorf("another release took a held lock: %v", err)
	}
	l.Unlock()
	must(flock(waiting))
	mine, err := waiting.Stat()
	must(err)
	if now, err := os.Stat(at); err == nil && os.SameFile(mine, now) {
		t.Error("the file was not removed: another release would use the lock of the former holder")
	}
}
