package hostsconf

import (
	"os"
	"path/filepath"
	"testing"
)

// A stage in use stays, whatever its process and PID namespace. A stage that a killed process left
// is removed.
func TestNewStageRemovesAbandonedStages(t *testing.T) {
	scratch := t.TempDir()
	first, remove, err := newStage(scratch)
	if err != nil {
		t.Fatal(err)
	}
	// Left by a killed process: no lock.
	left := filepath.Join(scratch, stagePrefix+"4194305-1")
	if err := os.MkdirAll(filepath.Join(left, "docker.io"), 0o700); err != nil {
		t.Fatal(err)
	}
	// In use, and named after a process that does not exist in this namespace.
	used := filepath.Join(scratch, stagePrefix+"4194306-1")
	if err := os.Mkdir(used, 0o700); err != nil {
		t.Fatal(err)
	}
	lock, err := lockStage(used)
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	second, removeSecond, err := newStage(scratch)
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{first, second, used} {
		if _, err := os.Stat(dir); err != nil {
			t.Errorf("a directory in use was removed: %v", err)
		}
	}
	if _, err := os.Stat(left); err == nil {
		t.Error("what a killed process left is still there")
	}
	remove()
	removeSecond()
	if _, err := os.Stat(first); err == nil {
		t.Error("its own directory is still there")
	}
}
