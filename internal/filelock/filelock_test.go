package filelock

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

func open(t *testing.T, path string) *os.File {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func TestExcludes(t *testing.T) {
	type lock = func(*os.File) error
	for _, c := range []struct {
		name          string
		first, second lock
		want          error
	}{
		{"exclusive, exclusive", Exclusive, Exclusive, ErrHeld},
		{"exclusive, shared", Exclusive, Shared, ErrHeld},
		{"shared, exclusive", Shared, Exclusive, ErrHeld},
		{"shared, shared", Shared, Shared, nil},
		{"flock(2), exclusive", func(f *os.File) error { return syscall.Flock(int(f.Fd()), syscall.LOCK_EX) }, Exclusive, ErrHeld},
	} {
		path := filepath.Join(t.TempDir(), "lock")
		first := open(t, path)
		if err := c.first(first); err != nil {
			t.Fatal(err)
		}
		if err := c.second(open(t, path)); err != c.want {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
		first.Close()
		if err := c.second(open(t, path)); err != nil {
			t.Errorf("%s: after the first was closed: %v", c.name, err)
		}
	}
}

func TestReplaced(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	lstat := func() (fs.FileInfo, error) { return os.Lstat(path) }
	f := open(t, path)
	if err := ExclusiveAt(f, lstat); err != nil {
		t.Error(err)
	}
	os.Remove(path)
	if err := ExclusiveAt(f, lstat); err != ErrReplaced {
		t.Errorf("removed: %v", err)
	}
	open(t, path)
	if err := ExclusiveAt(f, lstat); err != ErrReplaced {
		t.Errorf("replaced: %v", err)
	}
	fault := errors.New("fault")
	if err := ExclusiveAt(f, func() (fs.FileInfo, error) { return nil, fault }); err != fault {
		t.Errorf("%v", err)
	}
	if err := ExclusiveAt(open(t, path), lstat); err != nil {
		t.Errorf("the new file: %v", err)
	}
}

func TestClosed(t *testing.T) {
	f := open(t, filepath.Join(t.TempDir(), "lock"))
	f.Close()
	if err := Exclusive(f); err == nil || errors.Is(err, ErrHeld) {
		t.Errorf("%v", err)
	}
}
