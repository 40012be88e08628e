package cluster

import (
	"crypto/sha256"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// tree is what lies below a directory: for each path its kind, mode, owner,
// content and, of files, the time.
type tree map[string]string

// look describes all that lies below root, except below the paths that are
// named, which are there or not as they like.
func look(t *testing.T, root string, except ...string) tree {
	t.Helper()
	found := tree{}
	err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := strings.TrimPrefix(path, root)
		if slices.Contains(except, name) {
			if e.IsDir() {
				return filepath.SkipDir
			}
			return nil
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		stat := info.Sys().(*syscall.Stat_t)
		line := fmt.Sprintf("%s %d:%d", info.Mode(), stat.Uid, stat.Gid)
		switch {
		case info.Mode().IsRegular():
			content, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			line += fmt.Sprintf(" %s %x", info.ModTime().UTC(), sha256.Sum256(content))
		case info.Mode()&fs.ModeSymlink != 0:
			to, err := os.Readlink(path)
			if err != nil {
				return err
			}
			line += " " + to
		}
		found[name] = line
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// differences lists what is not in both alike.
func (a tree) differences(b tree) []string {
	var found []string
	all := maps.Clone(a)
	maps.Copy(all, b)
	for _, name := range slices.Sorted(maps.Keys(all)) {
		before, was := a[name]
		after, is := b[name]
		switch {
		case !was:
			found = append(found, "new: "+name)
		case !is:
			found = append(found, "gone: "+name)
		case before != after:
			found = append(found, fmt.Sprintf("changed: %s: %s, was %s", name, after, before))
		}
	}
	return found
}
