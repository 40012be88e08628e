package boundedexec

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
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

// TestChildrenEnd: a child in the background neither delays the answer nor lives on. The child would
// write a file after its parent has ended; the fifo makes it wait until Run has returned.
func TestChildrenEnd(t *testing.T) {
	dir := t.TempDir()
	script := `mkfifo "$D/go"; (read x < "$D/go"; echo > "$D/lived") & echo done`
	c := sh(script)
	c.Env = append(os.Environ(), "D="+dir)
	out, err := Run(t.Context(), c)
	if err != nil || string(out) != "done\n" {
		t.Fatalf("%q, %v", out, err)
	}
	// The child was killed: nobody reads the fifo.
	f, err := os.OpenFile(filepath.Join(dir, "go"), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString("x\n"); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "lived")); !os.IsNotExist(err) {
		t.Errorf("the child lived on: %v", err)
	}
}

func TestWithout(t *testing.T) {
	got := Without([]string{"PATH=/bin", "AWS_SECRET_ACCESS_KEY=x", "AWS_REGION=a", "ODD"}, AWSKeys())
	if want := []string{"PATH=/bin", "AWS_REGION=a", "ODD"}; !slices.Equal(got, want) {
		t.Errorf("%s", strings.Join(got, " "))
	}
}
