//go:build e2e

package nspawn

import (
	"slices"
	"strings"
	"testing"

	"github.com/berth-registry/berth/test/filetree"
)

// tree describes the files of a machine, one line for each path.
type tree map[string]string

// othersOwn returns paths that other programs change, which are not compared.
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

// look describes the tree below a directory.
func look(t *testing.T, root string) tree {
	t.Helper()
	found, err := filetree.Read(root, func(name string) bool {
		// PrivateTmp= makes directories with a new name at each boot.
		private := strings.HasPrefix(name, "/var/tmp/systemd-private-") && !strings.Contains(name, "berth")
		return private || slices.Contains(othersOwn(), name)
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}
