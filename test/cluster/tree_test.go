package cluster

import (
	"slices"
	"testing"

	"github.com/berth-registry/berth/test/filetree"
)

// tree describes the files below a directory, one line for each path.
type tree map[string]string

// look describes everything below root except the paths in except.
func look(t *testing.T, root string, except ...string) tree {
	t.Helper()
	found, err := filetree.Read(root, func(name string) bool { return slices.Contains(except, name) })
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// differences returns the paths that differ.
func (a tree) differences(b tree) []string { return filetree.Differences(a, b) }
