package node

import (
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/prometheus/procfs"
)

// process is one process of the node.
type process struct {
	pid    int
	args   []string
	binary string
	dir    string // working directory
	unit   string
}

// containerds lists the containerds of the node by process number, without those in containers
// and without the one that dockerd starts for itself.
func (m Machine) containerds() ([]process, error) {
	all, err := m.processes("containerd")
	return slices.DeleteFunc(all, func(p process) bool {
		config := p.path(p.option("config", "c"))
		return p.hasCommand() || strings.HasPrefix(config, "/var/run/docker/") || strings.HasPrefix(config, "/run/docker/")
	}), err
}

// kubeletEndpoint is the runtime socket on kubelet's command line.
func (m Machine) kubeletEndpoint() string {
	all, err := m.processes("kubelet")
	if err != nil {
		return ""
	}
	for _, p := range all {
		if endpoint := p.option("container-runtime-endpoint"); endpoint != "" {
			return strings.TrimPrefix(endpoint, "unix://")
		}
	}
	return ""
}

// processes lists the processes of this name outside containers. One that ends in the meantime
// is left out.
func (m Machine) processes(name string) ([]process, error) {
	if m.Proc == "" {
		return nil, nil
	}
	proc, err := procfs.NewFS(m.Proc)
	var procs procfs.Procs
	if err == nil {
		procs, err = proc.AllProcs()
	}
	if err != nil {
		return nil, fmt.Errorf("find the process of %s: %w", name, err)
	}
	mounts := func(pid int) string {
		space, _ := os.Readlink(filepath.Join(m.Proc, strconv.Itoa(pid), "ns", "mnt"))
		return space
	}
	node := mounts(1)
	var all []process
	for _, found := range procs {
		if comm, err := found.Comm(); err != nil || comm != name {
			continue
		}
		if space := mounts(found.PID); space != "" && node != "" && space != node {
			continue // in a container
		}
		args, err := found.CmdLine()
		if err != nil || len(args) == 0 {
			continue
		}
		p := process{pid: found.PID, args: args, unit: unitOf(found)}
		p.binary, _ = found.Executable()
		p.binary = strings.TrimSuffix(p.binary, " (deleted)")
		p.dir, _ = found.Cwd()
		all = append(all, p)
	}
	slices.SortFunc(all, func(a, b process) int { return a.pid - b.pid })
	return all, nil
}

// unitOf returns the systemd service of a process, from its cgroups.
func unitOf(p procfs.Proc) string {
	groups, _ := p.Cgroups()
	for _, g := range groups {
		if len(g.Controllers) > 0 && g.Controllers[0] != "name=systemd" {
			continue
		}
		for _, part := range slices.Backward(strings.Split(g.Path, "/")) {
			if strings.HasSuffix(part, ".service") {
				return part
			}
		}
	}
	return ""
}

// option returns the value of a flag, the last one if it is repeated, as containerd's and
// kubelet's parsers do.
func (p process) option(names ...string) string {
	all := p.options(names...)
	if len(all) == 0 {
		return ""
	}
	return all[len(all)-1]
}

// options returns all values of a flag that may be repeated.
func (p process) options(names ...string) []string {
	var values []string
	for i, arg := range p.args[1:] {
		flag, inline, has := strings.Cut(arg, "=")
		bare := strings.TrimLeft(flag, "-")
		if bare == flag || !slices.Contains(names, bare) {
			continue
		}
		switch {
		case has:
			values = append(values, inline)
		case i+2 < len(p.args):
			values = append(values, p.args[i+2])
		}
	}
	return values
}

// hasCommand reports whether the program was started for a subcommand ("config dump") and is no
// daemon: every flag of containerd but two takes a value.
func (p process) hasCommand() bool {
	for i := 1; i < len(p.args); i++ {
		bare := strings.TrimLeft(p.args[i], "-")
		switch {
		case bare == p.args[i]:
			return true
		case strings.Contains(bare, "="):
		case bare == "version", bare == "v", bare == "help", bare == "h":
			return true
		default:
			i++
		}
	}
	return false
}

// path makes a path from the command line absolute.
func (p process) path(name string) string {
	if name == "" || path.IsAbs(name) {
		return name
	}
	return path.Join("/", p.dir, name)
}

// socket is the address that the containerd listens on.
func (p process) socket() string {
	if address := p.option("address", "a"); address != "" {
		return address
	}
	return "/run/containerd/containerd.sock"
}
