// Package filetree describes the files below a directory and compares two descriptions, to check
// that a trial has left a machine as it was.
//
// It only reads. It does not compare the times of directories, because they change whenever a file
// is created or removed.
//
// Start with [Read].
package filetree

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
	"time"
)

// Read describes root, under the name "", and everything below it, under names like "/etc/hosts":
// kind, mode and owner; for a file also its time and a hash of its content; for a symlink its
// target. Names for which skip returns true are left out, with everything below them.
func Read(root string, skip func(name string) bool) (map[string]string, error) {
	found := map[string]string{}
	err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := strings.TrimPrefix(path, root)
		if skip(name) {
			if e.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		found[name], err = describe(path, info)
		return err
	})
	return found, err
}

func describe(path string, info fs.FileInfo) (string, error) {
	owner := info.Sys().(*syscall.Stat_t)
	line := fmt.Sprintf("%v %d:%d", info.Mode(), owner.Uid, owner.Gid)
	switch {
	case info.Mode().IsRegular():
		content, err := os.ReadFile(path)
		if err != nil {
			return "", err
		}
		line += fmt.Sprintf(" %s %x", info.ModTime().UTC().Format(time.RFC3339Nano), sha256.Sum256(content))
	case info.Mode()&fs.ModeSymlink != 0:
		to, err := os.Readlink(path)
		if err != nil {
			return "", err
		}
		line += " " + to
	}
	return line, nil
}

// Differences returns one text for each name that differs, sorted by name.
func Differences(before, after map[string]string) []string {
	names := maps.Clone(before)
	maps.Copy(names, after)
	var all []string
	for _, name := range slices.Sorted(maps.Keys(names)) {
		was, there := before[name]
		is, still := after[name]
		switch {
		case !there:
			all = append(all, fmt.Sprintf("new: %s %s", name, is))
		case !still:
			all = append(all, fmt.Sprintf("gone: %s %s", name, was))
		case was != is:
			all = append(all, fmt.Sprintf("changed: %s\n\twas %s\n\tis  %s", name, was, is))
		}
	}
	return all
}
