package nodefs

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// newRoot opens an empty directory as a root.
func newRoot(t *testing.T) (root *Root, dir string) {
	t.Helper()
	dir = t.TempDir()
	root, err := OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { root.Close() })
	return root, dir
}

// write writes a file, and the directory that it is in.
func write(t *testing.T, file, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestOpenRootMakesOnlyTheRoot(t *testing.T) {
	dir := t.TempDir()
	root, err := OpenRoot(filepath.Join(dir, "root"))
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	if info, err := os.Stat(filepath.Join(dir, "root")); err != nil || !info.IsDir() {
		t.Errorf("%v", err)
	}
	below, err := OpenRoot(filepath.Join(dir, "not", "yet", "root"))
	if err != nil {
		t.Fatalf("a root whose parents are absent: %v", err)
	}
	defer below.Close()
	if entries, err := os.ReadDir(filepath.Join(dir, "not", "yet", "root")); err != nil || len(entries) != 0 {
		t.Errorf("%v, %v", entries, err)
	}
	t.Chdir(dir)
	if _, err := OpenRoot(""); err == nil {
		t.Error("an empty name means the current directory")
	}
	if got, want := root.Path("/etc/x"), filepath.Join(dir, "root", "etc", "x"); got != want {
		t.Errorf("Path: %s, want %s", got, want)
	}
}

func TestRootReads(t *testing.T) {
	root, dir := newRoot(t)
	write(t, filepath.Join(dir, "etc/a"), "a")
	if err := os.Symlink("/etc/a", filepath.Join(dir, "etc/absolute")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("../../../etc/a", filepath.Join(dir, "etc/up")); err != nil {
		t.Fatal(err)
	}
	for _, p := range []string{"/etc/a", "/etc/absolute", "/etc/up"} {
		if b, err := root.ReadFile(p); err != nil || string(b) != "a" {
			t.Errorf("%s: %q, %v", p, b, err)
		}
	}
	if _, err := root.ReadFile("/etc/none"); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), " /etc/none:") {
		t.Errorf("absent: %v", err)
	}
	if _, err := root.ReadFile("/etc"); err == nil {
		t.Error("read a directory")
	}
	for _, p := range []string{"etc/a", "/etc/../etc/a", "/etc/a/", "", "/etc/\x00"} {
		if _, err := root.ReadFile(p); err == nil {
			t.Errorf("%q was taken", p)
		}
	}
	if info, err := root.Lstat("/etc/absolute"); err != nil || info.Mode()&fs.ModeSymlink == 0 || info.Name() != "absolute" {
		t.Errorf("lstat: %v, %v", info, err)
	}
	if _, err := root.Lstat("/etc/none"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("lstat: %v", err)
	}
}
