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

// peer is another program that copies images.
type peer struct {
	path string
	name string // with its version
}

// peers are all of them. skopeo and crane copy one image at a time, so xargs runs several.
type peers struct {
	skopeo, crane, regsync peer
	hauler                 peer   // without a path if there is none
	xargs                  string // runs several processes
}

// locate finds skopeo, and builds crane and regsync once a machine.
func locate(ctx context.Context, s settings, progress io.Writer) (peers, error) {
	var p peers
	var err error
	if p.skopeo.path, err = exec.LookPath("skopeo"); err != nil {
		return p, errors.New("skopeo is missing: run apt-get install -y --no-install-recommends skopeo")
	}
	version, err := exec.CommandContext(ctx, p.skopeo.path, "--version").Output()
	if err != nil {
		return p, err
	}
	number := fmt.Sprintf(", %d processes at a time", s.parallel)
	p.skopeo.name = "skopeo " + strings.TrimSpace(strings.TrimPrefix(string(version), "skopeo version")) + number
	if p.xargs, err = exec.LookPath("xargs"); err != nil {
		return p, err
	}
	if p.crane, err = build(ctx, "crane", "github.com/google/go-containerregistry", progress); err != nil {
		return p, err
	}
	p.crane.name += number
	if p.regsync, err = build(ctx, "regsync", "github.com/regclient/regclient", progress); err != nil {
		return p, err
	}
	if s.hauler == "" {
		return p, nil
	}
	if p.hauler.path, err = filepath.Abs(s.hauler); err != nil {
		return p, err
	}
	p.hauler.name = "hauler"
	return p, nil
}

// build builds cmd/NAME of a module that test/images/NAME pins, once a machine.
func build(ctx context.Context, name, module string, progress io.Writer) (peer, error) {
	root, err := exec.CommandContext(ctx, "go", "env", "GOMOD").Output()
	if err != nil {
		return peer{}, err
	}
	source := filepath.Join(filepath.Dir(strings.TrimSpace(string(root))), "test", "images", name)
	list := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Version}}", module)
	list.Dir = source
	out, err := list.Output()
	if err != nil {
		return peer{}, fmt.Errorf("run this inside the checkout: %w", err)
	}
	version := strings.TrimPrefix(strings.TrimSpace(string(out)), "v")
	cache, err := os.UserCacheDir()
	if err != nil {
		return peer{}, err
	}
	dir := filepath.Join(cache, "berth-test", name+"-"+version)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return peer{}, err
	}
	lock, err := os.OpenFile(dir+".lock", os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return peer{}, err
	}
	defer lock.Close() // closing it releases the lock
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return peer{}, err
	}
	p := peer{path: filepath.Join(dir, name), name: name + " " + version}
	if _, err := os.Stat(p.path); err == nil {
		return p, nil
	}
	fmt.Fprintf(progress, "building %s (less than a minute, once a machine)\n", p.name)
	half := p.path + ".building"
	if err := gobuild.Programs(ctx, source, half, module+"/cmd/"+name); err != nil {
		return peer{}, err
	}
	return p, os.Rename(half, p.path)
}

// perTag runs one process for each tag of the set, several at a time. Each gets the two words that
// line returns after its own arguments.
func (p peers) perTag(fixture *trial.Fixture, s settings, file string, line func(i int, tag string) string, command ...string) []string {
	var text strings.Builder
	for i, t := range fixture.Set.Tags {
		text.WriteString(line(i, t.Repository+":"+t.Tag) + "\n")
	}
	file = filepath.Join(fixture.Dir, file)
	if err := os.WriteFile(file, []byte(text.String()), 0o600); err != nil {
		panic(err) // a directory of this program
	}
	return append([]string{p.xargs, "-a", file, "-n", "2", "-P", fmt.Sprint(s.parallel)}, command...)
}

// skopeoCopy is skopeo copy, without its two images.
func (p peers) skopeoCopy() []string {
	return []string{p.skopeo.path, "copy", "--quiet", "--all", "--insecure-policy", "--src-tls-verify=false", "--dest-tls-verify=false"}
}

// regsyncOnce is regsync for each repository of the set, from and to the roots: an address, or
// ocidir:// and a directory.
func (p peers) regsyncOnce(fixture *trial.Fixture, s settings, from, to string) []string {
	var text strings.Builder
	fmt.Fprintf(&text, "version: 1\ndefaults: {parallel: %d}\ncreds:\n", s.parallel)
	for _, root := range []string{from, to} {
		if !strings.Contains(root, "://") {
			fmt.Fprintf(&text, "- {registry: %q, tls: disabled, reqConcurrent: %d}\n", root, s.parallel)
		}
	}
	text.WriteString("sync:\n")
	for repository := range fixture.Set.Manifests {
		fmt.Fprintf(&text, "- {source: %q, target: %q, type: repository}\n", from+"/"+repository, to+"/"+repository)
	}
	file := filepath.Join(fixture.Dir, "regsync.yaml")
	if err := os.WriteFile(file, []byte(text.String()), 0o600); err != nil {
		panic(err) // a directory of this program
	}
	return []string{p.regsync.path, "once", "-c", file}
}

// haulerDo runs verbs of hauler store, one after the other, with the store in a directory. The
// process is that of the last verb.
func (p peers) haulerDo(store string, verbs ...string) []string {
	var commands []string
	for _, v := range verbs {
		commands = append(commands, fmt.Sprintf("%q store --store %q --tempdir %q %s", p.hauler.path, store, filepath.Dir(store), v))
	}
	last := len(commands) - 1
	commands[last] = "exec " + commands[last]
	return []string{"/bin/sh", "-c", strings.Join(commands, " && ")}
}
