package manifest

import (
	"errors"
	"fmt"
)

// ErrNotFound says that a registry or a layout does not have a manifest or blob.
var ErrNotFound = errors.New("is not there")

// ErrContent says that content does not have its digest.
var ErrContent = errors.New("the content does not match its digest")

// DamagedError is a file of a layout that is missing or altered.
type DamagedError struct {
	Of     string // the layout: the same for all of its files
	File   string // with its path
	Remedy string
	Err    error
}

func (e *DamagedError) Error() string { return fmt.Sprintf("%s: %v; %s", e.File, e.Err, e.Remedy) }

func (e *DamagedError) Unwrap() error { return e.Err }

// IsDamaged reports whether err is a [DamagedError]: a copy writes the file again.
func IsDamaged(err error) bool {
	_, ok := errors.AsType[*DamagedError](err)
	return ok
}

// NeededError is content that a bundle leaves out, because its base has it. The text is the same for
// all content of the bundle.
type NeededError struct {
	Bundle, Base string
	// Repository is one of the base that has the content, with its registry.
	Repository string
}

func (e *NeededError) Error() string {
	return fmt.Sprintf("is not completely in %s, which needs %s; copy that to the target first", e.Bundle, e.Base)
}

// IsNeeded reports whether err is a [NeededError].
func IsNeeded(err error) bool {
	_, ok := errors.AsType[*NeededError](err)
	return ok
}
