package managedfile

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

// dir is an open directory. Its methods take one name in it, never a path, so only the last
// component can be a symlink, and that one is not followed. Every change to the file system goes
// through dir.
type dir struct {
	f      *os.File
	path   string // on the node, for messages
	step   func(Step) error
	listed bool
}

// entry describes the entry with one name.
type entry struct {
	kind    Kind
	meta    meta
	size    int64
	id      fileID
	content []byte // of a regular file, if read
	target  string // of a symlink
}

// fileID identifies an inode.
type fileID struct{ dev, ino uint64 }

// retry repeats a call that a signal interrupted.
func retry(call func() error) error {
	for {
		if err := call(); err != unix.EINTR {
			return err
		}
	}
}

func openAt(at int, name, hostPath string, step func(Step) error) (*dir, error) {
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
	return &dir{f: f, path: hostPath, step: step}, nil
}

func (d *dir) fd() int                    { return int(d.f.Fd()) }
func (d *dir) close()                     { d.f.Close() }
func (d *dir) join(n string) string       { return path.Join(d.path, n) }
func (d *dir) self() (fs.FileInfo, error) { return d.f.Stat() }

// change makes one change after calling the step hook.
func (d *dir) change(op, name string, call func() error) error {
	if d.step != nil {
		if err := d.step(Step{Op: op, Path: d.join(name)}); err != nil {
			return &fs.PathError{Op: op, Path: d.join(name), Err: err}
		}
	}
	if err := retry(call); err != nil {
		return &fs.PathError{Op: op, Path: d.join(name), Err: err}
	}
	return nil
}

func (d *dir) open(name string) (*dir, error) {
	return openAt(d.fd(), name, d.join(name), d.step)
}

// list returns the entries in name order.
func (d *dir) list() ([]fs.DirEntry, error) {
	if d.listed {
		if _, err := d.f.Seek(0, 0); err != nil {
			return nil, pathError("read", d.path, err)
		}
	}
	d.listed = true
	entries, err := d.f.ReadDir(-1)
	if err != nil {
		return nil, pathError("read", d.path, err)
	}
	sortEntries(entries)
	return entries, nil
}

// lstat describes name without its content. A missing name gives the zero entry.
func (d *dir) lstat(name string) (entry, error) {
	var st unix.Stat_t
	err := retry(func() error { return unix.Fstatat(d.fd(), name, &st, unix.AT_SYMLINK_NOFOLLOW) })
	if err == unix.ENOENT {
		return entry{}, nil
	}
	if err != nil {
		return entry{}, &fs.PathError{Op: "stat", Path: d.join(name), Err: err}
	}
	return toEntry(&st), nil
}

// look describes name, with the first limit+1 bytes of a regular file or the target of a symlink.
func (d *dir) look(name string, limit int64) (entry, error) {
	e, err := d.lstat(name)
	if err != nil {
		return e, err
	}
	switch e.kind {
	case Regular:
		return d.read(name, limit)
	case Symlink:
		buf := make([]byte, unix.PathMax)
		var n int
		if err := retry(func() (err error) { n, err = unix.Readlinkat(d.fd(), name, buf); return err }); err != nil {
			return e, &fs.PathError{Op: "readlink", Path: d.join(name), Err: err}
		}
		e.target = string(buf[:n])
	}
	return e, nil
}

