package node

import (
	"errors"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/berth-registry/berth/internal/managedfile"
)

// files reads the files below a root for package containerdconf.
type files struct{ root *managedfile.Root }

// ReadFile reads a file. It follows symlinks, but never out of the root.
func (f files) ReadFile(name string) ([]byte, error) { return f.root.ReadFile(name) }

// Glob lists the files that match a pattern of path.Match, part by part, sorted.
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

// List lists the files below a root that match a pattern of path.Match, sorted.
func List(root *managedfile.Root, pattern string) []string {
	found, err := files{root}.Glob(pattern)
	if err != nil {
		return nil // callers pass constant patterns
	}
	return found
}

// list returns the names in a directory, sorted; like filepath.Glob, none if it cannot be read.
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
