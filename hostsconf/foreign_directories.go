package hostsconf

import (
	"os"
	"path"
	"path/filepath"

	"github.com/berth-registry/berth/internal/managedfile"
)

// Unreadable is the host of a directory that containerd cannot use. No registry has this name.
const Unreadable = "(unreadable)"

// ForeignDirectories reads the directories that exist and are not written by Berth, including
// those in conflict, as each family of containerd releases would. The hosts of a directory are
// those of all families together.
//
// dir is the path of certs.d in this process. Only regular files are opened. A symlink is followed
// only below dir: elsewhere the node's containerd may resolve it to another file, or the target is
// not watched. A directory that cannot be read has the host [Unreadable], and Ignored says why.
func ForeignDirectories(dir string, changes []Change, current managedfile.Snapshot) []Resolution {
	theirs := &foreign{dir: dir, hostDir: current.Scope.Dir}
	defer theirs.close()
	var all []Resolution
	for _, name := range foreignDirs(dir, changes, current) {
		all = append(all, theirs.resolve(name, UpstreamOf(name)))
	}
	return all
}

// Crashing lists the directories of [ForeignDirectories] with a hosts.toml on which containerd 1.6
// and 1.7 crash at the pull.
func Crashing(dir string, changes []Change, current managedfile.Snapshot) []string {
	theirs := &foreign{dir: dir, hostDir: current.Scope.Dir}
	defer theirs.close()
	var found []string
	for _, name := range foreignDirs(dir, changes, current) {
		if theirs.open() != nil {
			return nil // certs.d is missing
		}
		if content, err := theirs.read(name, fileName); err == nil && crashes(content) {
			found = append(found, name)
		}
	}
	return found
}

// foreignDirs lists the directories that exist, are not written by Berth, and are not hidden by
// the other spelling of the same registry.
func foreignDirs(dir string, changes []Change, current managedfile.Snapshot) []string {
	ours, removed := map[string]bool{}, map[string]bool{} // by directory name
	for _, c := range changes {
		if c.After == nil && c.Action != managedfile.Conflict {
			removed[path.Base(path.Dir(c.Path))] = true
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
		if removed[d.Name] && removedDirs(filepath.Join(dir, d.Name)) {
			continue
		}
		names = append(names, d.Name)
	}
	return names
}

// removedDirs reports whether a directory from which Berth removes its file disappears: it is
// already missing, or it still holds Berth's file. A directory that remains without Berth's file
// holds foreign files and stays.
func removedDirs(dir string) bool {
	if _, err := os.Lstat(dir); err != nil {
		return true
	}
	_, err := os.Lstat(filepath.Join(dir, fileName))
	return err == nil
}
