package managedfile

import (
	"io/fs"
	"time"
)

// File is a file as a caller wants it.
type File struct {
	// Path is absolute and slash-separated, as a process on the node sees it
	// (without the root that [OpenRoot] was given).
	Path string
	// Body is the content without the marker line.
	Body []byte
	Mode fs.FileMode // permission bits
	// Comment introduces a comment line in the file's format, such as "#".
	// With it a marker line is put before Body; with "" the record alone
	// tells that the file is ours.
	Comment string
	// Needs lists paths of other files of the same [Plan] that must be in
	// place before this one is written; when one of them fails, this one is
	// left as it is.
	Needs []string
	// Linger is how long the file stays after it is no longer wanted.
	GracePeriod time.Duration
}

// Kind is what lies at a path.
type Kind string

// The kinds.
const (
	None    Kind = ""        // nothing there
	Regular Kind = "file"    // a regular file
	Symlink Kind = "symlink" // a symbolic link, never followed
	Dir     Kind = "dir"
	Other   Kind = "other" // a device, socket or fifo
)

// Owner says whose a path is.
type Owner string

// The owners.
const (
	Absent  Owner = ""        // nothing there and no record of ours
	Ours    Owner = "ours"    // as we wrote it
	Edited  Owner = "edited"  // ours, changed or removed by somebody
	Foreign Owner = "foreign" // never ours
)

// Observed is one path as it was found.
type Observed struct {
	Path    string
	Kind    Kind
	Owner   Owner
	Mode    fs.FileMode // permission bits
	UID     int
	GID     int
	ModTime time.Time
	// Content is the whole file, marker line included; read for regular
	// files that are wanted or ours, nil otherwise.
	Content []byte
	Target  string // of a symlink
	// Pending reports that the record was written but the file was not: a
	// crash came in between.
	Pending bool
	// Unwanted is when the file was first found to be no longer wanted.
	Unwanted    time.Time
	GracePeriod time.Duration
	// Repairs are the times of the last repairs, newest last (at most 10).
	Repairs []time.Time
	// Theirs reports that somebody put a thing of their own in the place of
	// our file: no line of it is our marker any more.
	Theirs bool
	// AccessOnly reports that of our file only mode or owner were changed.
	AccessOnly bool
	// Original is the kind of what was there before us and comes back when
	// our file goes; None if there was nothing.
	Original Kind
	// Needs are the paths that the file on disk needs, from the record.
	Needs []string
	// Problem says why the path can neither be written nor be taken over,
	// whoever owns it: "is a directory", "larger than 4 MiB".
	Problem string
}

// Snapshot is what was found in one scope.
type Snapshot struct {
	Scope Scope
	Time  time.Time
	// Files holds every wanted, recorded or found path, in path order.
	Files []Observed
	// Dirs holds the directories right below Scope.Dir.
	Dirs []ObservedDir
}

// ObservedDir is a directory right below the scope's.
type ObservedDir struct {
	Name    string // base name
	Symlink bool   // it is a symbolic link and was not entered
	Entries []string
}

// Scope is an area in which one caller says what is wanted, all of it:
// what is ours there and not wanted goes.
type Scope struct {
	// Name goes into the record, so that areas do not touch one another's
	// files: "certs.d", "kubelet".
	Name string
	// Dir, if set, is searched for files of ours two levels deep
	// (Dir/*/*); without it the record alone tells what is ours.
	Dir string
	// Adopt takes over foreign files: the original is kept and put back by
	// Restore. Otherwise a foreign file is a [Conflict].
	Adopt bool
	// Linger is assumed for files of ours whose record is lost.
	Linger func(path string) time.Duration
}

// Action is what is done with one path.
type Action string

// The actions.
const (
	Create      Action = "create"    // nothing is there
	Update      Action = "update"    // ours, the wanted content is another
	Repair      Action = "repair"    // ours, somebody changed or removed it
	Adopt       Action = "adopt"     // foreign, taken over on request
	Remove      Action = "remove"    // ours, no longer wanted
	GracePeriod Action = "linger"    // ours, no longer wanted, its time is not up
	Forget      Action = "forget"    // no longer wanted, and not ours any more or gone: only the record goes
	Conflict    Action = "conflict"  // foreign, or too many repairs: left alone
	Unchanged   Action = "unchanged" // as wanted
)

// Change is one step of a plan.
type Change struct {
	Action Action
	Path   string
	Before Observed
	// After is the wanted file; nil for Remove, Forget and Linger.
	After *File
	// Reason says why, for people, where the action alone does not.
	Reason string
	// InPlace writes After over the bytes of Before, which needs no space on
	// the file system. Both have the same length and mode. A reader may see
	// one part of them old and another new; of each run of bytes that differ
	// the first one is new before the others.
	InPlace bool
}

// Report tells what Apply or Restore did.
type Report struct {
	Changed   []Change // carried out
	Conflicts []Change // left alone: foreign, fought over, or somebody's own by now
	// Saved are the copies that were made now, each once a content. Restore
	// lists every copy that stays, so that people know where to look.
	Saved   []Saved
	Skipped []Change // changed under our hands or something it needs failed
}

// Saved is a copy of somebody's content under the state directory.
type Saved struct {
	Path string // of the file on the node
	Copy string // where the copy is, as the node sees it
	Why  Why
}

// Why says why a copy was made.
type Why string

// The reasons.
const (
	SavedEdit     Why = "edited"   // an edit of our file, or a former original
	SavedOriginal Why = "original" // comes back when our file goes
	SavedRecord   Why = "corrupt"  // state.json itself, which could not be read
)
