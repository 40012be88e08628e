package managedfile

import "github.com/berth-registry/berth/internal/nodefs"

// Names of package nodefs under which callers know them.
type (
	Root        = nodefs.Root
	Kind        = nodefs.Kind
	Step        = nodefs.Step
	Lock        = nodefs.Lock
	LockedError = nodefs.LockedError
)

// See package nodefs.
const (
	None      = nodefs.None
	Regular   = nodefs.Regular
	Symlink   = nodefs.Symlink
	Directory = nodefs.Directory
	Other     = nodefs.Other
)

// See package nodefs.
var (
	Temporary = nodefs.Temporary
	OpenRoot  = nodefs.OpenRoot
	LockFile  = nodefs.LockFile
	Locked    = nodefs.Locked
	ErrLocked = nodefs.ErrLocked
)
