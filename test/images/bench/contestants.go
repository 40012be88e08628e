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

	"github.com/berth-registry/berth/test/gobuild"
	"github.com/berth-registry/berth/test/images/trial"
)

// craneModule is the module of crane; test/images/crane pins it.
const craneModule = "github.com/google/go-containerregistry"

// contestants prepares all of them. crane and skopeo copy one image at a time, so xargs runs
// several; they get every tag of the set, also those of signatures and lists, which berth finds by
// itself.
func contestants(ctx context.Context, fixture *trial.Fixture, s settings, dir string, progress io.Writer) ([]*contestant, error) {
	crane, version, err := provideCrane(ctx, progress)
	if err != nil {
		return nil, err
	}
	skopeo, err := exec.LookPath("skopeo")
	if err != nil {
		return nil, errors.New("skopeo is missing: run apt-get install -y --no-install-recommends skopeo")
	}
	xargs, err := exec.LookPath("xargs")
	if err != nil {
		return nil, err
	}
	skopeoVersion, err := exec.CommandContext(ctx, skopeo, "--version").Output()
	if err != nil {
		return nil, err
	}
	var tags strings.Builder
	for _, t := range fixture.Set.Tags {
		fmt.Fprintf(&tags, "%s:%s\n", t.Repository, t.Tag)
	}
	list := filepath.Join(dir, "tags.txt")
	if err := os.WriteFile(list, []byte(tags.String()), 0o600); err != nil {
		return nil, err
	}
	source := fixture.Source.Addr()
	parallel := func(target string, command ...string) []string {
		args := []string{xargs, "-a", list, "-P", fmt.Sprint(s.parallel), "-I{}"}
		for _, a := range command {
			args = append(args, strings.NewReplacer("SRC", source, "DST", target).Replace(a))
		}
		return args
	}
	number := fmt.Sprintf(", %d processes at a time", s.parallel)
	return []*contestant{
		{row: "**berth images copy**", ours: true, args: func(target string) []string { return fixture.Command(ctx, target).Args }},
		{row: "crane " + version + number, args: func(target string) []string {
			return parallel(target, crane, "copy", "--insecure", "SRC/{}", "DST/{}")
		}},
		{row: "skopeo " + strings.TrimSpace(strings.TrimPrefix(string(skopeoVersion), "skopeo version")) + number, args: func(target string) []string {
			return parallel(target, skopeo, "copy", "--quiet", "--all", "--insecure-policy", "--src-tls-verify=false", "--dest-tls-verify=false", "docker://SRC/{}", "docker://DST/{}")
		}},
	}, nil
}

// provideCrane builds crane once a machine.
func provideCrane(ctx context.Context, progress io.Writer) (path, version string, err error) {
	root, err := exec.CommandContext(ctx, "go", "env", "GOMOD").Output()
	if err != nil {
		return "", "", err
	}
	source := filepath.Join(filepath.Dir(strings.TrimSpace(string(root))), "test", "images", "crane")
	list := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Version}}", craneModule)
	list.Dir = source
	out, err := list.Output()
	if err != nil {
		return "", "", fmt.Errorf("run this inside the checkout: %w", err)
	}
	version = strings.TrimPrefix(strings.TrimSpace(string(out)), "v")
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", "", err
	}
	dir := filepath.Join(cache, "berth-test", "crane-"+version)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", "", err
	}
	lock, err := os.OpenFile(dir+".lock", os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return "", "", err
	}
	defer lock.Close() // closing it releases the lock
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return "", "", err
	}
	path = filepath.Join(dir, "crane")
	if _, err := os.Stat(path); err == nil {
		return path, version, nil
	}
	fmt.Fprintf(progress, "building crane %s (less than a minute, once a machine)\n", version)
	half := path + ".building"
	if err := gobuild.Programs(ctx, source, half, craneModule+"/cmd/crane"); err != nil {
		return "", "", err
	}
	return path, version, os.Rename(half, path)
}
