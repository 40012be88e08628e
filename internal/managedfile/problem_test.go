package managedfile

import (
	"errors"
	"io/fs"
	"testing"
)

// A message about a file names it once; another file is named.
func TestProblemOf(t *testing.T) {
	of := func(path string) error { return &fs.PathError{Op: "open", Path: path, Err: fs.ErrPermission} }
	for want, err := range map[string]error{
		"cannot be read: permission denied": of("/a"),
		"/b: permission denied":             of("/b"),
		"x":                                 errors.New("x"),
	} {
		if got := problemOf("/a", err); got != want {
			t.Errorf("%v: %q, want %q", err, got, want)
		}
	}
}
