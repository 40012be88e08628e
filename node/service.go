package node

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/berth-registry/berth/internal/nodefs"
)

// Service is a systemd service, as its files describe it.
type Service struct {
	Name string
	// Path is the unit file, and DropIns are its drop-ins, in the order in which systemd reads
	// them.
	Path    string
	DropIns []string
	// Commands are the values of ExecStart, as written, each joined to one line.
	Commands []string

	unit unit
}

// ReadService reads the files of a service with its drop-ins, except those at the paths in
// without. The error of a missing service matches fs.ErrNotExist.
func ReadService(root *nodefs.Root, name string, without ...string) (Service, error) {
	u, err := readUnit(root, name, without...)
	if err != nil {
		return Service{}, fmt.Errorf("%s: %w", name, err)
	}
	return Service{Name: name, Path: u.path, DropIns: u.dropIns, Commands: u.commands, unit: u}, nil
}

// Kubelet returns the kubelet that the service would start. ok is false if the service does not
// have exactly one command that starts kubelet itself: a shell that starts it may drop flags
// that are appended to its command line.
func (s Service) Kubelet() (k Kubelet, ok bool) {
	if len(s.Commands) != 1 {
		return Kubelet{}, false
	}
	line := splitWords(strings.TrimLeft(s.Commands[0], "@-:+!|"))
	at := slices.IndexFunc(line, func(word string) bool {
		return path.Base(word) == "kubelet" && path.IsAbs(word) && !strings.Contains(word, " ")
	})
	if at < 0 || at > 0 && path.Base(line[0]) != "env" {
		return Kubelet{}, false
	}
	p := process{args: s.unit.command("kubelet"), dir: "/"}
	if len(p.args) == 0 {
		return Kubelet{}, false
	}
	k = p.kubelet()
	k.Unit = s.Name
	return k, true
}
