package node

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strconv"

	"github.com/berth-registry/berth/internal/containerdconf"
	"github.com/berth-registry/berth/internal/managedfile"
)

// DefaultConfigPath is the configuration that containerd reads without --config.
const DefaultConfigPath = "/etc/containerd/config.toml"

// Host is the node to look at.
type Host struct {
	// Root is the directory with the node's files.
	Root *managedfile.Root
	// Proc is the node's /proc as this process opens it. If it is empty, the processes cannot be
	// seen, as with a root that is not this machine's.
	Proc string
	// Version returns what containerd prints for --version. If it is nil, no program is run, and
	// the version is unknown.
	Version func(ctx context.Context, binary string) (string, error)
}

// This is the machine that this process runs on.
func This(root *managedfile.Root) Host {
	return Host{Root: root, Proc: "/proc", Version: AskVersion}
}

// Source says how the path of containerd's configuration was found.
type Source string

// The sources, the best first.
const (
	FromProcess Source = "process" // the command line of the running containerd
	FromLayout  Source = "layout"  // the fixed path of a distribution
	FromUnit    Source = "unit"    // ExecStart of its systemd unit
	FromDefault Source = "default" // nothing else was found
)

// Containerd is the containerd that serves kubelet on a node.
type Containerd struct {
	Layout Layout
	// Source says how ConfigPath was found, and Detail in which process or file.
	Source Source
	Detail string
	// ConfigPath is the main file. It may be missing.
	ConfigPath string
	// PID is the process of the running containerd, 0 if none was seen.
	PID int
	// Unit is the systemd unit that runs containerd, such as "containerd.service" or "k3s.service";
	// "" if it is not known.
	Unit string
	// Binary is the program, as a process on the node names it; "" if unknown.
	Binary string
	// Socket is the address on its command line; "" if that has none.
	Socket string
	// Release is its version, zero if it is not known; NoRelease is the reason.
	Release   containerdconf.Release
	NoRelease error
	// Config is its configuration, Verdict how that version of containerd uses it.
	Config  containerdconf.Config
	Verdict containerdconf.Assessment
	// Others are the process numbers of further containerds on the node. The first containerd that
	// was found is taken for kubelet's.
	Others []int
}

// CertsDir is the directory that containerd reads hosts.toml files from, "" if it reads none.
func (c Containerd) CertsDir() string { return c.Layout.stable(c.Verdict.CertsDir) }

// Discover finds containerd and reads its configuration. It changes nothing. It returns an error
// only if /proc or a unit cannot be read at all; faults of the configuration are in the verdict.
func Discover(ctx context.Context, h Host) (Containerd, error) {
	var c Containerd
	processes, err := h.containerds()
	if err != nil {
		return c, err
	}
	switch {
	case len(processes) > 0:
		err = c.fromProcesses(h, processes)
	case c.fromLayout(h):
	default:
		err = c.fromUnit(h)
	}
	if err != nil {
		return c, err
	}
	c.Layout = layoutOf(h.Root, c.ConfigPath)
	c.ask(ctx, h)
	c.Config = containerdconf.Load(c.ConfigPath, c.Release, files{h.Root})
	c.Verdict = containerdconf.Assess(c.Config, c.Release)
	return c, nil
}

func (c *Containerd) fromProcesses(h Host, all []process) error {
	p := all[0]
	if endpoint := h.kubeletEndpoint(); endpoint != "" {
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

func (c *Containerd) fromUnit(h Host) error {
	c.Source, c.ConfigPath = FromDefault, DefaultConfigPath
	u, err := readUnit(h.Root, "containerd.service")
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

// usualBinary is where a program of containerd usually is, for a node without a process and a unit.
func usualBinary(h Host) string {
	const local = "/usr/local/bin/containerd"
	if _, err := h.Root.Lstat(local); err == nil {
		return local
	}
	return "/usr/bin/containerd"
}

// ask finds out the version.
func (c *Containerd) ask(ctx context.Context, h Host) {
	switch {
	case h.Version == nil:
		c.NoRelease = errors.New("it may not be run from here")
		return
	case c.Binary == "" && c.PID == 0:
		c.Binary = usualBinary(h)
	}
	binary := h.Root.Path(c.Binary)
	if c.PID != 0 {
		// The running program, even if its file was replaced since.
		binary = filepath.Join(h.Proc, strconv.Itoa(c.PID), "exe")
	}
	output, err := h.Version(ctx, binary)
	if err != nil && c.PID != 0 && c.Binary != "" {
		// A service without capabilities may not open the program of another process.
		if text, err2 := h.Version(ctx, h.Root.Path(c.Binary)); err2 == nil {
			output, err = text, nil
		}
	}
	if err != nil {
		c.NoRelease = fmt.Errorf("%s --version: %w", binary, err)
		return
	}
	release, ok := containerdconf.ParseRelease(output)
	if !ok {
		c.NoRelease = fmt.Errorf("%s --version: names no version", binary)
	}
	c.Release = release
}
