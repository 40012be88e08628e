// Package nodefiles is the files of a node in memory: given these files, what
// does Berth make of containerd's configuration.
//
// It stands in for the disk where internal/containerdconf asks for a Reader,
// and never looks at the disk.
package nodefiles

import (
	"io/fs"
	"path"
	"slices"
)

// Files are the contents of files by their absolute paths. There are no
// directories.
type Files map[string]string

// ReadFile gives a file's content. The error of one that is not there is an
// [fs.ErrNotExist].
func (f Files) ReadFile(name string) ([]byte, error) {
	if content, ok := f[name]; ok {
		return []byte(content), nil
	}
	return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
}

// Glob lists, sorted, the files whose paths match a pattern of [path.Match]. Its
// one error is [path.ErrBadPattern].
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
