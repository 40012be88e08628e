package manifest

import (
	"errors"
	"fmt"
	"path/filepath"
)

// ErrNotFound says that a registry or a layout does not have a manifest or blob.
var ErrNotFound = errors.New("is not there")

// ErrContent says that content does not have its digest.
var ErrContent = errors.New("the content does not match its digest")

// DamagedError is a file of a layout that is missing or altered.
type DamagedError struct {
	Dir, File string // File is slash-separated, below Dir
	Err       error
}

func (e *DamagedError) Error() string {
	return fmt.Sprintf("%s: %v; copy the images to oci:%s again", filepath.Join(e.Dir, e.File), e.Err, e.Dir)
}

func (e *DamagedError) Unwrap() error { return e.Err }

// IsDamaged reports whether err is a [DamagedError]: a copy writes the file again.
func IsDamaged(err error) bool {
	_, ok := errors.AsType[*DamagedError](err)
	return ok
}