// read describes the regular file name, with its first limit+1 bytes.
func (d *dir) read(name string, limit int64) (entry, error) {
	var fd int
	// O_NONBLOCK: the file may have been replaced by a fifo, and opening one would block.
	err := retry(func() (err error) {
		fd, err = unix.Openat(d.fd(), name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
		return err
	})
	if err != nil {
		return entry{kind: Regular}, &fs.PathError{Op: "open", Path: d.join(name), Err: err}
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := retry(func() error { return unix.Fstat(fd, &st) }); err != nil {
		return entry{kind: Regular}, &fs.PathError{Op: "stat", Path: d.join(name), Err: err}
	}
	e := toEntry(&st)
	if e.kind != Regular {
		return e, nil
	}
	e.content, err = readUpTo(fd, min(e.size, limit)+1, limit+1)
	if err != nil {
		return e, &fs.PathError{Op: "read", Path: d.join(name), Err: err}
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

func (d *dir) mkdir(name string, perm uint32) error {
	return d.change("mkdir", name, func() error { return unix.Mkdirat(d.fd(), name, perm) })
}

// rename moves name to newName in to. With fresh it fails if newName exists ([fs.ErrExist]).
func (d *dir) rename(name string, to *dir, newName string, fresh bool) error {
	return to.change("rename", newName, func() error {
		if !fresh {
			return unix.Renameat(d.fd(), name, to.fd(), newName)
		}
		err := unix.Renameat2(d.fd(), name, to.fd(), newName, unix.RENAME_NOREPLACE)
		if err != unix.EINVAL && err != unix.ENOSYS {
			return err
		}
		// This file system does not support the flag (NFS): check first.
		if e, err := to.lstat(newName); err != nil || e.kind != None {
			return unix.EEXIST
		}
		return unix.Renameat(d.fd(), name, to.fd(), newName)
	})
}

func (d *dir) unlink(name string) error {
	return d.change("remove", name, func() error { return unix.Unlinkat(d.fd(), name, 0) })
}

func (d *dir) rmdir(name string) error {
	return d.change("rmdir", name, func() error { return unix.Unlinkat(d.fd(), name, unix.AT_REMOVEDIR) })
}

// sync makes the names in the directory durable.
func (d *dir) sync() error {
	return d.change("sync", "", func() error { return unix.Fsync(d.fd()) })
}

// setMeta sets the mode and owner of the directory itself.
func (d *dir) setMeta(m meta) error {
	if info, err := d.self(); err == nil && metaOf(info).sameAccess(m) {
		return nil
	}
	if err := d.change("chown", "", func() error { return unix.Fchown(d.fd(), m.UID, m.GID) }); err != nil {
		return err
	}
	return d.change("chmod", "", func() error { return unix.Fchmod(d.fd(), uint32(m.Mode)) })
}

// setTimes sets the modification and access time of name to t.
func (d *dir) setTimes(name string, t time.Time) error {
	ts := unix.NsecToTimespec(t.UnixNano())
	return d.change("utimes", name, func() error {
		return unix.UtimesNanoAt(d.fd(), name, []unix.Timespec{ts, ts}, unix.AT_SYMLINK_NOFOLLOW)
	})
}

// source is the content and metadata of a new file.
type source struct {
	kind    Kind // Regular or Symlink
	content []byte
	target  string
	meta    meta // a zero ModTime means now
}

// make creates a new file or symlink and makes its content durable; [dir.sync] makes its name
// durable. Others cannot read the file before it has its final mode.
func (d *dir) make(name string, src source) error {
	if src.kind == Symlink {
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
	f := os.NewFile(uintptr(fd), d.join(name))
	defer f.Close()
	if err := d.change("write", name, func() error {
		_, err := bytes.NewReader(src.content).WriteTo(f)
		return err
	}); err != nil {
		return err
	}
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if m := metaOf(info); m.UID != src.meta.UID || m.GID != src.meta.GID {
		if err := d.change("chown", name, func() error { return unix.Fchown(fd, src.meta.UID, src.meta.GID) }); err != nil {
			return err
		}
	}
	// After chown, which clears setuid bits.
	if err := d.change("chmod", name, func() error { return unix.Fchmod(fd, uint32(src.meta.Mode)) }); err != nil {
		return err
	}
	if !src.meta.ModTime.IsZero() {
		if err := d.setTimes(name, src.meta.ModTime); err != nil {
			return err
		}
	}
	return d.change("sync", name, func() error { return unix.Fsync(fd) })
}

func (d *dir) makeLink(name string, src source) error {
	if err := d.change("symlink", name, func() error { return unix.Symlinkat(src.target, d.fd(), name) }); err != nil {
		return err
	}
	e, err := d.lstat(name)
	if err != nil {
		return err
	}
	if e.meta.UID != src.meta.UID || e.meta.GID != src.meta.GID {
		if err := d.change("chown", name, func() error {
			return unix.Fchownat(d.fd(), name, src.meta.UID, src.meta.GID, unix.AT_SYMLINK_NOFOLLOW)
		}); err != nil {
			return err
		}
	}
	return d.setTimes(name, src.meta.ModTime)
}
