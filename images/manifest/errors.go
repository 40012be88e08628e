package manifest

import (
	"errors"
	"fmt"
	"path/filepath"
)

// IsDamaged recognises a file of a layout that is missing or altered: it is written again.
func IsDamaged(err error) bool {
	_, ok := errors.AsType[*DamagedError](err)
	return ok
}

// ErrNotFound says that a registry or a layout does not have something.
var ErrNotFound = errors.New("is not there")

// DamagedError is a file of a layout that is missing, or not what it should be.
type DamagedError struct {
	Dir, File string // file is slash-separated, below dir
	Err       error
}

func (e *DamagedError) Error() string {
	return fmt.Sprintf("%s: %v; copy the images to oci:%s again", filepath.Join(e.Dir, e.File), e.Err, e.Dir)
}

func (e *DamagedError) Unwrap() error { return e.Err }

// ErrContent is content that is not what its digest says.
var ErrContent = errors.New("the content is not what its digest says")
