package managedfile

import (
	"errors"
	"fmt"
	"io/fs"
)

// FileError is the failure of one file. Work on the other files continued.
type FileError struct {
	Path string // on the node
	Op   string // the failed operation: "write", "sync", "rename"
	Err  error
	Note string // state of the file now, "" if the operation says it
}

// Error returns, for example, "/etc/x: write: no space left on device (the old file is unchanged)".
func (e *FileError) Error() string {
	s := fmt.Sprintf("%s: %s: %v", e.Path, e.Op, e.Err)
	if e.Note != "" {
		s += " (" + e.Note + ")"
	}
	return s
}

// Unwrap returns the cause, usually a syscall error.
func (e *FileError) Unwrap() error { return e.Err }

// fileError converts err to an error about path. The failed step may have been on a temporary file,
// whose name does not help an operator.
func fileError(path, op, note string, err error) *FileError {
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
