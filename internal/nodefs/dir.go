package nodefs

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path"
	"time"

	"golang.org/x/sys/unix"
)

// Step is one change to the file system before it is made. Tests fail or kill the process at a
// step, see [WithSteps].
type Step struct {
	Op   string // "create", "write", "sync", "rename", …
	Path string
}

// Dir is an open directory. Its methods take one name in it, never a path, so only the last
// component can be a symlink, and that one is not followed. Every change to the file system goes
// through Dir.
type Dir struct {
	f      *os.File
	Path   string // on the node, for messages
	step   func(Step) error
	listed bool
}

// Entry describes the entry with one name.
type Entry struct {
	Kind    Kind
	Meta    Meta
	Size    int64
	ID      FileID
	Content []byte // of a regular file, if read
	Target  string // of a symlink
}

// FileID identifies an inode.
type FileID struct{ dev, ino uint64 }

// retry repeats a call that a signal interrupted.
func retry(call func() error) error {
	for {
		if err := call(); err != unix.EINTR {
			return err
		}
	}
}

func openAt(at int, name, hostPath string, step func(Step) error) (*Dir, error) {
	var fd int
	err := retry(func() (err error) {
		fd, err = unix.Openat(at, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		return err
	})
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: hostPath, Err: err}
	}
	// ReadDir uses this name if the file system does not return entry types.
	f := os.NewFile(uintptr(fd), fmt.Sprintf("/proc/self/fd/%d", fd))
	return &Dir{f: f, Path: hostPath, step: step}, nil
}

func (d *Dir) fd() int { return int(d.f.Fd()) }

// Close closes the directory.
func (d *Dir) Close() { d.f.Close() }

// Join returns the path of name on the node.
func (d *Dir) Join(name string) string { return path.Join(d.Path, name) }

// Stat describes the directory itself.
func (d *Dir) Stat() (fs.FileInfo, error) { return d.f.Stat() }

// change makes one change after calling the step hook.
func (d *Dir) change(op, name string, call func() error) error {
	if d.step != nil {
		if err := d.step(Step{Op: op, Path: d.Join(name)}); err != nil {
			return &fs.PathError{Op: op, Path: d.Join(name), Err: err}
		}
	}
	if err := retry(call); err != nil {
		return &fs.PathError{Op: op, Path: d.Join(name), Err: err}
	}
	return nil
}

// Open opens the directory name. A symlink is an error.
func (d *Dir) Open(name string) (*Dir, error) {
	return openAt(d.fd(), name, d.Join(name), d.step)
}

// List returns the entries in name order.
func (d *Dir) List() ([]fs.DirEntry, error) {
	if d.listed {
		if _, err := d.f.Seek(0, 0); err != nil {
			return nil, pathError("read", d.Path, err)
		}
	}
	d.listed = true
	entries, err := d.f.ReadDir(-1)
	if err != nil {
		return nil, pathError("read", d.Path, err)
	}
	sortEntries(entries)
	return entries, nil
}

// Lstat describes name without its content. A missing name gives the zero entry.
func (d *Dir) Lstat(name string) (Entry, error) {
	var st unix.Stat_t
	err := retry(func() error { return unix.Fstatat(d.fd(), name, &st, unix.AT_SYMLINK_NOFOLLOW) })
	if err == unix.ENOENT {
		return Entry{}, nil
	}
	if err != nil {
		return Entry{}, &fs.PathError{Op: "stat", Path: d.Join(name), Err: err}
	}
	return toEntry(&st), nil
}

// Look describes name, with the first limit+1 bytes of a regular file or the target of a symlink.
func (d *Dir) Look(name string, limit int64) (Entry, error) {
	e, err := d.Lstat(name)
	if err != nil {
		return e, err
	}
	switch e.Kind {
	case Regular:
		return d.Read(name, limit)
	case Symlink:
		buf := make([]byte, unix.PathMax)
		var n int
		if err := retry(func() (err error) { n, err = unix.Readlinkat(d.fd(), name, buf); return err }); err != nil {
			return e, &fs.PathError{Op: "readlink", Path: d.Join(name), Err: err}
		}
		e.Target = string(buf[:n])
	}
	return e, nil
}

