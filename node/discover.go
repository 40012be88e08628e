package node

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strconv"

	"github.com/berth-registry/berth/internal/containerdconf"
	"github.com/berth-registry/berth/internal/nodefs"
)

// DefaultConfigPath is the configuration that containerd reads by default.
const DefaultConfigPath = "/etc/containerd/config.toml"

// Machine is the node that is inspected: its files, processes and programs.
type Machine struct {
	// Root is the root of the node's files.
	Root *nodefs.Root
	// Proc is the node's /proc as this process can open it. Empty means that its processes
	// cannot be seen, for example with a root other than this machine's.
	Proc string
	// Version returns the output of --version of a containerd. Nil means that no program may be
	// run; the version is then unknown.
	Version func(ctx context.Context, binary string) (string, error)
}

// This is the machine that this process runs on.
func This(root *nodefs.Root) Machine {
	return Machine{Root: root, Proc: "/proc", Version: AskVersion}
}

// Source says how the path of containerd's configuration was found.
type Source string

// The sources, the most reliable first.
const (
	FromProcess Source = "process" // the command line of the running containerd
	FromLayout  Source = "layout"  // a distribution with a fixed path
	FromUnit    Source = "unit"    // ExecStart of its systemd unit
	FromDefault Source = "default" // [DefaultConfigPath]
)

// Containerd is the containerd that serves kubelet on a node.
type Containerd struct {
	Layout Layout
	// Source says how ConfigPath was found, and Detail in which process or file.
	Source Source
	Detail string
	// ConfigPath is the main file; it may be missing.
	ConfigPath string
	// PID is that of the running containerd, 0 if none was found.
	PID int
	// Unit is the systemd unit that runs it, such as "containerd.service" or "k3s.service"; ""
	// if it is not known.
	Unit string
	// Binary is the program, as a process on the node names it; "" if unknown.
	Binary string
	// Socket is its address from the command line; "" if that names none.
	Socket string
	// Release is its version, zero if it is not known; NoRelease says why.
	Release   containerdconf.Release
	NoRelease error
	// Config is its configuration, and Verdict what containerd does with it.
	Config  containerdconf.Config
	Verdict containerdconf.Assessment
	// Others are the process numbers of further containerds on the node. Discover chose the one
	// that listens on kubelet's runtime endpoint, else the first.
	Others []int
}

// CertsDir is the directory that hosts.toml files are read from, "" if they are not honoured.
func (c Containerd) CertsDir() string { return c.Layout.stable(c.Verdict.CertsDir) }

// Discover finds containerd and reads its configuration. It changes nothing. The error is that
// of a /proc or a unit that cannot be read at all; faults of the configuration are in the
// verdict.
func Discover(ctx context.Context, m Machine) (Containerd, error) {
	var c Containerd
	processes, err := m.containerds()
	if err != nil {
		return c, err
	}
	switch {
	case len(processes) > 0:
		err = c.fromProcesses(m, processes)
	case c.fromLayout(m):
	default:
		err = c.fromUnit(m)
	}
	if err != nil {
		return c, err
	}
	c.Layout = layoutOf(m.Root, c.ConfigPath)
	c.findRelease(ctx, m)
	c.Config = containerdconf.Load(c.ConfigPath, c.Release, files{m.Root})
	c.Verdict = containerdconf.Assess(c.Config, c.Release)
	return c, nil
}

func (c *Containerd) fromProcesses(m Machine, all []process) error {
	p := all[0]
	if endpoint := m.kubeletEndpoint(); endpoint != "" {
		for _, other := range all {
			if other.socket() == endpoint {
				p = other
				break
			}
		}
	}
	for _, other := range all {
		if other.pid != p.pid {
			c.Others = append(c.Others, other.pid)
		}
	}
	c.Source, c.Detail = FromProcess, "process "+strconv.Itoa(p.pid)
	c.PID, c.Unit, c.Binary, c.Socket = p.pid, p.unit, p.binary, p.option("address", "a")
	if c.Binary == "" && filepath.IsAbs(p.args[0]) {
		c.Binary = p.args[0]
	}
	c.ConfigPath = p.path(p.option("config", "c"))
	if c.ConfigPath == "" {
		c.ConfigPath = DefaultConfigPath
	}
	return nil
}

func (c *Containerd) fromUnit(m Machine) error {
	c.Source, c.ConfigPath = FromDefault, DefaultConfigPath
	u, err := readUnit(m.Root, "containerd.service")
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("containerd.service: %w", err)
	}
	c.Unit = "containerd.service"
	c.Detail = u.path
	args := u.command("containerd")
	if len(args) == 0 {
		return nil
	}
	p := process{args: args, dir: "/"}
	c.Binary, c.Socket = args[0], p.option("address", "a")
	if !filepath.IsAbs(c.Binary) {
		c.Binary = ""
	}
	if name := p.path(p.option("config", "c")); name != "" {
		c.Source, c.ConfigPath = FromUnit, name
	}
	return nil
}

// defaultBinary is the default path of a containerd's program.
func defaultBinary(m Machine) string {
	const local = "/usr/local/bin/containerd"
	if _, err := m.Root.Lstat(local); err == nil {
		return local
	}
	return "/usr/bin/containerd"
}

// findRelease finds the version.
func (c *Containerd) findRelease(ctx context.Context, m Machine) {
	switch {
	case m.Version == nil:
		c.NoRelease = errors.New("containerd --version cannot be run here")
		return
	case c.Binary == "" && c.PID == 0:
		c.Binary = defaultBinary(m)
	}
	binary := m.Root.Path(c.Binary)
	if c.PID != 0 {
		// The running program, even if its file was replaced since.
		binary = filepath.Join(m.Proc, strconv.Itoa(c.PID), "exe")
	}
	output, err := m.Version(ctx, binary)
	if err != nil && c.PID != 0 && c.Binary != "" {
		// A service without capabilities may not open the program of another process.
		if text, err2 := m.Version(ctx, m.Root.Path(c.Binary)); err2 == nil {
			output, err = text, nil
		}
	}
	if err != nil {
		c.NoRelease = fmt.Errorf("%s --version: %w", binary, err)
		return
	}
	release, ok := containerdconf.ParseRelease(output)
	if !ok {
		c.NoRelease = fmt.Errorf("%s --version: no version in its output", binary)
	}
	c.Release = release
}

// Absent reports whether the node has no trace of a containerd: no process, as far as processes
// can be seen, no service, no configuration and no program. The result of [Discover] is then
// about a containerd that does not exist.
func (c Containerd) Absent(m Machine) bool {
	if c.PID != 0 || c.Unit != "" || c.Source != FromDefault || !c.Config.Missing {
		return false
	}
	for _, binary := range []string{"/usr/bin/containerd", "/usr/local/bin/containerd"} {
		if _, err := m.Root.Lstat(binary); err == nil {
			return false
		}
	}
	return true
}
