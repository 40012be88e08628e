package node

import (
	"cmp"
	"os"
	"path"
	"syscall"
	"time"

	"github.com/berth-registry/berth/internal/nodefs"
)

// ChangedSince returns the files of c's configuration that changed after the running containerd
// started, which reads them once. It is empty if containerd does not run. A change within two
// seconds of the start does not count, because both clocks are coarse.
func ChangedSince(m Machine, c Containerd) []string {
	var files []string
	for _, f := range c.Config.Files {
		files = append(files, f.Path)
	}
	return changedSince(m, c.PID, files)
}

// ChangedSince returns the files of k's credential providers that changed after kubelet
// started, which reads them once; see the function ChangedSince.
func (k Kubelet) ChangedSince(m Machine) []string {
	if k.ProviderConfig == "" {
		return nil
	}
	files := []string{k.ProviderConfig}
	return changedSince(m, k.PID, append(files, List(m.Root, path.Join(k.ProviderConfig, "*"))...))
}

// UnitNamesProvider reports whether kubelet's unit now starts it with a credential provider: a
// kubelet that runs without one then has to be restarted.
func (k Kubelet) UnitNamesProvider(m Machine) bool {
	u, err := readUnit(m.Root, cmp.Or(k.Unit, "kubelet.service"))
	if err != nil {
		return false
	}
	args := u.command("kubelet")
	return len(args) > 0 && process{args: args}.option("image-credential-provider-config") != ""
}

// Restart is the command that restarts a service, so that it reads its configuration again;
// words for a program without a unit.
func Restart(unit, program string) string {
	if unit == "" {
		return "restart " + program
	}
	return "systemctl restart " + unit
}

func changedSince(m Machine, pid int, files []string) []string {
	if pid == 0 {
		return nil
	}
	started, err := Started(m, pid)
	if err != nil {
		return nil // the process has ended, or this is no /proc of Linux
	}
	var changed []string
	for _, file := range files {
		if changedAt(m.Root, file).After(started.Add(2 * time.Second)) {
			changed = append(changed, file)
		}
	}
	return changed
}

// changedAt returns when a file, or the symlink that leads to it, last changed: its content, or
// its inode, as when an older file is moved there.
func changedAt(root *nodefs.Root, file string) time.Time {
	var last time.Time
	note := func(info os.FileInfo, err error) {
		if err != nil {
			return
		}
		at := info.ModTime()
		if s, ok := info.Sys().(*syscall.Stat_t); ok {
			if c := time.Unix(s.Ctim.Unix()); c.After(at) {
				at = c
			}
		}
		if at.After(last) {
			last = at
		}
	}
	note(root.Lstat(file))
	if real, err := root.Resolve(file); err == nil {
		note(os.Stat(real))
	}
	return last
}
