// Package plainfile opens files in a directory to which others may write.
//
// Promise: it opens only regular files below that directory. It does not wait for a fifo, does not
// read a device, and follows no symlink out of the directory. It writes nothing.
//
// Start reading at [Open].
package plainfile

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
	"syscall"
)

// ErrNotRegular means that the entry is not a regular file below the directory: a fifo, a device, a
// directory, or a symlink that leads out. It was not opened for reading.
var ErrNotRegular = errors.New("is not a regular file of this directory")

// ErrSymlink is wrapped together with [ErrNotRegular] if a symlink is the cause.
var ErrSymlink = errors.New("symlink")

// Open opens a regular file below a directory. flag is [os.O_RDONLY] or [os.O_RDWR]; name is
// slash-separated. A missing file is [fs.ErrNotExist], any entry that is not a regular file
// [ErrNotRegular]. Errors do not contain the file name.
func Open(root *os.Root, name string, flag int) (*os.File, fs.FileInfo, error) {
	if _, err := Stat(root, name); err != nil {
		return nil, nil, err
	}
	// The entry may have been replaced since Stat: opening a fifo must not block.
	f, err := root.OpenFile(name, flag|syscall.O_NONBLOCK|syscall.O_NOCTTY, 0)
	if err != nil {
		return nil, nil, Reason(root, name, err)
	}
	info, err := f.Stat()
	if err == nil {
		err = check(info)
	}
	if err != nil {
		return nil, nil, errors.Join(WithoutPath(err), f.Close())
	}
	return f, info, nil
}

// Stat describes a regular file below a directory. Its errors are those of [Open].
func Stat(root *os.Root, name string) (fs.FileInfo, error) {
	info, err := root.Stat(name)
	if err == nil {
		err = check(info)
	}
	if err != nil {
		return nil, Reason(root, name, err)
	}
	return info, nil
}

// Read reads a regular file of at most limit bytes. Its errors are those of [Open].
func Read(root *os.Root, name string, limit int64) ([]byte, error) {
	f, info, err := Open(root, name, os.O_RDONLY)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if info.Size() > limit {
		return nil, tooLarge(limit)
	}
	content, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, WithoutPath(err)
	}
	if int64(len(content)) > limit {
		return nil, tooLarge(limit)
	}
	return content, nil
}

func tooLarge(limit int64) error {
	return fmt.Errorf("is larger than the %d KiB that such a file can have", limit>>10)
}

func check(info fs.FileInfo) error {
	switch mode := info.Mode(); {
	case mode.IsRegular():
		return nil
	case mode.IsDir():
		return fmt.Errorf("%w: it is a directory", ErrNotRegular)
	case mode&fs.ModeNamedPipe != 0:
		return fmt.Errorf("%w: it is a fifo", ErrNotRegular)
	case mode&fs.ModeSocket != 0:
		return fmt.Errorf("%w: it is a socket", ErrNotRegular)
	}
	return fmt.Errorf("%w: it is a device", ErrNotRegular)
}

// Reason converts an error about name to [ErrNotRegular] if a symlink caused it: one that leads out
// of the directory, to a missing file, or in a circle.
func Reason(root *os.Root, name string, err error) error {
	if errors.Is(err, ErrNotRegular) {
		return err
	}
	parts := strings.Split(path.Clean(name), "/")
	for i := range parts {
		at := strings.Join(parts[:i+1], "/")
		info, statErr := root.Lstat(at)
		if statErr != nil {
			break
		}
		if info.Mode()&fs.ModeSymlink == 0 {
			continue
		}
		if at == path.Clean(name) {
			return fmt.Errorf("%w: it is a %w", ErrNotRegular, ErrSymlink)
		}
		return fmt.Errorf("%w: %s is a %w", ErrNotRegular, at, ErrSymlink)
	}
	return WithoutPath(err)
}

// WithoutPath returns the cause of an error about a file, for a message that names the file itself.
func WithoutPath(err error) error {
	if pe, ok := errors.AsType[*fs.PathError](err); ok {
		return pe.Err
	}
	return err
}
