package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// The outcomes of a mutant.
const (
	killed     = "killed"     // a test fails
	timedOut   = "timeout"    // the tests do not end: killed, too
	survived   = "survived"   // all tests pass
	equivalent = "equivalent" // it makes no difference; written by hand, with the reason
	discarded  = ""           // it does not compile, so it does not count
)

const (
	// slower is how many times the duration of the tests without a change a
	// mutant may take. A mutant that hangs differs from a busy machine by it.
	slower   = 10
	leastRun = 10 * time.Second
	// maxData bounds the memory of a test, in KiB: a loop without end may append.
	maxData = "4194304"
)

// changedFile is the name of the changed file, by which compilers' errors are known.
const changedFile = "mutated.go"

// runner builds and runs tests. Its methods may be called concurrently.
type runner struct {
	scratch string
	least   time.Duration // limit of a package whose tests are quick
	limits  sync.Map
}

// baseline runs the tests of dir without a change, and takes their duration for
// the limit of [runner.run]. Tests that fail are an error. It does so once.
func (r *runner) baseline(ctx context.Context, dir string) error {
	if _, done := r.limits.Load(dir); done {
		return nil
	}
	work, err := os.MkdirTemp(r.scratch, "")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	binary := filepath.Join(work, "tests")
	if out, err := r.build(ctx, dir, binary, ""); err != nil {
		return fmt.Errorf("%s: its tests do not build: %w\n%s", dir, err, out)
	}
	begin := time.Now()
	out, err := r.tests(ctx, dir, binary, work)
	if err != nil {
		return fmt.Errorf("%s: its tests fail without a change: %w\n%s", dir, err, out)
	}
	r.limits.Store(dir, max(slower*time.Since(begin), r.least))
	return nil
}

// run gives the outcome of m by the tests of its own package, and if those pass
// by those of the directories in more.
func (r *runner) run(ctx context.Context, m mutant, more []string) (string, error) {
	work, err := os.MkdirTemp(r.scratch, "")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(work)
	content, err := os.ReadFile(m.file)
	if err != nil {
		return "", err
	}
	changed, overlay := filepath.Join(work, changedFile), filepath.Join(work, "overlay.json")
	replace, err := json.Marshal(map[string]any{"Replace": map[string]string{m.file: changed}})
	if err != nil {
		return "", err
	}
	if err := errors.Join(os.WriteFile(changed, m.apply(content), 0o600), os.WriteFile(overlay, replace, 0o600)); err != nil {
		return "", err
	}
	for _, dir := range append([]string{m.dir}, more...) {
		outcome, err := r.runIn(ctx, m, dir, work, overlay)
		if err != nil || outcome != survived {
			return outcome, err
		}
	}
	return survived, nil
}

func (r *runner) runIn(ctx context.Context, m mutant, dir, work, overlay string) (string, error) {
	binary := filepath.Join(work, "tests")
	out, err := r.build(ctx, dir, binary, overlay)
	switch {
	case err != nil && bytes.Contains(out, []byte(changedFile+":")):
		return discarded, nil
	case err != nil:
		return "", fmt.Errorf("%s: go test -c: %w\n%s", m.id, err, out)
	}
	limit, ok := r.limits.Load(dir)
	if !ok {
		return "", fmt.Errorf("%s: no baseline", dir)
	}
	limited, cancel := context.WithTimeout(ctx, limit.(time.Duration))
	defer cancel()
	_, err = r.tests(limited, dir, binary, work)
	exit := (*exec.ExitError)(nil)
	switch {
	case ctx.Err() != nil:
		return "", ctx.Err()
	case err == nil:
		return survived, nil
	case limited.Err() != nil:
		return timedOut, nil
	case errors.Is(err, exec.ErrWaitDelay): // it passed; a process that it started has its output
		return survived, nil
	case errors.As(err, &exit):
		return killed, nil
	}
	return "", fmt.Errorf("%s: %w", m.id, err)
}

func (r *runner) build(ctx context.Context, dir, binary, overlay string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, "go", "test", "-c", "-o", binary, "-overlay", overlay, "-ldflags", "-s -w", ".")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	return cmd.CombinedOutput()
}

// tests runs a test binary in dir. What it leaves behind, processes and files,
// is removed.
func (r *runner) tests(ctx context.Context, dir, binary, work string) ([]byte, error) {
	temp := filepath.Join(work, "tmp")
	if err := os.Mkdir(temp, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, "sh", "-c", `ulimit -d `+maxData+`; exec "$@"`, "sh",
		binary, "-test.short", "-test.failfast", "-test.timeout=0")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "TMPDIR="+temp)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second
	out, err := cmd.CombinedOutput()
	if errors.Is(err, exec.ErrWaitDelay) {
		_ = cmd.Cancel()
	}
	return out, err
}
