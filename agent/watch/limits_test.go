package watch

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// childEnv names the working directory of the child process.
const childEnv = "BERTH_WATCH_CHILD"

// This test needs a child process, because the limit of open files holds for a whole process.
func TestOpenFilesUsedUp(t *testing.T) {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childEnv+"="+t.TempDir())
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "child passed") {
		t.Fatalf("%v\n%s", err, out)
	}
}

func child() int {
	dir := os.Getenv(childEnv)
	if err := runWithoutFiles(dir); err != nil {
		fmt.Println(err)
		return 1
	}
	fmt.Println("child passed")
	return 0
}

// runWithoutFiles runs a watcher that twice finds no free file descriptor: at its start, and when
// it must read a new tree.
func runWithoutFiles(dir string) error {
	tree := filepath.Join(dir, "certs.d")
	var wakes atomic.Int64
	w := New(Options{Wake: func() { wakes.Add(1) }})
	w.Set(nil, []string{tree})
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	ended := make(chan error, 1)
	full, err := exhaustFiles()
	if err != nil {
		return err
	}
	go func() { ended <- w.Run(ctx) }()

	if err := await("no free file at the start", w, "raise its limit"); err != nil {
		return err
	}
	if wakes.Load() != 0 {
		return fmt.Errorf("%d wakes without a watch", wakes.Load())
	}
	if err := restoreLimit(full); err != nil {
		return err
	}
	w.Retry()
	if err := await("free files", w, ""); err != nil {
		return err
	}

	if full, err = exhaustFiles(); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Join(tree, "docker.io"), 0o755); err != nil {
		return err
	}
	if err := await("no free file later", w, "raise its limit"); err != nil {
		return err
	}
	if err := restoreLimit(full); err != nil {
		return err
	}
	w.Retry()
	if err := await("free files again", w, ""); err != nil {
		return err
	}
	before := wakes.Load()
	if err := os.WriteFile(filepath.Join(tree, "docker.io", "hosts.toml"), nil, 0o600); err != nil {
		return err
	}
	for deadline := time.Now().Add(patience); wakes.Load() == before; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			return fmt.Errorf("no wake after the second shortage")
		}
	}
	cancel()
	return <-ended
}

// exhaustFiles stops this process from opening files, and returns the former limit.
func exhaustFiles() (before unix.Rlimit, err error) {
	// The runtime opens its own files at first use.
	warm, err := os.Open("/")
	if err != nil {
		return before, err
	}
	next := warm.Fd() // the lowest free one
	warm.Close()
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &before); err != nil {
		return before, err
	}
	now := before
	now.Cur = uint64(next)
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &now); err != nil {
		return before, err
	}
	if f, err := os.Open("/"); err == nil {
		f.Close()
		return before, fmt.Errorf("a file can be opened: this test proves nothing")
	} else if pe, ok := err.(*os.PathError); !ok || pe.Err != syscall.EMFILE {
		return before, fmt.Errorf("another error than EMFILE: %w", err)
	}
	return before, nil
}

func restoreLimit(limit unix.Rlimit) error { return unix.Setrlimit(unix.RLIMIT_NOFILE, &limit) }

func await(when string, w *Watcher, words string) error {
	for deadline := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		ok, why := w.State()
		if ok == (words == "") && strings.Contains(why, words) {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%s: state is %v %q, not %q", when, ok, why, words)
		}
	}
}
