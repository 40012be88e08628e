package managedfile

import (
	"io/fs"
	"time"

	"github.com/berth-registry/berth/internal/managedfile/record"
	"github.com/berth-registry/berth/internal/nodefs"
)

// File is a desired file.
type File struct {
	// Path is absolute and slash-separated, as on the node (without the root of [nodefs.OpenRoot]).
	Path string
	// Body is the content without the marker line.
	Body []byte
	Mode fs.FileMode // permission bits
	// KeepOwner is true if the file keeps the user and the group of the regular file that it
	// replaces. Otherwise, and without root, they are those of this process.
	KeepOwner bool
	// Comment starts a comment line in the file's format, such as "#". If it is set, a marker
	// line is put before Body; if it is "", only the record says that Berth owns the file.
	Comment string
	// Unrecorded is set if the file is written by [Store.ApplyUnrecorded]: its marker line says
	// that the file is Berth's although the record has another content.
	Unrecorded bool
	// Needs lists paths of other files of the same [Plan] that must be in place before this
	// one is written. If one of them fails, this one is left unchanged.
	Needs []string
	// GracePeriod is how long the file stays after it is no longer wanted.
	GracePeriod time.Duration
}

// Content returns the content on disk: the marker line, if Comment is set, and Body.
func (f File) Content() []byte {
	if f.Comment == "" {
		return f.Body
	}
	return record.Marked(f.Comment, f.Body, f.Unrecorded)
}

// Owner says who owns a path.
type Owner string

// The owners.
const (
	Absent  Owner = ""        // no entry and no record
	Ours    Owner = "ours"    // as Berth wrote it
	Edited  Owner = "edited"  // Berth's, changed or removed by another program
	Foreign Owner = "foreign" // never Berth's
)

// Observed is the state of one path.
type Observed struct {
	Path    string
	Kind    nodefs.Kind
	Owner   Owner
	Mode    fs.FileMode // permission bits
	UID     int
	GID     int
	ModTime time.Time
	// Content is the whole file with its marker line. It is read for regular files that are
	// wanted or Berth's; nil otherwise.
	Content []byte
	Target  string // of a symlink
	// Pending reports that the record was written but the file was not, because of a crash.
	Pending bool
	// Unwanted is when the file was first observed as no longer wanted.
	Unwanted    time.Time
	GracePeriod time.Duration
	// Repairs are the times of the last repairs, newest last (at most 10).
	Repairs []time.Time
	// Theirs reports that a foreign file replaced Berth's: it has no marker line.
	Theirs bool
	// AccessOnly reports that only the mode or owner of Berth's file was changed.
	AccessOnly bool
	// Original is the kind of the entry before Berth, which is restored when Berth's file is
	// removed; None if there was none.
	Original nodefs.Kind
	// Needs are the paths that the file on disk needs, according to the record.
	Needs []string
	// Problem is the reason why the path can be neither written nor taken over: "is a
	// directory", "larger than 4 MiB". It is independent of the owner.
	Problem string
}

// Snapshot is the observed state of one scope.
type Snapshot struct {
	Scope Scope
	Time  time.Time
	// Files holds every wanted, recorded or found path, in path order.
	Files []Observed
	// Dirs holds the directories directly below Scope.Dir.
	Dirs []ObservedDir
}

// ObservedDir is a directory directly below the scope's directory.
type ObservedDir struct {
	Name    string // base name
	Symlink bool   // it is a symlink and was not opened
	Entries []string
}

// Scope is an area of files of which one caller describes the complete desired state: Berth's other
// files in it are removed.
type Scope struct {
	// Name is stored in the record, so that scopes do not touch each other's files: "certs.d",
	// "kubelet".
	Name string
	// Dir, if set, is searched for Berth's files two levels deep (Dir/*/*); without it only
	// the record says which files are Berth's.
	Dir string
	// Adopt takes over foreign files: the original is kept, and Restore brings it back. Without
	// it a foreign file is a [Conflict].
	Adopt bool
	// GracePeriod returns the grace period of Berth's files whose record is lost.
	GracePeriod func(path string) time.Duration
}

// Action is the change planned for one path.
type Action string

// The actions.
const (
	Create      Action = "create"    // there is no entry
	Update      Action = "update"    // Berth's, with other content than wanted
	Repair      Action = "repair"    // Berth's, changed or removed by another program
	Adopt       Action = "adopt"     // foreign, taken over on request
	Remove      Action = "remove"    // Berth's, no longer wanted
	GracePeriod Action = "linger"    // Berth's, no longer wanted, in its grace period
	Forget      Action = "forget"    // not wanted, and missing or no longer Berth's: only the record is removed
	Conflict    Action = "conflict"  // foreign, or repaired too often: left alone
	Unchanged   Action = "unchanged" // as wanted
)

// Change is one step of a plan.
type Change struct {
	Action Action
	Path   string
	Before Observed
	// After is the wanted file; nil for Remove, Forget and GracePeriod.
	After *File
	// Reason explains the action for an operator, "" if the action alone is enough.
	Reason string
	// InPlace writes After over the bytes of Before, which needs no space on the file system.
	// Both must have the same length and mode. A reader may see a mix of old and new bytes; of
	// each run of bytes that differ, the first one is written before the others.
	InPlace bool
}

// Report is the result of Apply or Restore.
type Report struct {
	Changed   []Change // carried out
	Conflicts []Change // left alone: foreign, repaired too often, or replaced by a foreign file
	// Saved are the copies made by this call, one for each content. Restore lists every copy
	// that stays, so that operators can find it.
	Saved   []Saved
	Skipped []Change // changed in the meantime, or a needed file failed
}

// Saved is a copy of foreign content in the state directory.
type Saved struct {
	Path string // of the file on the node
	Copy string // path of the copy on the node
	Why  record.Why
}
