package nodefs

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/berth-registry/berth/internal/filelock"
)

// ErrLocked means that another process holds the lock file.
var ErrLocked = errors.New("locked by another process")

// Lock is a lock file that this process holds. The kernel releases it when the process ends.
type Lock struct {
	root *Root
	path string
	f    *os.File
	made []string // directories created for it
}

// LockedError names the process that holds a lock. errors.Is matches it with [ErrLocked].
type LockedError struct {
	Path string
	PID  int    // in the holder's PID namespace; 0 if unknown
	Host string // host name of the holder, as its container sees it
}

// Error names the holder.
func (e *LockedError) Error() string {
	if e.PID == 0 {
		return e.Path + ": " + ErrLocked.Error()
	}
	return fmt.Sprintf("%s: locked by process %d on %s", e.Path, e.PID, e.Host)
}

// Is makes [errors.Is] match [ErrLocked].
func (e *LockedError) Is(target error) bool { return target == ErrLocked }

// lockPoll is the interval between attempts to take a held lock.
const lockPoll = 20 * time.Millisecond

// LockFile locks the file at a host path and creates it, with its directories, if it is missing. If
// another process holds the lock, LockFile returns a [*LockedError]; with wait it first waits until
// ctx is done and then returns that error joined with ctx's.
func LockFile(ctx context.Context, root *Root, hostPath string, wait bool) (*Lock, error) {
	l := &Lock{root: root, path: hostPath}
	for {
		err := l.try()
		if err == nil {
			return l, nil
		}
		if !errors.Is(err, ErrLocked) || !wait {
			l.removeDirs()
			return nil, err
		}
		select {
		case <-ctx.Done():
			l.removeDirs()
			return nil, fmt.Errorf("%w: %w", err, ctx.Err())
		case <-time.After(lockPoll):
		}
	}
}

// try tries once to take the lock.
func (l *Lock) try() error {
	for {
		d, err := l.dir()
		if err != nil {
			return err
		}
		again, err := l.tryIn(d)
		d.Close()
		if !again {
			return err
		}
	}
}

// dir opens the directory of the lock file and creates it if it is missing.
func (l *Lock) dir() (*Dir, error) {
	var last error
	for range lockDirTries {
		missing, err := l.root.Missing(path.Dir(l.path))
		if err != nil {
			return nil, err
		}
		for _, p := range missing {
			err := l.root.MakeDir(p, Meta{Mode: 0o755, UID: os.Geteuid(), GID: os.Getegid()}, nil)
			if errors.Is(err, fs.ErrExist) || errors.Is(err, fs.ErrNotExist) {
				last = err
				break // another process creates or removes it now
			}
			if err != nil {
				return nil, err
			}
			l.made = append(l.made, p)
		}
		d, err := l.root.OpenDir(path.Dir(l.path), nil)
		if !errors.Is(err, fs.ErrNotExist) {
			return d, err
		}
		last = cmp.Or(last, err)
	}
	return nil, fmt.Errorf("%s: the directory cannot be created; check that no part of it is a dangling symlink (%w)", path.Dir(l.path), last)
}

// lockDirTries is how often other processes may interfere. A dangling symlink looks the same as
// interference, so there must be a limit.
const lockDirTries = 100

// tryIn reports again if the holder removed the file in the meantime.
func (l *Lock) tryIn(d *Dir) (again bool, err error) {
	name := path.Base(l.path)
	var fd int
	err = retry(func() (err error) {
		fd, err = unix.Openat(d.fd(), name, unix.O_RDWR|unix.O_CREAT|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
		return err
	})
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil // the directory was removed
	}
	if err != nil {
		return false, &fs.PathError{Op: "open", Path: l.path, Err: err}
	}
	f := os.NewFile(uintptr(fd), l.path)
	err = filelock.ExclusiveAt(f, func() (fs.FileInfo, error) { return l.root.Lstat(l.path) })
	if err != nil {
		defer f.Close()
		if err == filelock.ErrHeld {
			err = holder(l.path, f)
		}
		return err == filelock.ErrReplaced, err
	}
	// Only for messages: a failed write does not matter for the lock.
	host, _ := os.Hostname()
	_ = f.Truncate(0)
	_, _ = f.WriteAt(fmt.Appendf(nil, "%d %s\n", os.Getpid(), host), 0)
	l.f = f
	return false, nil
}

// holder returns an error that names the holder, as far as the file says.
func holder(hostPath string, f *os.File) error {
	e := &LockedError{Path: hostPath}
	b := make([]byte, 512) // more than a number and a host name
	n, _ := f.ReadAt(b, 0)
	pid, host, _ := strings.Cut(strings.TrimSpace(string(b[:n])), " ")
	if p, err := strconv.Atoi(pid); err == nil && p > 0 {
		e.PID, e.Host = p, host
	}
	return e
}

// Unlock releases the lock and removes the file, and the directories created for it unless they
// hold other entries, such as the next holder's lock.
func (l *Lock) Unlock() {
	if l.f == nil {
		return
	}
	// Removed while it is held: a waiting process sees that its file was unlinked, and creates a
	// new one.
	if d, err := l.root.OpenDir(path.Dir(l.path), nil); err == nil {
		_ = d.Unlink(path.Base(l.path))
		d.Close()
	}
	l.f.Close()
	l.f = nil
	l.removeDirs()
}

// removeDirs removes the directories that try created, if they are empty.
func (l *Lock) removeDirs() {
	for len(l.made) > 0 {
		p := l.made[len(l.made)-1]
		l.made = l.made[:len(l.made)-1]
		parent, err := l.root.OpenDir(path.Dir(p), nil)
		if err != nil {
			return
		}
		err = parent.Rmdir(path.Base(p))
		parent.Close()
		if err != nil {
			l.made = nil // another process uses it
		}
	}
}

// Locked reports whether a process holds the lock file at a host path. It does not take or create
// the file.
func Locked(root *Root, hostPath string) (bool, error) {
	d, err := root.OpenDir(path.Dir(hostPath), nil)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer d.Close()
	var fd int
	err = retry(func() (err error) {
		fd, err = unix.Openat(d.fd(), path.Base(hostPath), unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
		return err
	})
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, &fs.PathError{Op: "open", Path: hostPath, Err: err}
	}
	f := os.NewFile(uintptr(fd), hostPath)
	defer f.Close()
	// A shared lock, so that two callers of Locked do not see each other.
	err = filelock.Shared(f)
	if err == filelock.ErrHeld {
		return true, nil
	}
	return false, err
}
