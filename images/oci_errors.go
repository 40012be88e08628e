package images

import (
	"errors"
	"fmt"
	"path/filepath"
)

// isLost recognises a file of a layout that is missing or altered: it is written again.
func isLost(err error) bool {
	_, ok := errors.AsType[*damagedError](err)
	return ok
}

// errNotThere says that a registry or a layout does not have something.
var errNotThere = errors.New("is not there")

// damagedError is a file of a layout that is missing, or not what it should be.
type damagedError struct {
	dir, file string // file is slash-separated, below dir
	err       error
}

func (e *damagedError) Error() string {
	return fmt.Sprintf("%s: %v; copy the images to oci:%s again", filepath.Join(e.dir, e.file), e.err, e.dir)
}

func (e *damagedError) Unwrap() error { return e.err }

// errContent is content that is not what its digest says.
var errContent = errors.New("the content is not what its digest says")
