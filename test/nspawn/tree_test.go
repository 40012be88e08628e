//go:build e2e

package nspawn

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
	"time"
)

// tree is what lies on a machine: a line for each path.
type tree map[string]string

// othersOwn are the places that change by the doing of others, and are not
// compared.
func othersOwn() []string {
	return []string{
		"/srv/trial",              // of the trial itself
		"/var/lib/dpkg",           // dpkg's own files,
		"/var/lib/apt",            // apt's,
		"/var/cache/apt",          //
		"/var/log",                // and the logs of both, and of systemd
		"/var/lib/containerd",     // containerd's images
		"/var/lib/systemd/timers", // when timers ran last
		"/var/lib/systemd/random-seed",
	}
}

// look reads the tree below a directory.
func look(t *testing.T, root string) tree {
	t.Helper()
	found := tree{}
	err := filepath.WalkDir(root, func(file string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := strings.TrimPrefix(file, root)
		// PrivateTmp= makes such directories, by another name at each boot.
		private := strings.HasPrefix(name, "/var/tmp/systemd-private-") && !strings.Contains(name, "berth")
		if private || slices.Contains(othersOwn(), name) {
			if e.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		owner := info.Sys().(*syscall.Stat_t)
		line := fmt.Sprintf("%v %d:%d", info.Mode(), owner.Uid, owner.Gid)
		switch {
		case info.Mode().IsRegular():
			raw, err := os.ReadFile(file)
			if err != nil {
				return err
			}
			line += fmt.Sprintf(" %s %x", info.ModTime().UTC().Format(time.RFC3339Nano), sha256.Sum256(raw))
		case info.Mode()&fs.ModeSymlink != 0:
			to, err := os.Readlink(file)
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

// differences tells what is not as it was, a line each.
func differences(before, after tree) []string {
	var all []string
	for _, name := range slices.Sorted(maps.Keys(before)) {
		switch now, there := after[name]; {
		case !there:
			all = append(all, "gone: "+name)
		case now != before[name]:
			all = append(all, fmt.Sprintf("changed: %s\n\twas %s\n\tis  %s", name, before[name], now))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(after)) {
		if _, there := before[name]; !there {
			all = append(all, "new: "+name+" "+after[name])
		}
	}
	return all
}
