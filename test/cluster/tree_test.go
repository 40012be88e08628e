package cluster

import (
	"slices"
	"testing"

	"github.com/berth-registry/berth/test/filetree"
)

// tree is what lies below a directory, a line for each path.
type tree map[string]string

// look describes all that lies below root, except below the paths that are
// named, which are there or not as they like.
func look(t *testing.T, root string, except ...string) tree {
	t.Helper()
	found, err := filetree.Read(root, func(name string) bool { return slices.Contains(except, name) })
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// differences lists what is not in both alike.
func (a tree) differences(b tree) []string { return filetree.Differences(a, b) }
