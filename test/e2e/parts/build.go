package parts

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const containerd2Module = "github.com/containerd/containerd/v2"

// containerd2Programs are the programs that the part's go.mod lists as tools.
var containerd2Programs = []string{"containerd", "containerd-shim-runc-v2", "ctr"}

// Provide is [Locate] after building what is missing and can be built. It
// writes to progress what it builds and why that takes long; with everything
// in place it says where each part is. Several Provide at the same time, also
// in several processes, build once. It needs the Go command and, when it
// builds, the module proxy or a filled module cache.
func Provide(ctx context.Context, progress io.Writer) (Set, error) {
	// First what costs nothing, so that nobody waits minutes for its error.
	if _, err := locatePackages(ctx); err != nil {
		return Set{}, err
	}
	dir, err := containerd2Dir()
	if err != nil {
		return Set{}, err
	}
	if err := buildContainerd2(ctx, dir, progress); err != nil {
		return Set{}, err
	}
	set, err := Locate(ctx)
	if err != nil {
		return Set{}, err
	}
	for _, c := range set.Containerd {
		fmt.Fprintf(progress, "containerd %s: %s\n", c.Version, c.Daemon)
	}
	fmt.Fprintf(progress, "docker-registry: %s\nrunc: %s\n", set.Registry, set.Runc)
	return set, nil
}

// containerd2Dir is where containerd 2 lives once it is built.
func containerd2Dir() (string, error) {
	cache := os.Getenv("XDG_CACHE_HOME")
	if cache == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return "", fmt.Errorf("cache directory: %w", err)
		}
		cache = filepath.Join(home, ".cache")
	}
	return filepath.Join(cache, "berth-test", "containerd-"+Containerd2Version), nil
}

// complete reports whether dir holds a finished build. The directory appears
// by one rename after the last program is linked, so that looking for the
// programs is enough; an emptied cache directory counts as not built.
func complete(dir string) bool {
	for _, name := range containerd2Programs {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil || !info.Mode().IsRegular() || info.Mode()&0o111 == 0 {
			return false
		}
	}
	return true
}

func buildContainerd2(ctx context.Context, dir string, progress io.Writer) error {
	if complete(dir) {
		return nil
	}
	module, err := containerd2Source(ctx)
	if err != nil {
		return err
	}
	parent := filepath.Dir(dir)
	if err := os.MkdirAll(parent, 0o755); err != nil {
		return err
	}
	unlock, err := lock(dir+".lock", progress)
	if err != nil {
		return err
	}
	defer unlock()
	if complete(dir) { // whoever held the lock has built it
		return nil
	}

	// What a killed build left behind; we hold the lock, so nobody is in it.
	stale, err := filepath.Glob(dir + ".building-*")
	if err != nil {
		return err
	}
	for _, old := range stale {
		if err := os.RemoveAll(old); err != nil {
			return err
		}
	}
	fmt.Fprintf(progress, "building containerd %s (about 500 packages: two to three minutes on two cores, once a machine)\n", Containerd2Version)
	began := time.Now()
	// Not below os.TempDir: the rename must stay on one file system.
	half, err := os.MkdirTemp(parent, filepath.Base(dir)+".building-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(half)
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-mod=readonly",
		"-ldflags", "-s -w -X "+containerd2Module+"/version.Version=v"+Containerd2Version,
		"-o", half+string(filepath.Separator), "tool")
	cmd.Dir = module
	cmd.Stdout, cmd.Stderr = progress, progress
	cmd.Env = append(os.Environ(), "GOWORK=off", "GOFLAGS=")
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("build containerd %s: %w", Containerd2Version, err)
	}
	if !complete(half) {
		return fmt.Errorf("build containerd %s: a program of %v is missing from the result", Containerd2Version, containerd2Programs)
	}
	if err := os.Chmod(half, 0o755); err != nil {
		return err
	}
	// What is there is incomplete, or we would have returned.
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	if err := os.Rename(half, dir); err != nil {
		return err
	}
	fmt.Fprintf(progress, "built containerd %s in %s\n", Containerd2Version, time.Since(began).Round(time.Second))
	return nil
}

// containerd2Source returns the directory of the nested module that pins
// containerd 2, after checking that it pins the version the tests name.
func containerd2Source(ctx context.Context) (string, error) {
	out, err := goCommand(ctx, "", "env", "GOMOD")
	if err != nil {
		return "", err
	}
	if filepath.Base(out) != "go.mod" {
		return "", errors.New("containerd 2 is built from the checkout: run this in test/e2e")
	}
	dir := filepath.Join(filepath.Dir(out), "..", "parts", "containerd")
	version, err := goCommand(ctx, dir, "list", "-m", "-f", "{{.Version}}", containerd2Module)
	if err != nil {
		return "", err
	}
	if version != "v"+Containerd2Version {
		return "", fmt.Errorf("%s/go.mod pins containerd %s, package parts says v%s", dir, version, Containerd2Version)
	}
	return dir, nil
}

func goCommand(ctx context.Context, dir string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOWORK=off", "GOFLAGS=")
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("go %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(stderr.String()))
	}
	return strings.TrimSpace(string(out)), nil
}

// lock takes the lock file at path, waiting for another process if need be.
// The kernel drops the lock with its holder, so a killed build blocks nobody.
func lock(path string, progress io.Writer) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR|unix.O_CLOEXEC, 0o644)
	if err != nil {
		return nil, err
	}
	how := unix.LOCK_EX | unix.LOCK_NB
	for {
		err := unix.Flock(int(f.Fd()), how)
		switch {
		case err == nil:
			return func() { f.Close() }, nil
		case errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.EWOULDBLOCK):
			fmt.Fprintf(progress, "waiting for another process that builds containerd %s\n", Containerd2Version)
			how = unix.LOCK_EX
		default:
			f.Close()
			return nil, fmt.Errorf("lock %s: %w", path, err)
		}
	}
}
