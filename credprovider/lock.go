package credprovider

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/berth-registry/berth/internal/safedir"
)

// fileLock is a lock between processes. The kernel releases it when its holder dies.
type fileLock struct{ file *os.File }

// tryLock takes the lock. It returns nil without an error when another process has it.
func tryLock(dir, name string) (*fileLock, error) {
	f, err := os.OpenFile(filepath.Join(dir, name), os.O_RDWR|os.O_CREATE|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, err
	}
	for {
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if !errors.Is(err, syscall.EINTR) {
			break
		}
	}
	if err == nil {
		return &fileLock{f}, nil
	}
	closeErr := f.Close()
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return nil, closeErr
	}
	return nil, fmt.Errorf("lock %s: %w", f.Name(), err)
}

// adopt returns the lock that f holds, nil if f is not the file of the lock. The program before this
// one took it and then started this one in its place: the open file, and with it the lock, went on.
func adopt(f *os.File, dir, name string) *fileLock {
	own, err := f.Stat()
	if err != nil {
		return nil
	}
	there, err := os.Lstat(filepath.Join(dir, name))
	if err != nil || !os.SameFile(own, there) {
		return nil
	}
	return &fileLock{f}
}

// release releases the lock. The file stays: if it were removed, two processes could hold two files
// of one name.
func (l *fileLock) release() { _ = l.file.Close() }

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
