package bundle

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/berth-registry/berth/images/layout"
	"github.com/berth-registry/berth/images/reference"
)

// In returns the bundles and OCI layouts in a directory, in the order of their names; a directory
// that is an OCI layout is itself the only one. Directories below are looked into no further.
// problems are files that look like a bundle and are none: they are not complete, or are compressed
// in a way that cannot be read. All other files are ignored.
func In(dir string) (all []reference.Location, problems []error, err error) {
	if isLayout(dir) {
		at, err := reference.ParseLocation("oci:" + dir)
		return []reference.Location{at}, nil, err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, nil, err
	}
	var names []string
	for _, entry := range entries {
		name, fault := source(dir, entry.Name())
		if fault != nil {
			problems = append(problems, fmt.Errorf("%s: %w", filepath.Join(dir, entry.Name()), fault))
		}
		if name != "" && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		at, err := reference.ParseSource(filepath.Join(dir, name))
		if err != nil {
			return nil, nil, err
		}
		all = append(all, at)
	}
	return all, problems, nil
}

func isLayout(dir string) bool {
	_, err := os.Lstat(filepath.Join(dir, layout.MarkerFile))
	return err == nil
}

// source is the name of the bundle or directory to which an entry of a directory belongs, "" if it
// is none.
func source(dir, name string) (string, error) {
	path := filepath.Join(dir, name)
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		if isLayout(path) {
			return name, nil
		}
		return "", nil
	}
	if strings.HasPrefix(name, ".") {
		return "", nil // of a program that copies, such as rsync
	}
	if n := len(name) - len(".000"); n > 0 && name[n] == '.' && strings.Trim(name[n+1:], "0123456789") == "" {
		name = name[:n] // a part
	}
	if reference.IsBundle(name) {
		return name, nil
	}
	for _, suffix := range []string{".tar.gz", ".tgz", ".tar.xz", ".tar.bz2"} {
		if strings.HasSuffix(name, suffix) {
			return "", errors.New("is compressed in a way from which no blob can be read alone; unpack it, or write it with berth images copy --to FILE.tar.zst")
		}
	}
	if begun, ok := strings.CutSuffix(name, partial); ok {
		if name, _ := source(dir, begun); name != "" {
			return "", errors.New("is not complete; run the berth images copy that has begun it again")
		}
	}
	return "", nil
}

// State describes the files of sources: it changes when one of them is added, replaced or removed.
// What cannot be read counts as missing.
func State(sources []string) string {
	var b strings.Builder
	add := func(path string) fs.FileInfo {
		info, err := os.Stat(path)
		if err == nil {
			fmt.Fprintf(&b, "%q %d %d\n", path, info.Size(), info.ModTime().UnixNano())
		}
		return info
	}
	for _, path := range sources {
		if info := add(path); info == nil || !info.IsDir() {
			if !strings.HasSuffix(path, part("", 0)) {
				add(part(path, 0))
			}
			continue
		}
		add(filepath.Join(path, layout.IndexFile))
		entries, _ := os.ReadDir(path)
		for _, entry := range entries {
			if info := add(filepath.Join(path, entry.Name())); info != nil && info.IsDir() {
				add(filepath.Join(path, entry.Name(), layout.IndexFile))
			}
		}
	}
	return b.String()
}
