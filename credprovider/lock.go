package credprovider

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"

	"github.com/berth-registry/berth/internal/filelock"
	"github.com/berth-registry/berth/internal/safedir"
)

// Locks are the open files with the locks of a process that asks AWS for tokens of one service and
// region: that of the scope, shared, and those of the identities that it may ask, exclusive. Earlier
// versions take the lock of the scope alone, exclusive: so they and this one exclude each other.
type Locks []*os.File

// Close releases the locks.
func (l Locks) Close() {
	for _, f := range l {
		f.Close()
	}
}

// lockNames returns the names of the lock files, that of the scope first. All processes take them in
// this order.
func lockNames(s scope, identities []string) []string {
	names := []string{s.service + "_" + s.region + ".lock"}
	for _, id := range identities {
		names = append(names, s.service+"_"+id+"_"+s.region+".lock")
	}
	return names
}

// tryLocks takes the locks of a scope and of identities, which are sorted. It returns nil without an
// error when another process has one of them.
func tryLocks(dir string, s scope, identities []string) (Locks, error) {
	var locks Locks
	how := filelock.Shared
	for _, name := range lockNames(s, identities) {
		f, err := tryLock(dir, name, how)
		if err != nil || f == nil {
			locks.Close()
			return nil, err
		}
		locks, how = append(locks, f), filelock.Exclusive
	}
	return locks, nil
}

// tryLock takes a lock between processes; closing the file releases it. It returns nil without an
// error when another process has it. The file stays: if it were removed, two processes could hold
// two files of one name.
func tryLock(dir, name string, how func(*os.File) error) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, name), os.O_RDWR|os.O_CREATE|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, err
	}
	err = how(f)
	if err == nil {
		return f, nil
	}
	f.Close()
	if err == filelock.ErrHeld {
		return nil, nil
	}
	return nil, err
}

// are reports whether l are the locks of a scope and of identities. The program before this one took
// them and then started this one in its place: the open files, and with them the locks, went on.
func (l Locks) are(dir string, s scope, identities []string) bool {
	return slices.EqualFunc(l, lockNames(s, identities), func(f *os.File, name string) bool {
		own, err := f.Stat()
		if err != nil {
			return false
		}
		there, err := os.Lstat(filepath.Join(dir, name))
		return err == nil && os.SameFile(own, there)
	})
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
