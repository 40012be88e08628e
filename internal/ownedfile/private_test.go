package ownedfile

import (
	"context"
	"os"
	"path/filepath"
	"testing"
)

func TestPrivateFile(t *testing.T) {
	dir := t.TempDir()
	root, err := OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	s, err := Open(root, DefaultStateDir)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.RemovePrivate("x.json"); err != nil {
		t.Errorf("remove, without a directory: %v", err)
	}
	for _, content := range []string{"one", "two"} {
		if err := s.WritePrivate("x.json", []byte(content)); err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(dir, DefaultStateDir, "x.json")
		got, err := os.ReadFile(file)
		if err != nil || string(got) != content {
			t.Errorf("content %q, %v", got, err)
		}
		if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("mode %v, %v", info.Mode(), err)
		}
	}
	if err := s.RemovePrivate("x.json"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Restore(context.Background()); err != nil {
		t.Fatal(err)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "*")); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}
