// Package fakenode is a node for trials of an installation: files in a directory, a /proc with a
// containerd and a kubelet, and a systemd that, like the real one, uses the files as it last read
// them. Its state is on disk, so that it survives a process that is killed while it installs.
//
// A daemon "starts" if the real one would: containerd with a configuration that its release reads
// and that keeps its CRI; kubelet with flags whose configuration exists and whose programs can be
// executed.
package fakenode

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/berth-registry/berth/internal/nodefs"
	"github.com/berth-registry/berth/node"
	"github.com/berth-registry/berth/node/install"
)

// The services of the node, and the ids of their processes.
const (
	Containerd = "containerd.service"
	Kubelet    = "kubelet.service"
)

// Node is a node in a directory.
type Node struct {
	dir     string
	root    *nodefs.Root
	release string
	// Restarted counts the restarts requested through this value, by unit.
	Restarted map[string]int
	// Fail, if it is set, may make a restart fail that would work.
	Fail func(unit string, nth int) error
}

// state is the state of the node's systemd and its daemons.
type state struct {
	Starts map[string]int // by unit
	Active map[string]string
	// Command is the command that systemd would start kubelet with, as last read.
	Config, Dir string
	// ConfigPath is the config_path that containerd runs with.
	ConfigPath string
}

// Make creates a node from the files of a txtar archive and starts its daemons. The comment of the
// archive is the version of containerd; a line "absent SERVICE" in it leaves a daemon stopped. A
// file whose first line begins with "#!" becomes executable.
func Make(dir string, archive []byte) (*Node, error) {
	a := txtar.Parse(archive)
	for _, f := range a.Files {
		mode := fs.FileMode(0o644)
		if strings.HasPrefix(string(f.Data), "#!") {
			mode = 0o755
		}
		name := filepath.Join(dir, "root", f.Name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o755), os.WriteFile(name, f.Data, mode)); err != nil {
			return nil, err
		}
	}
	for _, every := range []string{"etc/systemd/system", "run", "usr/local", "var/lib"} {
		if err := os.MkdirAll(filepath.Join(dir, "root", every), 0o755); err != nil {
			return nil, err
		}
	}
	if err := errors.Join(os.MkdirAll(filepath.Join(dir, "proc"), 0o755), os.WriteFile(filepath.Join(dir, "release"), a.Comment, 0o600)); err != nil {
		return nil, err
	}
	n, err := Open(dir)
	if err != nil {
		return nil, err
	}
	s := state{Starts: map[string]int{}, Active: map[string]string{}}
	if err := n.save(s); err != nil {
		return nil, err
	}
	if err := n.Reload(context.Background()); err != nil {
		return nil, err
	}
	for _, unit := range []string{Containerd, Kubelet} {
		if strings.Contains(string(a.Comment), "absent "+unit) {
			continue
		}
		if err := n.start(unit); err != nil {
			return nil, fmt.Errorf("a node whose daemons do not start: %w", err)
		}
	}
	return n, nil
}

// Open returns a node that was created before.
func Open(dir string) (*Node, error) {
	raw, err := os.ReadFile(filepath.Join(dir, "release"))
	if err != nil {
		return nil, err
	}
	root, err := nodefs.OpenRoot(filepath.Join(dir, "root"))
	if err != nil {
		return nil, err
	}
	release, _, _ := strings.Cut(string(raw), "\n")
	return &Node{dir: dir, root: root, release: strings.TrimSpace(release), Restarted: map[string]int{}}, nil
}

// Close closes the root.
func (n *Node) Close() error { return n.root.Close() }

// Root returns the directory of the node's files.
func (n *Node) Root() string { return filepath.Join(n.dir, "root") }

// Path returns the path of a node's file for the test.
func (n *Node) Path(name string) string { return filepath.Join(n.Root(), name) }

// Release returns the version of the node's containerd.
func (n *Node) Release() string { return n.release }

// Machine returns the node as the installer needs it.
func (n *Node) Machine() node.Machine {
	return node.Machine{
		Root: n.root, Proc: filepath.Join(n.dir, "proc"),
		Version: func(context.Context, string) (string, error) { return "containerd v" + n.release, nil },
	}
}

func (n *Node) load() (state, error) {
	var s state
	raw, err := os.ReadFile(filepath.Join(n.dir, "systemd.json"))
	if err == nil {
		err = json.Unmarshal(raw, &s)
	}
	return s, err
}

func (n *Node) save(s state) error {
	raw, err := json.Marshal(s)
	if err != nil {
		return err
	}
	file := filepath.Join(n.dir, "systemd.json")
	return errors.Join(os.WriteFile(file+".new", raw, 0o600), os.Rename(file+".new", file))
}

// Reload makes systemd read its files.
func (n *Node) Reload(context.Context) error {
	s, err := n.load()
	if err != nil {
		return err
	}
	k, err := n.flags()
	if err != nil {
		return err
	}
	s.Config, s.Dir = k.ProviderConfig, k.ProviderDir
	return n.save(s)
}

