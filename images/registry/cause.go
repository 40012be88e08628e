package registry

import (
	"errors"
	"syscall"

	"github.com/berth-registry/berth/images/manifest"
)

// Cause is the same text for errors of several images with one cause, so that it can be reported
// once: a refused login, a damaged directory, a full disk.
func Cause(err error) string {
	if err == nil {
		return ""
	}
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return "no space"
	}
	if e, ok := errors.AsType[*manifest.DamagedError](err); ok {
		return "damaged " + e.Of
	}
	e, ok := errors.AsType[*statusError](err)
	switch {
	case ok && e.isNoSpace():
		return "no space at " + e.registry
	case ok && e.isDenied():
		general := *e
		general.request = ""
		return general.Error()
	}
	return err.Error()
}
