package managedfile

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestLockedByAnother(t *testing.T) {
	w := newWorld(t)
	before := w.tree("/")
	l, err := LockFile(w.ctx(), w.root, "/run/berth/agent.lock", false)
	w.must(err)
	_, err = LockFile(w.ctx(), w.root, "/run/berth/agent.lock", false)
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
	w.same(before)
}

func TestLockWaits(t *testing.T) {
	w := newWorld(t)
	const file = "/run/berth/lock"
	lock, err := LockFile(w.ctx(), w.root, file, true)
	w.must(err)
	ctx, cancel := context.WithTimeout(w.ctx(), 3*lockPoll)
	defer cancel()
	if _, err := LockFile(ctx, w.root, file, true); !errors.Is(err, ErrLocked) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
	var first sync.WaitGroup
	first.Go(func() {
		time.Sleep(2 * lockPoll)
		lock.Unlock()
	})
	again, err := LockFile(w.ctx(), w.root, file, true)
	first.Wait()
	w.must(err)
	again.Unlock()
	if w.exists(file) {
		t.Error("the file is left")
	}
}

func TestLockWithoutDirectory(t *testing.T) {
	w := newWorld(t)
	w.write("/run", "a file", 0o644)
	if _, err := LockFile(w.ctx(), w.root, "/run/berth/lock", true); err == nil || errors.Is(err, ErrLocked) {
		t.Errorf("%v", err)
	}
}

// The file is created and removed by its holders; still only one holds it at a time.
func TestLockExcludes(t *testing.T) {
	w := newWorld(t)
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
				l, err := LockFile(context.Background(), w.root, "/run/berth/lock", true)
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
	if w.exists("/run/berth/lock") {
		t.Error("the file is left")
	}
}

func TestLocked(t *testing.T) {
	w := newWorld(t)
	const file = "/run/berth/agent.lock"
	held := func(want bool) {
		t.Helper()
		before := w.tree("/")
		got, err := Locked(w.root, file)
		w.must(err)
		if got != want {
			t.Errorf("%v, want %v", got, want)
		}
		w.same(before)
	}
	held(false)
	l, err := LockFile(w.ctx(), w.root, file, false)
	w.must(err)
	held(true)
	l.Unlock()
	held(false)
	w.write(file, "left by somebody", 0o600)
	held(false)
}
