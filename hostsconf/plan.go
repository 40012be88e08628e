package hostsconf

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/berth-registry/berth/internal/managedfile"
	"github.com/berth-registry/berth/internal/nodefs"
)

// ScopeName and DockerScopeName mark the files below certs.d in Berth's record: below that of
// containerd, and below that of Docker.
const (
	ScopeName       = "certs.d"
	DockerScopeName = "docker"
)

// Scope describes the files that this package writes: all of Berth's files below certsDir, an
// absolute path on the node. name is one of the constants. With adopt, foreign files are taken over.
func Scope(name, certsDir string, adopt bool) managedfile.Scope {
	return managedfile.Scope{
		Name: name, Dir: certsDir, Adopt: adopt,
		GracePeriod: func(file string) time.Duration {
			if path.Base(path.Dir(file)) == poolDir {
				return caGracePeriod
			}
			return 0
		},
	}
}

// DesiredFiles is the desired content of certs.d.
type DesiredFiles struct {
	certsDir string
	dirs     map[string]Directory // by the path of hosts.toml
	files    []managedfile.File   // certificates first, then hosts.toml by path
}

// Build renders directories. It returns an error for input that hosts.toml cannot express: a
// duplicate host, an invalid header, a capability that older containerd releases refuse.
func Build(certsDir string, directories []Directory) (DesiredFiles, error) {
	d := DesiredFiles{certsDir: certsDir, dirs: make(map[string]Directory, len(directories))}
	var pool, hosts []managedfile.File
	pooled := map[string]bool{}
	var errs []error
	for _, dir := range directories {
		files, err := render(certsDir, dir)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		for _, f := range files[:len(files)-1] {
			if !pooled[f.Path] {
				pooled[f.Path] = true
				pool = append(pool, f)
			}
		}
		file := files[len(files)-1]
		if _, twice := d.dirs[file.Path]; twice {
			errs = append(errs, fmt.Errorf("%s: has two directories", dir.Upstream))
			continue
		}
		d.dirs[file.Path] = dir
		hosts = append(hosts, file)
	}
	slices.SortFunc(hosts, func(a, b managedfile.File) int { return strings.Compare(a.Path, b.Path) })
	d.files = append(pool, hosts...)
	return d, errors.Join(errs...)
}

// Installed returns the directories whose hosts.toml is in place after changes.
func (d DesiredFiles) Installed(changes []Change) []Directory {
	var all []Directory
	for _, c := range changes {
		if dir, ok := d.dirs[c.Path]; ok && c.Action != managedfile.Conflict {
			all = append(all, dir)
		}
	}
	return all
}

// Change is one step of a [Plan].
type Change = managedfile.Change

// Plan returns the changes that bring certs.d to the desired state, in order. It is a pure
// function; current is the result of [Tree.Read].
func Plan(desired DesiredFiles, current managedfile.Snapshot) []Change {
	wanted, blocked, hiding := desired.withoutShadowing(current)
	for {
		changes := managedfile.Plan(wanted, current)
		needed := certificates(changes)
		var kept []managedfile.File
		for _, f := range wanted {
			if !isPool(f.Path) || needed[f.Path] {
				kept = append(kept, f)
			}
		}
		if len(kept) == len(wanted) {
			for i := range changes {
				c := &changes[i]
				if note := hiding[c.Path]; note != "" {
					c.Reason = strings.TrimPrefix(c.Reason+"; "+note, "; ")
				}
				if adoptable(*c) {
					c.Reason += "; remove it, or set containerd.onConflict: adopt"
				}
			}
			changes = append(changes, blocked...)
			return append(changes, unreadableConflicts(current, changes)...)
		}
		// A certificate that only a conflicting file needs is not wanted.
		wanted = kept
	}
}

// adoptable reports whether c is a conflict that onConflict: adopt resolves: a readable foreign
// file, or a foreign symlink, at the path of Berth's file.
func adoptable(c Change) bool {
	return c.Action == managedfile.Conflict && c.After != nil && c.Before.Owner == managedfile.Foreign && c.Before.Problem == ""
}

func isPool(file string) bool { return path.Base(path.Dir(file)) == poolDir }

