package parts

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// release is a containerd that is built from a nested module.
type release struct {
	version string
	module  string // whose commands the module file lists as tools
	modfile string // in test/parts/containerd
	// programs are those commands.
	programs []string
}

// builtReleases are the releases that are compiled here, oldest first.
func builtReleases() []release {
	all := []release{line1(Containerd17Version)}
	for _, version := range []string{"2.0.14", "2.1.9", "2.2.9", "2.3.7"} {
		all = append(all, release{version, module2, version + ".mod", []string{"containerd", "containerd-shim-runc-v2"}})
	}
	return append(all, newest())
}

// selected returns the versions that $BERTH_RELEASES names, separated by commas; "all" are all, and
// none those of CI.
func selected() ([]string, error) {
	all := []string{Containerd1Version}
	for _, r := range builtReleases() {
		all = append(all, r.version)
	}
	switch names := os.Getenv("BERTH_RELEASES"); names {
	case "":
		return []string{Containerd1Version, Containerd17Version, Containerd2Version}, nil
	case "all":
		return all, nil
	default:
		versions := strings.Split(names, ",")
		for _, v := range versions {
			if !slices.Contains(all, v) {
				return nil, fmt.Errorf("BERTH_RELEASES: containerd %q is not one of %s", v, strings.Join(all, ", "))
			}
		}
		return versions, nil
	}
}

func line1(version string) release {
	return release{version, module1, version + ".mod", []string{"containerd", "containerd-shim-runc-v2"}}
}

func newest() release {
	return release{Containerd2Version, module2, "go.mod", []string{"containerd", "containerd-shim-runc-v2", "ctr"}}
}

const (
	module1 = "github.com/containerd/containerd"
	module2 = "github.com/containerd/containerd/v2"
)

// Provide is [Locate] after building the missing parts that can be built. It writes to progress
// what it builds and why that takes long; if nothing is missing, it writes the path of each part.
// Concurrent calls, also in several processes, build once. It needs the Go command and, to build,
// the module proxy or a filled module cache.
func Provide(ctx context.Context, progress io.Writer) (Set, error) {
	// The cheap check comes first, so that its error does not come after minutes.
	if _, err := locatePackages(ctx); err != nil {
		return Set{}, err
	}
	versions, err := selected()
	if err != nil {
		return Set{}, err
	}
	for _, r := range builtReleases() {
		if r.version == Containerd17Version || slices.Contains(versions, r.version) {
			if err := r.build(ctx, progress); err != nil {
				return Set{}, err
			}
		}
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

// dir returns the directory of the built release.
func (r release) dir() (string, error) {
	cache := os.Getenv("XDG_CACHE_HOME")
	if cache == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return "", fmt.Errorf("cache directory: %w", err)
		}
		cache = filepath.Join(home, ".cache")
	}
	return filepath.Join(cache, "berth-test", "containerd-"+r.version), nil
}

// complete reports whether dir holds a finished build. The directory appears by one rename after
// the last program is linked, so it is enough to check that the programs exist; an empty cache
// directory counts as not built.
func (r release) complete(dir string) bool {
	for _, name := range r.programs {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil || !info.Mode().IsRegular() || info.Mode()&0o111 == 0 {
			return false
		}
	}
	return true
}

func (r release) build(ctx context.Context, progress io.Writer) error {
	dir, err := r.dir()
	if err != nil {
		return err
	}
	if r.complete(dir) {
		return nil
	}
	module, err := r.source(ctx)
	if err != nil {
		return err
	}
	parent := filepath.Dir(dir)
	if err := os.MkdirAll(parent, 0o755); err != nil {
		return err
	}
	unlock, err := lock(dir+".lock", r.version, progress)
	if err != nil {
		return err
	}
	defer unlock()
	if r.complete(dir) { // the previous holder of the lock has built it
		return nil
	}

	// Remains of a killed build; we hold the lock, so no build uses them.
	stale, err := filepath.Glob(dir + ".building-*")
	if err != nil {
		return err
	}
	for _, old := range stale {
		if err := os.RemoveAll(old); err != nil {
			return err
		}
	}
	fmt.Fprintf(progress, "building containerd %s (about 500 packages: two to three minutes on two cores, once a machine)\n", r.version)
	began := time.Now()
	// Not below os.TempDir: the rename must stay on one file system.
	half, err := os.MkdirTemp(parent, filepath.Base(dir)+".building-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(half)
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-mod=readonly", "-modfile="+r.modfile,
		"-ldflags", "-s -w -X "+r.module+"/version.Version=v"+r.version,
		"-o", half+string(filepath.Separator), "tool")
	cmd.Dir = module
	cmd.Stdout, cmd.Stderr = progress, progress
	cmd.Env = append(os.Environ(), "GOWORK=off", "GOFLAGS=")
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("build containerd %s: %w", r.version, err)
	}
	if !r.complete(half) {
		return fmt.Errorf("build containerd %s: a program of %v is missing from the result", r.version, r.programs)
	}
	if err := os.Chmod(half, 0o755); err != nil {
		return err
	}
	// The present directory is incomplete, otherwise we would have returned.
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	if err := os.Rename(half, dir); err != nil {
		return err
	}
	fmt.Fprintf(progress, "built containerd %s in %s\n", r.version, time.Since(began).Round(time.Second))
	return nil
}

// source returns the directory of the nested modules that pin containerd, after checking that the
// module file of the release pins it.
func (r release) source(ctx context.Context) (string, error) {
	out, err := goCommand(ctx, "", "env", "GOMOD")
	if err != nil {
		return "", err
	}
	if filepath.Base(out) != "go.mod" {
		return "", errors.New("containerd is built from the checkout: run this in test/e2e")
	}
	dir := filepath.Join(filepath.Dir(out), "..", "parts", "containerd")
	version, err := goCommand(ctx, dir, "list", "-m", "-modfile="+r.modfile, "-f", "{{.Version}}", r.module)
	if err != nil {
		return "", err
	}
	if version != "v"+r.version {
		return "", fmt.Errorf("%s/%s pins containerd %s, package parts says v%s", dir, r.modfile, version, r.version)
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

// lock takes the lock file at path, and waits for another process if necessary. The kernel releases
// the lock when its holder ends, so a killed build blocks no other.
func lock(path, version string, progress io.Writer) (unlock func(), err error) {
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
			fmt.Fprintf(progress, "waiting for another process that builds containerd %s\n", version)
			how = unix.LOCK_EX
		default:
			f.Close()
			return nil, fmt.Errorf("lock %s: %w", path, err)
		}
	}
}
