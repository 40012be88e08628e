// Package nodefiles holds the files of a node in memory, for tests of how Berth reads containerd's
// configuration. It implements the Reader of internal/containerdconf and never reads the disk.
package nodefiles

import (
	"io/fs"
	"path"
	"slices"
)

// Files maps absolute paths to the contents of files. There are no directories.
type Files map[string]string

// ReadFile returns the content of a file. If it is missing, the error is an [fs.ErrNotExist].
func (f Files) ReadFile(name string) ([]byte, error) {
	if content, ok := f[name]; ok {
		return []byte(content), nil
	}
	return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
}

// Glob returns, sorted, the files whose paths match a pattern of [path.Match]. Its only error is
// [path.ErrBadPattern].
func (f Files) Glob(pattern string) ([]string, error) {
	var names []string
	for name := range f {
		ok, err := path.Match(pattern, name)
		if err != nil {
			return nil, err
		}
		if ok {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names, nil
}
