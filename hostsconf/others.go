package hostsconf

import (
	"errors"
	"os"
	"path"
	"path/filepath"

	"github.com/berth-registry/berth/internal/ownedfile"
)

// unreadable stands for the hosts of a directory that containerd cannot use:
// no registry has this name.
const unreadable = "(unreadable)"

// Others reads what the directories say that exist and are not written by us,
// as containerd would: those of other people, and those that are in conflict.
// dir is certs.d as this process sees it.
func Others(dir string, changes []Change, current ownedfile.Snapshot) []Resolution {
	ours := map[string]bool{} // names of directories
	for _, c := range changes {
		if c.After != nil && c.Action != ownedfile.Conflict && !isPool(c.Path) {
			ours[path.Base(path.Dir(c.Path))] = true
		}
	}
	exists := make(map[string]bool, len(current.Dirs))
	for _, d := range current.Dirs {
		exists[d.Name] = true
	}
	var all []Resolution
	for _, d := range current.Dirs {
		registry := UpstreamOf(d.Name)
		first := DirName(registry)
		hidden := d.Name != first && (exists[first] || ours[first])
		if registry == "" || ours[d.Name] || hidden {
			continue
		}
		if r, ok := resolve(filepath.Join(dir, d.Name), registry, d.Symlink); ok {
			all = append(all, r)
		}
	}
	return all
}

// resolve reads one directory; ok is false when it is gone.
func resolve(dir, registry string, symlink bool) (r Resolution, ok bool) {
	r = Resolution{Registry: registry, Dir: filepath.Base(dir)}
	if _, err := os.Lstat(dir); err != nil && !symlink {
		return r, false
	}
	hosts, err := readHosts(dir, sampleName(registry))
	skipped := (*skippedError)(nil)
	if symlink || (err != nil && !errors.As(err, &skipped)) {
		r.Ignored = err
		r.Hosts = []ResolvedHost{{Host: unreadable}}
		return r, true
	}
	r.Hosts = resolved(hosts)
	if last := len(r.Hosts) - 1; registry == Default && r.Hosts[last].Host == sampleName(registry) {
		r.Hosts, r.AndUpstream = r.Hosts[:last], true
	}
	return r, true
}