// certificates returns the files that the changes without conflict need.
func certificates(changes []Change) map[string]bool {
	needed := map[string]bool{}
	for _, c := range changes {
		if c.After == nil || c.Action == managedfile.Conflict {
			continue
		}
		for _, file := range c.After.Needs {
			needed[file] = true
		}
	}
	return needed
}

// withoutShadowing removes the files that would hide a foreign one. containerd looks for
// host_5000_ before host:5000, so Berth's file would win without changing the foreign file. If
// Berth's file already exists, it stays and the foreign one is reported. With adopt, Berth's file
// hides the foreign one, and hiding holds a note for each such file.
func (d DesiredFiles) withoutShadowing(current managedfile.Snapshot) (wanted []managedfile.File, blocked []Change, hiding map[string]string) {
	hiding = map[string]string{}
	dirs := make(map[string]managedfile.ObservedDir, len(current.Dirs))
	for _, dir := range current.Dirs {
		dirs[dir.Name] = dir
	}
	ours := map[string]bool{}
	for _, f := range current.Files {
		if f.Owner == managedfile.Ours || f.Owner == managedfile.Edited {
			ours[f.Path] = true
		}
	}
	for i := range d.files {
		f := d.files[i]
		dir, isHosts := d.dirs[f.Path]
		theirs, exists := dirs[dir.Upstream]
		// A foreign directory without hosts.toml has an effect only through its certificates,
		// and Berth's file names those.
		harmless := !theirs.Symlink && !slices.Contains(theirs.Entries, fileName)
		if !isHosts || !exists || dir.Upstream == DirName(dir.Upstream) || harmless {
			wanted = append(wanted, f)
			continue
		}
		file := path.Join(d.certsDir, theirs.Name, fileName)
		reason := fmt.Sprintf("containerd would read %s instead; remove this file, or set containerd.onConflict: adopt", f.Path)
		switch {
		case current.Scope.Adopt:
			hiding[f.Path] = fmt.Sprintf("containerd reads this file instead of the foreign %s, which stays unchanged and has no effect until berth restore", file)
			wanted = append(wanted, f)
			continue
		case ours[f.Path]:
			wanted = append(wanted, f)
			reason = fmt.Sprintf("has no effect: containerd reads %s first; remove it", f.Path)
		}
		blocked = append(blocked, Change{
			Action: managedfile.Conflict, Path: file, Reason: reason,
			Before: managedfile.Observed{Path: file, Kind: nodefs.Regular, Owner: managedfile.Foreign},
		})
	}
	return wanted, blocked, hiding
}

// unreadableConflicts reports entries that cannot be read (fifo, device, directory) at a path
// where containerd expects a hosts.toml and Berth wants none. Paths in changes are skipped: they
// are already reported.
func unreadableConflicts(current managedfile.Snapshot, changes []Change) []Change {
	dirs, reported := map[string]bool{}, map[string]bool{}
	for _, dir := range current.Dirs {
		dirs[dir.Name] = true
	}
	for _, c := range changes {
		reported[c.Path] = true
		dirs[path.Base(path.Dir(c.Path))] = dirs[path.Base(path.Dir(c.Path))] || Writes(c)
	}
	var found []Change
	for _, o := range current.Files {
		name := path.Base(path.Dir(o.Path))
		upstream := UpstreamOf(name)
		unusable := o.Owner == managedfile.Foreign && (o.Kind == nodefs.Other || o.Kind == nodefs.Directory)
		if !unusable || path.Base(o.Path) != fileName || upstream == "" || reported[o.Path] {
			continue
		}
		if first := DirName(upstream); name != first && dirs[first] {
			continue // containerd does not use this directory
		}
		what := "pulls from " + upstream
		if upstream == Default {
			what = "pulls from every registry without a directory"
		}
		found = append(found, Change{
			Action: managedfile.Conflict, Path: o.Path, Before: o,
			Reason: o.Problem + ": " + what + " hang or fail, and kubelet gets no credential for them; remove it",
		})
	}
	return found
}

// Writes reports whether a change writes a file.
func Writes(c Change) bool {
	switch c.Action {
	case managedfile.Create, managedfile.Update, managedfile.Repair, managedfile.Adopt:
		return true
	}
	return false
}

// IsDifference reports whether a change means that the node differs from the desired state.
func IsDifference(c Change) bool {
	return c.Action != managedfile.Unchanged && c.Action != managedfile.GracePeriod
}
