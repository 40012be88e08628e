// Package filelock takes locks between processes: flock(2) on an open file or directory. The kernel
// releases a lock when its file is closed, also when the process is killed.
//
// It promises that no call waits. It creates and removes no file. Start reading at [Exclusive].
package filelock

import (
	"errors"
	"io/fs"
	"os"
	"syscall"
)

// ErrHeld means that another open file holds a lock that excludes this one.
var ErrHeld = errors.New("locked by another process")

// ErrReplaced means that the locked file is no longer the one at its path.
var ErrReplaced = errors.New("removed or replaced while it was locked")

// Exclusive locks f for this process alone, or returns [ErrHeld].
func Exclusive(f *os.File) error { return flock(f, syscall.LOCK_EX) }

// Shared locks f beside other shared locks, or returns [ErrHeld].
func Shared(f *os.File) error { return flock(f, syscall.LOCK_SH) }

// ExclusiveAt is [Exclusive] for a path whose file a holder may remove or replace: the lock of a
// removed file excludes no process that opens the path now. lstat describes the entry at the path;
// if that is not f, the error is [ErrReplaced].
func ExclusiveAt(f *os.File, lstat func() (fs.FileInfo, error)) error {
	if err := Exclusive(f); err != nil {
		return err
	}
	locked, err := f.Stat()
	if err != nil {
		return err
	}
	now, err := lstat()
	if errors.Is(err, fs.ErrNotExist) || err == nil && !os.SameFile(locked, now) {
		return ErrReplaced
	}
	return err
}

func flock(f *os.File, how int) error {
	for {
		switch err := syscall.Flock(int(f.Fd()), how|syscall.LOCK_NB); err {
		case nil:
			return nil
		case syscall.EINTR:
		case syscall.EWOULDBLOCK:
			return ErrHeld
		default:
			return &fs.PathError{Op: "lock", Path: f.Name(), Err: err}
		}
	}
}
