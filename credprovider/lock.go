package credprovider

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/berth-registry/berth/internal/filelock"
	"github.com/berth-registry/berth/internal/safedir"
)

// tryLock takes a lock between processes; closing the file releases it. It returns nil without an
// error when another process has it. The file stays: if it were removed, two processes could hold
// two files of one name.
func tryLock(dir, name string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, name), os.O_RDWR|os.O_CREATE|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, err
	}
	err = filelock.Exclusive(f)
	if err == nil {
		return f, nil
	}
	f.Close()
	if err == filelock.ErrHeld {
		return nil, nil
	}
	return nil, err
}

// adopt returns the lock that f holds, nil if f is not the file of the lock. The program before this
// one took it and then started this one in its place: the open file, and with it the lock, went on.
func adopt(f *os.File, dir, name string) *os.File {
	own, err := f.Stat()
	if err != nil {
		return nil
	}
	there, err := os.Lstat(filepath.Join(dir, name))
	if err != nil || !os.SameFile(own, there) {
		return nil
	}
	return f
}

// ensureDir creates the token directory with mode 0700. It refuses an existing one that others may
// write to, and removes the permissions of others to read it.
func ensureDir(dir string) error {
	info, err := os.Lstat(dir)
	if errors.Is(err, fs.ErrNotExist) {
		if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
			return err
		}
		if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
		info, err = os.Lstat(dir)
	}
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return fmt.Errorf("%s: not a directory", dir)
	}
	if err := safedir.Check(dir, info); err != nil {
		return err
	}
	if info.Mode().Perm()&0o077 != 0 {
		return os.Chmod(dir, 0o700)
	}
	return nil
}
