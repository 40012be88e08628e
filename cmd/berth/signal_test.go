package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/berth-registry/berth/cmd/berth/cli"
)

// testTimeout bounds each wait of a test.
const testTimeout = time.Minute

// asBerth is this test binary under the name that makes TestMain run the command.
func asBerth(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	berth := filepath.Join(t.TempDir(), "berth")
	if err := os.Symlink(self, berth); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), testTimeout)
	t.Cleanup(cancel)
	return exec.CommandContext(ctx, berth, args...)
}

// until waits for a condition.
func until(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(testTimeout); !condition(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not in time: %s", what)
		}
	}
}

// A command that waits for standard input ends at a signal.
func TestSignalWhileReadingStdin(t *testing.T) {
	for _, verb := range [][]string{
		{"convert", "--from", "k3s", "-"},
		{"images", "list", "-f", "-"},
		{"images", "rewrite", "--to", "mirror.corp", "-f", "-"},
	} {
		for _, signal := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
			t.Run(strings.Join(verb[:2], " ")+" "+signal.String(), func(t *testing.T) {
				out, in, err := os.Pipe()
				if err != nil {
					t.Fatal(err)
				}
				defer in.Close()
				cmd := asBerth(t, verb...)
				var stderr bytes.Buffer
				cmd.Stdin, cmd.Stderr = out, &stderr
				if err := cmd.Start(); err != nil {
					t.Fatal(err)
				}
				if _, err := in.WriteString("#"); err != nil {
					t.Fatal(err)
				}
				until(t, "the first byte is read", func() bool {
					waiting, err := unix.IoctlGetInt(int(in.Fd()), unix.TIOCINQ)
					return err == nil && waiting == 0
				})
				out.Close()
				if err := cmd.Process.Signal(signal); err != nil {
					t.Fatal(err)
				}
				err = cmd.Wait()
				exit, ok := errors.AsType[*exec.ExitError](err)
				if !ok || exit.ExitCode() != cli.ExitFailed {
					t.Fatalf("%v\n%s", err, &stderr)
				}
				if got := stderr.String(); got != "berth: "+cli.ErrInterrupted.Error()+"\n" {
					t.Errorf("told: %q", got)
				}
			})
		}
	}
}

// A command that ignores the first signal ends at the second.
func TestSecondSignal(t *testing.T) {
	fifo := filepath.Join(t.TempDir(), "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := asBerth(t, "convert", "--from", "k3s", fifo)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	var in *os.File
	until(t, "the file is being read", func() (ok bool) {
		fd, err := syscall.Open(fifo, syscall.O_WRONLY|syscall.O_NONBLOCK|syscall.O_CLOEXEC, 0)
		if err == nil {
			in = os.NewFile(uintptr(fd), fifo)
		}
		return err == nil
	})
	defer in.Close()
	for {
		select {
		case err := <-done:
			exit, ok := errors.AsType[*exec.ExitError](err)
			if status, is := exit.Sys().(syscall.WaitStatus); !ok || !is || !status.Signaled() || status.Signal() != syscall.SIGINT {
				t.Fatalf("ended with %v", err)
			}
			return
		case <-time.After(20 * time.Millisecond):
			_ = cmd.Process.Signal(os.Interrupt) // it may have ended just now
		}
	}
}
