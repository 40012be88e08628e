package hostsconf

import (
	"os"
	"path"
	"path/filepath"

	"github.com/berth-registry/berth/internal/managedfile"
)

// Unreadable stands for the hosts of a directory that containerd cannot use:
// no registry has this name.
const Unreadable = "(unreadable)"

// ForeignDirectories reads what the directories say that exist and are not written by us,
// as each family of containerd releases would: foreign ones, and those that are
// in conflict. The hosts are those of all readings together.
// dir is certs.d as this process sees it. Nothing but regular files is opened,
// and a link only where it stays below dir: another one leads the node's
// containerd somewhere else than this process, or to what is not watched. What
// is not read is [Unreadable], and Ignored says why.
func ForeignDirectories(dir string, changes []Change, current managedfile.Snapshot) []Resolution {
	theirs := &foreign{dir: dir, hostDir: current.Scope.Dir}
	defer theirs.close()
	var all []Resolution
	for _, name := range foreignDirs(dir, changes, current) {
		all = append(all, theirs.resolve(name, UpstreamOf(name)))
	}
	return all
}

// Crashing lists the directories of [Others] with a hosts.toml on which
// containerd 1.6 and 1.7 end at the pull.
func Crashing(dir string, changes []Change, current managedfile.Snapshot) []string {
	theirs := &foreign{dir: dir, hostDir: current.Scope.Dir}
	defer theirs.close()
	var found []string
	for _, name := range foreignDirs(dir, changes, current) {
		if theirs.open() != nil {
			return nil // certs.d is not there
		}
		if content, err := theirs.read(name, fileName); err == nil && crashes(content) {
			found = append(found, name)
		}
	}
	return found
}

// foreignDirs lists the directories that exist, are not written by us and are
// not hidden by another spelling.
func foreignDirs(dir string, changes []Change, current managedfile.Snapshot) []string {
	ours, going := map[string]bool{}, map[string]bool{} // names of directories
	for _, c := range changes {
		if c.After == nil && c.Action != managedfile.Conflict {
			going[path.Base(path.Dir(c.Path))] = true
		}
		if c.After != nil && c.Action != managedfile.Conflict && !isPool(c.Path) {
			ours[path.Base(path.Dir(c.Path))] = true
		}
	}
	exists := make(map[string]bool, len(current.Dirs))
	for _, d := range current.Dirs {
		exists[d.Name] = true
	}
	var names []string
	for _, d := range current.Dirs {
		registry := UpstreamOf(d.Name)
		first := DirName(registry)
		hidden := d.Name != first && (exists[first] || ours[first])
		if registry == "" || ours[d.Name] || hidden {
			continue
		}
		if going[d.Name] && removedDirs(filepath.Join(dir, d.Name)) {
			continue
		}
		names = append(names, d.Name)
	}
	return names
}

// removedDirs reports whether a directory from which our file goes will not be there:
// it is not there already, or our file is still to go. What is left after that
// without our file has somebody else's in it, and stays.
func removedDirs(dir string) bool {
	if _, err := os.Lstat(dir); err != nil {
		return true
	}
	_, err := os.Lstat(filepath.Join(dir, fileName))
	return err == nil
}
