package managedfile

import "io/fs"

// Kind is the kind of entry at a path.
type Kind string

// The kinds of entries.
const (
	None    Kind = ""        // no entry
	Regular Kind = "file"    // a regular file
	Symlink Kind = "symlink" // never followed
	Dir     Kind = "dir"
	Other   Kind = "other" // a device, socket or fifo
)

// words names a kind in a message.
func (k Kind) words() string {
	switch k {
	case Regular:
		return "a file"
	case Symlink:
		return "a symlink"
	case Dir:
		return "a directory"
	case Other:
		return "a device, socket or fifo"
	}
	return "nothing"
}

// kindOf returns the kind of a directory entry.
func kindOf(t fs.FileMode) Kind {
	switch t {
	case 0:
		return Regular
	case fs.ModeDir:
		return Dir
	case fs.ModeSymlink:
		return Symlink
	}
	return Other
}
