package boundedexec

import (
	"context"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

func sh(script string) Command {
	return Command{Path: "sh", Args: []string{"-c", script}, Limit: time.Minute, MaxOutput: 1000}
}

func TestRun(t *testing.T) {
	c := sh("cat; echo secret >&2")
	c.Stdin = []byte("asked")
	if out, err := Run(t.Context(), c); err != nil || string(out) != "asked" {
		t.Errorf("%q, %v", out, err)
	}
	out, err := Run(t.Context(), sh("cat; echo why; exit 3"))
	exit, ok := errors.AsType[*exec.ExitError](err)
	if !ok || exit.ExitCode() != 3 || string(out) != "why\n" {
		t.Errorf("%q, %v", out, err)
	}
	if _, err := Run(t.Context(), sh("yes")); !errors.Is(err, ErrOutput) {
		t.Errorf("endless output: %v", err)
	}
	c = sh("exit 0") // it reads nothing
	c.Stdin = make([]byte, 1<<20)
	if _, err := Run(t.Context(), c); err != nil {
		t.Errorf("input that is not read: %v", err)
	}
	c = sh("sleep 1000")
	c.Limit = 50 * time.Millisecond
	if _, err := Run(t.Context(), c); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("endless: %v", err)
	}
}

// TestOutputIsBounded: what is kept has a bound, and so has what is read of a program that prints on.
func TestOutputIsBounded(t *testing.T) {
	const bound, chunk = 64 << 10, 32 << 10 // os/exec reads with io.Copy, in such chunks
	cancelled := 0
	out := &boundedOutput{max: bound, cancel: func() { cancelled++ }}
	program := &endless{}
	if _, err := io.Copy(struct{ io.Writer }{out}, program); !errors.Is(err, ErrOutput) || !out.full || cancelled != 1 {
		t.Errorf("%v, full %t, cancelled %d times", err, out.full, cancelled)
	}
	if program.read > bound+chunk || out.kept.Len() > bound || out.kept.Cap() > 3*bound {
		t.Errorf("%d bytes were read, %d are kept, in %d", program.read, out.kept.Len(), out.kept.Cap())
	}
}

// endless is the output of a program that does not stop.
type endless struct{ read int }

func (e *endless) Read(p []byte) (int, error) {
	e.read += len(p)
	return len(p), nil
}

// TestChildrenEnd: a child in the background neither delays the answer nor lives on.
func TestChildrenEnd(t *testing.T) {
	out, err := Run(t.Context(), sh(`sleep 1000 & echo $$`))
	if err != nil {
		t.Fatal(err)
	}
	group, err := strconv.Atoi(strings.TrimSpace(string(out)))
	if err != nil {
		t.Fatal(err)
	}
	// A killed child counts until init has reaped it.
	for end := time.Now().Add(time.Minute); !errors.Is(syscall.Kill(-group, 0), syscall.ESRCH); {
		if time.Now().After(end) {
			t.Fatal("a child lives on")
		}
		time.Sleep(time.Millisecond)
	}
}

func TestWithout(t *testing.T) {
	got := Without([]string{"PATH=/bin", "AWS_SECRET_ACCESS_KEY=x", "AWS_REGION=a", "ODD"}, AWSKeys())
	if want := []string{"PATH=/bin", "AWS_REGION=a", "ODD"}; !slices.Equal(got, want) {
		t.Errorf("%s", strings.Join(got, " "))
	}
}
