// Package atomicfile replaces a file so that a reader finds the old content or the new content
// complete, at any moment.
//
// It promises that nothing outside the given directory is written, that a symlink is replaced and
// not followed, and that no process reads the new file before it has its final mode. Start reading
// at [Temp.Replace].
package atomicfile

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// Temp is a file that is written under a temporary name, and then renamed. A kill may leave it.
type Temp struct {
	Dir  *os.Root
	Name string // below Dir, in the directory of the file that it replaces; must not exist
	Mode fs.FileMode
	// NoSync is for a file that need not survive a power failure.
	NoSync bool
	// Ready, unless it is nil, is called before the rename; its error stops the replacement.
	Ready func() error
}

// Replace writes content and renames it to file, a name below Dir. On an error, file is as it was,
// and the temporary file is removed. Call [SyncDir] to make the new name durable.
func (t Temp) Replace(file string, content io.Reader) (err error) {
	f, err := t.Dir.OpenFile(t.Name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return t.fault("create a file in", filepath.Dir(t.Name), err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, t.Dir.Remove(t.Name))
		}
	}()
	_, err = io.Copy(f, content)
	if err == nil {
		err = f.Chmod(t.Mode)
	}
	if err == nil && !t.NoSync {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if t.Ready != nil {
		if err = t.Ready(); err != nil {
			return err
		}
	}
	if err = t.Dir.Rename(t.Name, file); err != nil {
		return t.fault("replace", file, err)
	}
	return nil
}

// fault is err with the whole path of name instead of one below Dir.
func (t Temp) fault(op, name string, err error) error {
	if errno, ok := errors.AsType[syscall.Errno](err); ok {
		err = errno
	}
	return &fs.PathError{Op: op, Path: filepath.Join(t.Dir.Name(), name), Err: err}
}

// SyncDir makes the names in a directory below dir durable.
func SyncDir(dir *os.Root, name string) error {
	d, err := dir.OpenFile(name, os.O_RDONLY|syscall.O_DIRECTORY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
