package managedfile

import (
	"errors"
	"fmt"
	"io/fs"
)

// What callers decide by.
var (
	// ErrLocked is returned when another process holds a lock file.
	ErrLocked = errors.New("locked by another process")
	// ErrNewerState is returned when the record was written by a version of
	// Berth that this one does not understand. Nothing was changed.
	ErrNewerState = errors.New("the record was written by a newer version of berth")
)

// FileError is what went wrong with one file. The others went on.
type FileError struct {
	Path string // as a process on the node sees it
	Op   string // what was being done: "write", "sync", "rename"
	Err  error
	Note string // what state the file is in now, if that is worth telling
}

// Error reads like "/etc/x: write: no space left on device (the old file is
// unchanged)".
func (e *FileError) Error() string {
	s := fmt.Sprintf("%s: %s: %v", e.Path, e.Op, e.Err)
	if e.Note != "" {
		s += " (" + e.Note + ")"
	}
	return s
}

// Unwrap gives the cause, mostly a syscall error.
func (e *FileError) Unwrap() error { return e.Err }

// aboutFile gives err as one about path: what failed may have been a step on
// a temporary file, whose name tells people nothing.
func aboutFile(path, op, note string, err error) *FileError {
	e := &FileError{Path: path, Op: op, Err: err, Note: note}
	var inner *FileError
	if errors.As(err, &inner) {
		e.Op, e.Err = inner.Op, inner.Err
		return e
	}
	var pe *fs.PathError
	for first := true; errors.As(e.Err, &pe); first = false {
		if first {
			e.Op = pe.Op
		}
		e.Err = pe.Err
	}
	return e
}