// Read describes the regular file name, with its first limit+1 bytes.
func (d *Dir) Read(name string, limit int64) (Entry, error) {
	var fd int
	// O_NONBLOCK: the file may have been replaced by a fifo, and opening one would block.
	err := retry(func() (err error) {
		fd, err = unix.Openat(d.fd(), name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
		return err
	})
	if err != nil {
		return Entry{Kind: Regular}, &fs.PathError{Op: "open", Path: d.Join(name), Err: err}
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := retry(func() error { return unix.Fstat(fd, &st) }); err != nil {
		return Entry{Kind: Regular}, &fs.PathError{Op: "stat", Path: d.Join(name), Err: err}
	}
	e := toEntry(&st)
	if e.Kind != Regular {
		return e, nil
	}
	e.Content, err = readUpTo(fd, min(e.Size, limit)+1, limit+1)
	if err != nil {
		return e, &fs.PathError{Op: "read", Path: d.Join(name), Err: err}
	}
	return e, nil
}

// readUpTo reads fd to its end, at most max bytes. size is the expected length plus one.
func readUpTo(fd int, size, max int64) ([]byte, error) {
	buf := make([]byte, size)
	n := 0
	for {
		if n == len(buf) {
			if int64(n) >= max {
				return buf, nil
			}
			buf = append(buf, make([]byte, min(max-int64(n), int64(n)+512))...)
		}
		var m int
		err := retry(func() (err error) { m, err = unix.Read(fd, buf[n:]); return err })
		if err != nil {
			return nil, err
		}
		if m == 0 {
			return buf[:n], nil
		}
		n += m
		if int64(n) == size-1 {
			return buf[:n], nil // the size when it was opened
		}
	}
}

// Mkdir creates the directory name; the umask applies.
func (d *Dir) Mkdir(name string, perm uint32) error {
	return d.change("mkdir", name, func() error { return unix.Mkdirat(d.fd(), name, perm) })
}

// Rename moves name to newName in to. With fresh it fails if newName exists ([fs.ErrExist]).
func (d *Dir) Rename(name string, to *Dir, newName string, fresh bool) error {
	return to.change("rename", newName, func() error {
		if !fresh {
			return unix.Renameat(d.fd(), name, to.fd(), newName)
		}
		err := unix.Renameat2(d.fd(), name, to.fd(), newName, unix.RENAME_NOREPLACE)
		if err != unix.EINVAL && err != unix.ENOSYS {
			return err
		}
		// This file system does not support the flag (NFS): check first.
		if e, err := to.Lstat(newName); err != nil || e.Kind != None {
			return unix.EEXIST
		}
		return unix.Renameat(d.fd(), name, to.fd(), newName)
	})
}

// Unlink removes the file or symlink name.
func (d *Dir) Unlink(name string) error {
	return d.change("remove", name, func() error { return unix.Unlinkat(d.fd(), name, 0) })
}

// Rmdir removes the empty directory name.
func (d *Dir) Rmdir(name string) error {
	return d.change("rmdir", name, func() error { return unix.Unlinkat(d.fd(), name, unix.AT_REMOVEDIR) })
}

// Sync makes the names in the directory durable.
func (d *Dir) Sync() error {
	return d.change("sync", "", func() error { return unix.Fsync(d.fd()) })
}

// SetMeta sets the mode and owner of the directory itself.
func (d *Dir) SetMeta(m Meta) error {
	if info, err := d.Stat(); err == nil && MetaOf(info).SameAccess(m) {
		return nil
	}
	if err := d.change("chown", "", func() error { return unix.Fchown(d.fd(), m.UID, m.GID) }); err != nil {
		return err
	}
	return d.change("chmod", "", func() error { return unix.Fchmod(d.fd(), uint32(m.Mode)) })
}

// SetTimes sets the modification and access time of name to t.
func (d *Dir) SetTimes(name string, t time.Time) error {
	ts := unix.NsecToTimespec(t.UnixNano())
	return d.change("utimes", name, func() error {
		return unix.UtimesNanoAt(d.fd(), name, []unix.Timespec{ts, ts}, unix.AT_SYMLINK_NOFOLLOW)
	})
}

// Source is the content and metadata of a new file.
type Source struct {
	Kind    Kind // Regular or Symlink
	Content []byte
	Target  string
	Meta    Meta // a zero ModTime means now
}

// Make creates a new file or symlink and makes its content durable; [Dir.Sync] makes its name
// durable. Others cannot read the file before it has its final mode.
func (d *Dir) Make(name string, src Source) error {
	if src.Kind == Symlink {
		return d.makeLink(name, src)
	}
	var fd int
	err := d.change("create", name, func() (err error) {
		fd, err = unix.Openat(d.fd(), name, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
		return err
	})
	if err != nil {
		return err
	}
	f := os.NewFile(uintptr(fd), d.Join(name))
	defer f.Close()
	if err := d.change("write", name, func() error {
		_, err := bytes.NewReader(src.Content).WriteTo(f)
		return err
	}); err != nil {
		return err
	}
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if m := MetaOf(info); m.UID != src.Meta.UID || m.GID != src.Meta.GID {
		if err := d.change("chown", name, func() error { return unix.Fchown(fd, src.Meta.UID, src.Meta.GID) }); err != nil {
			return err
		}
	}
	// After chown, which clears setuid bits.
	if err := d.change("chmod", name, func() error { return unix.Fchmod(fd, uint32(src.Meta.Mode)) }); err != nil {
		return err
	}
	if !src.Meta.ModTime.IsZero() {
		if err := d.SetTimes(name, src.Meta.ModTime); err != nil {
			return err
		}
	}
	return d.change("sync", name, func() error { return unix.Fsync(fd) })
}

func (d *Dir) makeLink(name string, src Source) error {
	if err := d.change("symlink", name, func() error { return unix.Symlinkat(src.Target, d.fd(), name) }); err != nil {
		return err
	}
	e, err := d.Lstat(name)
	if err != nil {
		return err
	}
	if e.Meta.UID != src.Meta.UID || e.Meta.GID != src.Meta.GID {
		if err := d.change("chown", name, func() error {
			return unix.Fchownat(d.fd(), name, src.Meta.UID, src.Meta.GID, unix.AT_SYMLINK_NOFOLLOW)
		}); err != nil {
			return err
		}
	}
	return d.SetTimes(name, src.Meta.ModTime)
}
