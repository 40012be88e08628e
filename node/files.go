package node

import (
	"errors"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/berth-registry/berth/internal/nodefs"
)

// files gives readers of configurations access to the files below a root.
type files struct{ root *nodefs.Root }

// ReadFile reads a file. Symlinks are resolved below the root.
func (f files) ReadFile(name string) ([]byte, error) { return f.root.ReadFile(name) }

// Glob returns the sorted paths that match a pattern of path.Match.
func (f files) Glob(pattern string) ([]string, error) {
	if _, err := path.Match(pattern, ""); err != nil {
		return nil, err
	}
	found := []string{"/"}
	for part := range strings.SplitSeq(strings.Trim(path.Clean(pattern), "/"), "/") {
		var next []string
		for _, dir := range found {
			if !strings.ContainsAny(part, `*?[\`) {
				name := path.Join(dir, part)
				if _, err := f.root.Lstat(name); err == nil {
					next = append(next, name)
				}
				continue
			}
			for _, name := range f.list(dir) {
				if ok, err := path.Match(part, name); err == nil && ok {
					next = append(next, path.Join(dir, name))
				}
			}
		}
		found = next
	}
	return found, nil
}

// List returns the sorted paths below a root that match a pattern.
func List(root *nodefs.Root, pattern string) []string {
	found, err := files{root}.Glob(pattern)
	if err != nil {
		return nil // a malformed pattern
	}
	return found
}

// list returns the sorted names in a directory; none if it cannot be read, as in filepath.Glob.
func (f files) list(dir string) []string {
	real, err := f.root.Resolve(dir)
	if err != nil {
		return nil
	}
	entries, err := os.ReadDir(real)
	if err != nil {
		return nil
	}
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = e.Name()
	}
	slices.Sort(names)
	return names
}

func isNotExist(err error) bool { return errors.Is(err, fs.ErrNotExist) }
