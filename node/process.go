package node

import (
	"bytes"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
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
func (h Host) containerds() ([]process, error) {
	all, err := h.processes("containerd")
	return slices.DeleteFunc(all, func(p process) bool {
		config := p.path(p.option("config", "c"))
		return p.hasCommand() || strings.HasPrefix(config, "/var/run/docker/") || strings.HasPrefix(config, "/run/docker/")
	}), err
}

// kubeletEndpoint is the runtime socket on kubelet's command line.
func (h Host) kubeletEndpoint() string {
	all, err := h.processes("kubelet")
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
func (h Host) processes(name string) ([]process, error) {
	if h.Proc == "" {
		return nil, nil
	}
	entries, err := os.ReadDir(h.Proc)
	if err != nil {
		return nil, fmt.Errorf("find the process of %s: %w", name, err)
	}
	node, _ := os.Readlink(filepath.Join(h.Proc, "1", "ns", "mnt"))
	var all []process
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		dir := filepath.Join(h.Proc, e.Name())
		comm, err := os.ReadFile(filepath.Join(dir, "comm"))
		if err != nil || strings.TrimSpace(string(comm)) != name {
			continue
		}
		if space, err := os.Readlink(filepath.Join(dir, "ns", "mnt")); err == nil && node != "" && space != node {
			continue // in a container
		}
		raw, err := os.ReadFile(filepath.Join(dir, "cmdline"))
		if err != nil || len(raw) == 0 {
			continue
		}
		p := process{pid: pid, args: strings.Split(string(bytes.TrimRight(raw, "\x00")), "\x00")}
		p.binary, _ = os.Readlink(filepath.Join(dir, "exe"))
		p.binary = strings.TrimSuffix(p.binary, " (deleted)")
		p.dir, _ = os.Readlink(filepath.Join(dir, "cwd"))
		p.unit = unitOf(filepath.Join(dir, "cgroup"))
		all = append(all, p)
	}
	slices.SortFunc(all, func(a, b process) int { return a.pid - b.pid })
	return all, nil
}

// unitOf returns the systemd service of a process, from its cgroup file (proc(5)).
func unitOf(file string) string {
	raw, err := os.ReadFile(file)
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(raw)) {
		fields := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(fields) != 3 || fields[1] != "" && fields[1] != "name=systemd" {
			continue
		}
		for _, part := range slices.Backward(strings.Split(fields[2], "/")) {
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
	value := ""
	for i, arg := range p.args[1:] {
		flag, inline, has := strings.Cut(arg, "=")
		bare := strings.TrimLeft(flag, "-")
		if bare == flag || !slices.Contains(names, bare) {
			continue
		}
		switch {
		case has:
			value = inline
		case i+2 < len(p.args):
			value = p.args[i+2]
		}
	}
	return value
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
