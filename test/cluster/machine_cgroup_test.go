package cluster

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// enterCgroups moves into the cgroups before "--" and becomes the program after it.
const enterCgroups = `set -e
while [ "$1" != -- ]; do echo $$ >"$1/cgroup.procs"; shift; done
shift
exec "$@"`

// newCgroups makes a cgroup of this name below ours in each hierarchy: two machines in one cgroup
// would share system.slice. It returns the cgroups that it made also with an error.
func newCgroups(name string) ([]string, error) {
	ours, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return nil, err
	}
	var made []string
	for line := range strings.Lines(string(ours)) {
		// cgroups(7): hierarchy-ID:controllers:path; 0::path is version 2.
		f := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(f) != 3 {
			return made, fmt.Errorf("/proc/self/cgroup: %q", line)
		}
		hierarchy := strings.TrimPrefix(f[1], "name=")
		if hierarchy == "" {
			hierarchy = "unified"
		}
		parent := filepath.Join("/sys/fs/cgroup", hierarchy, f[2])
		dir := filepath.Join(parent, name)
		if err := os.Mkdir(dir, 0o755); err != nil {
			return made, err
		}
		made = append(made, dir)
		// A new cpuset accepts no process before it has these.
		for _, setting := range []string{"cpuset.cpus", "cpuset.mems"} {
			value, err := os.ReadFile(filepath.Join(parent, setting))
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if err == nil {
				err = os.WriteFile(filepath.Join(dir, setting), value, 0o644)
			}
			if err != nil {
				return made, err
			}
		}
	}
	return made, nil
}

// removeTree removes a cgroup with everything below it. Its processes have been killed; removeTree
// waits until the kernel has removed them.
func removeTree(ctx context.Context, root string) error {
	for {
		err := removeEach(root)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return errors.Join(err, ctx.Err())
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func removeEach(root string) error {
	var dirs []string
	err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err == nil && e.IsDir() {
			dirs = append(dirs, path)
		}
		return err
	})
	if err != nil {
		return err
	}
	for _, dir := range slices.Backward(dirs) {
		if err := os.Remove(dir); err != nil {
			return err
		}
	}
	return nil
}
