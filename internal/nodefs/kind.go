package nodefs

import "io/fs"

// Kind is the kind of entry at a path.
type Kind string

// The kinds of entries.
const (
	None      Kind = ""        // no entry
	Regular   Kind = "file"    // a regular file
	Symlink   Kind = "symlink" // never followed
	Directory Kind = "dir"
	Other     Kind = "other" // a device, socket or fifo
)

// Words names a kind in a message.
func (k Kind) Words() string {
	switch k {
	case Regular:
		return "a file"
	case Symlink:
		return "a symlink"
	case Directory:
		return "a directory"
	case Other:
		return "a device, socket or fifo"
	}
	return "nothing"
}

// KindOf returns the kind of a directory entry.
func KindOf(t fs.FileMode) Kind {
	switch t {
	case 0:
		return Regular
	case fs.ModeDir:
		return Directory
	case fs.ModeSymlink:
		return Symlink
	}
	return Other
}
