package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// program is an executable.
type program struct {
	name    string
	path    string
	version string // "" for our own
	size    int64  // bytes
}

type programs struct{ berth, fetcher, floor, peak, ecrProvider, helper program }

// peer is a program of another project. A module of its own below test/parts pins its version.
type peer struct{ name, module, pkg string }

// build builds all programs: ours into dir, the others into a cache of the machine. All are static
// and stripped.
func build(ctx context.Context, dir string, progress io.Writer) (programs, error) {
	mod, err := goCommand(ctx, "", "env", "GOMOD")
	if err != nil {
		return programs{}, err
	}
	if filepath.Base(mod) != "go.mod" {
		return programs{}, errors.New("the programs are built from the checkout: run this inside it")
	}
	root := filepath.Dir(mod)
	p, err := buildOurs(ctx, root, dir)
	if err != nil {
		return programs{}, err
	}
	const login = "github.com/awslabs/amazon-ecr-credential-helper/ecr-login"
	for q, into := range map[peer]*program{
		{"ecr-credential-provider", "k8s.io/cloud-provider-aws", "k8s.io/cloud-provider-aws/cmd/ecr-credential-provider"}: &p.ecrProvider,
		{"docker-credential-ecr-login", login, login + "/cli/docker-credential-ecr-login"}:                                &p.helper,
	} {
		if *into, err = q.provide(ctx, filepath.Join(root, "test", "parts", q.name), progress); err != nil {
			return programs{}, err
		}
	}
	return p, nil
}

// buildOurs builds the programs of this module, whose directory is root.
func buildOurs(ctx context.Context, root, dir string) (programs, error) {
	var p programs
	for pkg, into := range map[string]*program{
		"./cmd/berth-credential-provider": &p.berth,
		"./cmd/berth-ecr-token":           &p.fetcher,
		"./test/benchprovider/floor":      &p.floor,
		"./test/benchprovider/peak":       &p.peak,
	} {
		into.name = filepath.Base(pkg)
		into.path = filepath.Join(dir, into.name)
		if err := goBuild(ctx, root, into.path, pkg); err != nil {
			return programs{}, err
		}
		if err := into.weigh(); err != nil {
			return programs{}, err
		}
	}
	return p, nil
}

func (p *program) weigh() error {
	info, err := os.Stat(p.path)
	if err != nil {
		return err
	}
	p.size = info.Size()
	return nil
}

// provide returns q from the cache, or builds it from the module in source.
func (q peer) provide(ctx context.Context, source string, progress io.Writer) (program, error) {
	version, err := goCommand(ctx, source, "list", "-m", "-f", "{{.Version}}", q.module)
	if err != nil {
		return program{}, err
	}
	version = strings.TrimPrefix(version, "v")
	cache, err := os.UserCacheDir()
	if err != nil {
		return program{}, err
	}
	dir := filepath.Join(cache, "berth-test", q.name+"-"+version)
	p := program{name: q.name, path: filepath.Join(dir, q.name), version: version}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return program{}, err
	}
	unlock, err := lock(dir + ".lock")
	if err != nil {
		return program{}, err
	}
	defer unlock()
	if err := p.weigh(); !errors.Is(err, os.ErrNotExist) {
		return p, err
	}
	fmt.Fprintf(progress, "building %s %s (half a minute, once a machine)\n", q.name, version)
	began := time.Now()
	// Renamed when it is complete: a killed build must not leave a partial program.
	half := p.path + ".building"
	if err := goBuild(ctx, source, half, q.pkg); err != nil {
		return program{}, errors.Join(err, removeIfThere(half))
	}
	fmt.Fprintf(progress, "built in %s\n", time.Since(began).Round(time.Second))
	if err := os.Rename(half, p.path); err != nil {
		return program{}, err
	}
	return p, p.weigh()
}

func removeIfThere(path string) error {
	if err := os.Remove(path); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// lock waits for other runs. The kernel releases it when its holder dies.
func lock(path string) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	for {
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX)
		if !errors.Is(err, syscall.EINTR) {
			break
		}
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("lock %s: %w", path, err), f.Close())
	}
	return func() { _ = f.Close() }, nil
}

func goBuild(ctx context.Context, module, path, pkg string) error {
	_, err := goCommand(ctx, module, "build", "-trimpath", "-buildvcs=false", "-mod=readonly", "-ldflags", "-s -w -buildid=", "-o", path, pkg)
	return err
}

func goCommand(ctx context.Context, dir string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOWORK=off", "GOFLAGS=", "CGO_ENABLED=0")
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("go %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(stderr.String()))
	}
	return strings.TrimSpace(string(out)), nil
}
