package atomicfile

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
)

func newRoot(t *testing.T) *os.Root {
	t.Helper()
	root, err := os.OpenRoot(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { root.Close() })
	return root
}

func check(t *testing.T, root *os.Root, want string, mode fs.FileMode) {
	t.Helper()
	entries, err := fs.ReadDir(root.FS(), ".")
	if err != nil || len(entries) != 1 {
		t.Errorf("entries: %v, %v", entries, err)
	}
	got, err := root.ReadFile("file")
	if err != nil || string(got) != want {
		t.Errorf("%q, %v, want %q", got, err, want)
	}
	if info, err := root.Lstat("file"); err != nil || info.Mode() != mode {
		t.Errorf("%v, %v, want mode %v", info.Mode(), err, mode)
	}
}

// A replacement that stops early leaves the old file, and no other.
func TestReplace(t *testing.T) {
	root := newRoot(t)
	fault := errors.New("fault")
	temp := Temp{Dir: root, Name: "temp", Mode: 0o755}
	if err := temp.Replace("file", strings.NewReader("one")); err != nil {
		t.Fatal(err)
	}
	check(t, root, "one", 0o755)
	if err := temp.Replace("file", io.MultiReader(strings.NewReader("two"), iotest.ErrReader(fault))); !errors.Is(err, fault) {
		t.Errorf("%v", err)
	}
	check(t, root, "one", 0o755)
	temp.Ready = func() error { return fault }
	if err := temp.Replace("file", strings.NewReader("two")); !errors.Is(err, fault) {
		t.Errorf("%v", err)
	}
	check(t, root, "one", 0o755)
	temp = Temp{Dir: root, Name: "temp", Mode: 0o600, NoSync: true, Ready: func() error {
		if got, err := root.ReadFile("file"); string(got) != "one" {
			t.Errorf("before the rename: %q, %v", got, err)
		}
		return nil
	}}
	if err := errors.Join(temp.Replace("file", strings.NewReader("two")), SyncDir(root, ".")); err != nil {
		t.Error(err)
	}
	check(t, root, "two", 0o600)
}

// Nothing is written through a symlink, neither at the temporary name nor at the name of the file.
func TestSymlinks(t *testing.T) {
	root := newRoot(t)
	target := filepath.Join(t.TempDir(), "target")
	if err := errors.Join(os.WriteFile(target, []byte("theirs"), 0o600), os.Symlink(target, filepath.Join(root.Name(), "temp"))); err != nil {
		t.Fatal(err)
	}
	temp := Temp{Dir: root, Name: "temp", Mode: 0o644}
	err := temp.Replace("file", strings.NewReader("ours"))
	if pe, ok := errors.AsType[*fs.PathError](err); !ok || !errors.Is(err, fs.ErrExist) || pe.Path != root.Name() {
		t.Errorf("%v", err)
	}
	if err := root.Rename("temp", "file"); err != nil {
		t.Fatal(err)
	}
	if err := temp.Replace("file", strings.NewReader("ours")); err != nil {
		t.Error(err)
	}
	check(t, root, "ours", 0o644)
	if got, err := os.ReadFile(target); string(got) != "theirs" {
		t.Errorf("%q, %v", got, err)
	}
}

func TestErrorsNameThePath(t *testing.T) {
	root := newRoot(t)
	if err := root.MkdirAll("file/full", 0o700); err != nil {
		t.Fatal(err)
	}
	err := Temp{Dir: root, Name: "temp", Mode: 0o644}.Replace("file", strings.NewReader(""))
	if pe, ok := errors.AsType[*fs.PathError](err); !ok || pe.Path != filepath.Join(root.Name(), "file") {
		t.Errorf("%v", err)
	}
	if err := SyncDir(root, "missing"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v", err)
	}
}