// Restart restarts a daemon.
func (n *Node) Restart(_ context.Context, unit string) error {
	n.Restarted[unit]++
	if n.Fail != nil {
		if err := n.Fail(unit, n.Restarted[unit]); err != nil {
			return errors.Join(err, n.stop(unit))
		}
	}
	return n.start(unit)
}

// Crash makes a daemon end; systemd starts it again and reports nothing.
func (n *Node) Crash(unit string) error { return n.start(unit) }

func (n *Node) stop(unit string) error {
	s, err := n.load()
	if err != nil {
		return err
	}
	s.Active[unit] = "failed"
	return errors.Join(n.save(s), os.RemoveAll(n.proc(unit)))
}

func (n *Node) start(unit string) error {
	s, err := n.load()
	if err != nil {
		return err
	}
	s.Starts[unit]++
	args := []string{"/usr/bin/" + strings.TrimSuffix(unit, ".service")}
	if unit == Containerd {
		v, err := n.CheckContainerd()
		if err != nil {
			return errors.Join(err, n.stop(unit))
		}
		s.ConfigPath = v.ConfigPath
		if k0s := "/etc/k0s/containerd.toml"; n.has(k0s) {
			args = append(args, "--config="+k0s)
		}
	} else {
		if err := n.CheckFlags(Flags{s.Config, s.Dir}); err != nil {
			return errors.Join(err, n.stop(unit))
		}
		if s.Config != "" {
			args = append(args, "--image-credential-provider-config="+s.Config, "--image-credential-provider-bin-dir", s.Dir)
		}
	}
	s.Active[unit] = "active"
	// The order matters: a process that is killed in between finds the old invocation, as if
	// systemd had not acted yet.
	if err := n.process(unit, args, s.Starts[unit]); err != nil {
		return err
	}
	return n.save(s)
}

func (n *Node) has(name string) bool {
	_, err := os.Stat(n.Path(name))
	return err == nil
}

func (n *Node) proc(unit string) string {
	return filepath.Join(n.dir, "proc", map[string]string{Containerd: "812", Kubelet: "900"}[unit])
}

// process writes the files of a process below /proc.
func (n *Node) process(unit string, args []string, starts int) error {
	dir := n.proc(unit)
	errs := []error{os.MkdirAll(dir, 0o755), os.MkdirAll(filepath.Join(n.dir, "proc", "sys/kernel/random"), 0o755)}
	for name, content := range map[string]string{
		filepath.Join(n.dir, "proc/sys/kernel/random/boot_id"): "0f\n",
		filepath.Join(n.dir, "proc/stat"):                      "btime 1700000000\n",
		filepath.Join(dir, "comm"):                             path.Base(args[0]) + "\n",
		filepath.Join(dir, "cmdline"):                          strings.Join(args, "\x00") + "\x00",
		filepath.Join(dir, "cgroup"):                           "0::/system.slice/" + unit + "\n",
		filepath.Join(dir, "stat"):                             fmt.Sprintf("1 (x) S 1 7 7 0 -1 0 0 0 0 0 0 0 0 0 20 0 9 0 %d%s", 1000+starts, strings.Repeat(" 0", 23)),
	} {
		errs = append(errs, os.WriteFile(name+".new", []byte(content), 0o644), os.Rename(name+".new", name))
	}
	return errors.Join(errs...)
}

// State returns the state of a daemon.
func (n *Node) State(_ context.Context, unit string) (install.State, error) {
	s, err := n.load()
	active := s.Active[unit]
	if active == "" {
		active = "inactive"
	}
	return install.State{Active: active, Invocation: fmt.Sprintf("%s %d", unit, s.Starts[unit])}, err
}

// Tree describes every file of the node except the installer's lock: name, mode, and a hash or the
// target.
func (n *Node) Tree() (map[string]string, error) {
	tree := map[string]string{}
	err := filepath.WalkDir(n.Root(), func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		rel := strings.TrimPrefix(name, n.Root())
		tree[rel] = info.Mode().String()
		switch {
		case info.Mode().IsRegular():
			raw, err := os.ReadFile(name)
			tree[rel] += " " + string(raw)
			return err
		case info.Mode()&fs.ModeSymlink != 0:
			target, err := os.Readlink(name)
			tree[rel] += " " + target
			return err
		}
		return nil
	})
	return tree, err
}

// Diff returns the files in which two trees differ.
func Diff(before, after map[string]string) []string {
	var all []string
	for name, was := range before {
		switch now, ok := after[name]; {
		case !ok:
			all = append(all, "gone: "+name)
		case now != was:
			all = append(all, "differs: "+name)
		}
	}
	for name := range after {
		if _, ok := before[name]; !ok {
			all = append(all, "new: "+name)
		}
	}
	slices.Sort(all)
	return all
}
