package node

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/berth-registry/berth/internal/containerdconf"
)

// Reading is whether containerd reads the hosts.toml files of a directory.
type Reading string

// The readings.
const (
	Reads      Reading = "yes"
	DoesNot    Reading = "no"
	NotYet     Reading = "restart" // containerd was not restarted since its configuration changed
	CannotTell Reading = "unknown" // containerd or a part of its configuration cannot be seen
)

// ReadsFrom reports whether containerd reads hosts.toml files below dir, a path on the node. If
// not, why names the cause, and remedy says what to do.
func (c Containerd) ReadsFrom(m Machine, dir string) (r Reading, why, remedy string) {
	if c.Absent(m) {
		return CannotTell, "no containerd was found", ""
	}
	for _, imported := range c.Config.ImportDirs() {
		// If the node's processes cannot be seen, only some of its files may be mounted.
		if _, err := m.Root.Lstat(imported); err != nil && m.Proc == "" {
			return CannotTell, fmt.Sprintf("%s imports files from %s, which cannot be seen from here", c.ConfigPath, imported), ""
		}
	}
	v, unread := containerdconf.Unread(c.Config, c.Release)
	if unread {
		why, remedy = c.firstBlocking(v)
		return DoesNot, why, remedy
	}
	if same, remedy := c.SameDir(m, v, dir); !same {
		return DoesNot, fmt.Sprintf("it reads %s, and Berth writes to %s", v.ConfigPath, dir), remedy
	}
	if changed := ChangedSince(m, c); len(changed) > 0 {
		return NotYet, changed[0] + " was changed after containerd was started", c.Restart()
	}
	if !containerdconf.Assess(c.Config, c.Release).Honoured {
		return CannotTell, "depends on the version of containerd, which is unknown", ""
	}
	return Reads, "", ""
}

// NoCRI reports whether the CRI plugin is disabled, as in the containerd of Docker's packages: then
// no kubelet pulls with this containerd.
func (c Containerd) NoCRI() bool {
	return slices.ContainsFunc(c.Verdict.Issues, func(t containerdconf.Issue) bool { return t.ID == containerdconf.IssueCRIDisabled })
}

// firstBlocking returns the first blocking issue and its remedy, as install reports them.
func (c Containerd) firstBlocking(v containerdconf.Assessment) (why, remedy string) {
	for _, t := range v.Issues {
		if !t.Blocking {
			continue
		}
		_, cannot := Wire(c, Options{})
		return t.Where + ": " + t.Detail, Remedy(t, cannot)
	}
	return c.ConfigPath + ": hosts.toml files are not read", ""
}

// Remedy returns the remedy for an issue. cannot is the error of [Wire], why "berth install"
// refuses the node; then "berth install" is no remedy.
func Remedy(t containerdconf.Issue, cannot error) string {
	if t.Blocking && (errors.Is(cannot, ErrManaged) || errors.Is(cannot, containerdconf.ErrUnsupported)) {
		return cannot.Error()
	}
	return t.Remedy
}

// Configured names the configuration file, or says that there is none.
func (c Containerd) Configured() string {
	if c.Config.Missing {
		return "with its defaults, because there is no " + c.ConfigPath
	}
	return "configured by " + c.ConfigPath
}

// Restart is the command that restarts containerd.
func (c Containerd) Restart() string {
	if c.Unit != "" {
		return "systemctl restart " + c.Unit
	}
	return "restart containerd"
}

// SameDir reports whether containerd reads dir, where Berth writes; if not, remedy makes both
// agree.
func (c Containerd) SameDir(m Machine, v containerdconf.Assessment, dir string) (same bool, remedy string) {
	dir = path.Clean(dir)
	reads := slices.DeleteFunc(strings.Split(v.ConfigPath, ":"), func(s string) bool { return s == "" })
	if slices.Contains(reads, dir) || c.Layout.stable(v.CertsDir) == dir {
		return true, ""
	}
	if wanted, err := m.Root.Resolve(dir); err == nil {
		for _, name := range reads {
			if real, err := m.Root.Resolve(name); err == nil && real == wanted {
				return true, ""
			}
		}
	}
	return false, fmt.Sprintf("write containerd: {certsDir: %s} in the config", c.Layout.stable(v.CertsDir))
}
