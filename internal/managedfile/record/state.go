package record

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/berth-registry/berth/internal/nodefs"
)

// The file of the record, in the state directory.
const (
	StateFile = "state.json"
	// MaxState is the largest record in bytes; 10,000 files need about 4 MiB.
	MaxState = 256 << 20
)

const stateVersion = 1

// State is the record: which files Berth wrote, where, and what they replaced.
type State struct {
	Version int                  `json:"version"`
	Scopes  map[string][]string  `json:"scopes,omitempty"` // by name: its directories so far, newest last
	Files   map[string]*Entry    `json:"files,omitempty"`  // by path
	Dirs    map[string]*DirEntry `json:"dirs,omitempty"`   // by path

	// Found says how the record was obtained; it is not stored.
	Found Found `json:"-"`
}

// Found says how a record was obtained.
type Found string

// How a record was obtained: from its file, without one, or without one that can be used.
const (
	FoundRead    Found = "read"
	FoundAbsent  Found = "absent"
	FoundCorrupt Found = "corrupt"
)

// Entry is the record of one of Berth's files. After a crash between writing the record and the
// file, the file on disk is either Written or Next.
type Entry struct {
	Scope    string      `json:"scope"`
	Written  *Written    `json:"written,omitempty"` // nil: no write was finished
	Next     *Written    `json:"next,omitempty"`    // the intended content; nil once it is written
	Original *Original   `json:"original,omitempty"`
	Needs    []string    `json:"needs,omitempty"`
	Linger   Duration    `json:"linger,omitzero"`
	Unwanted time.Time   `json:"unwanted,omitzero"`
	Repairs  []time.Time `json:"repairs,omitempty"`
}

// Duration is stored in Go's notation: 10m0s.
type Duration time.Duration

// MarshalText returns Go's notation.
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// UnmarshalText parses Go's notation.
func (d *Duration) UnmarshalText(b []byte) error {
	v, err := time.ParseDuration(string(b))
	*d = Duration(v)
	return err
}

// Written describes a file as Berth wrote it.
type Written struct {
	SHA    string      `json:"sha256"` // of the whole content
	Mode   nodefs.Mode `json:"mode"`
	UID    int         `json:"uid"`
	GID    int         `json:"gid"`
	Marked bool        `json:"marked,omitempty"` // it starts with a marker line
}

// Original describes the entry at a path before Berth.
type Original struct {
	Kind   nodefs.Kind  `json:"kind"`
	SHA    string       `json:"sha256,omitempty"` // of a regular file's content
	Target string       `json:"target,omitempty"` // of a symlink
	Meta   nodefs.Meta  `json:"meta"`
	Copy   string       `json:"copy"`          // its name below saved/
	Dir    *nodefs.Meta `json:"dir,omitempty"` // the directory that contained it
}

// Matches reports whether e has the content of the original.
func (o *Original) Matches(e nodefs.Entry) bool {
	if o == nil || o.Kind != e.Kind {
		return false
	}
	if o.Kind == nodefs.Symlink {
		return o.Target == e.Target
	}
	return o.SHA == Hash(e.Content)
}

// DirEntry is the record of a directory that Berth created or removed.
type DirEntry struct {
	Scope string `json:"scope,omitempty"`
	// Created says that Berth created the directory that exists now.
	Created bool `json:"created,omitempty"`
	// Original is a directory that existed before and that Berth removed when it became empty.
	Original *nodefs.Meta `json:"original,omitempty"`
}

// New returns an empty record.
func New() *State {
	return &State{
		Version: stateVersion, Found: FoundAbsent,
		Scopes: map[string][]string{}, Files: map[string]*Entry{}, Dirs: map[string]*DirEntry{},
	}
}

// Encode returns the record as its file has it.
func (st *State) Encode() ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	err := enc.Encode(st)
	return b.Bytes(), err
}

// ErrNewerState means that a newer version of Berth wrote the record. Nothing was changed.
var ErrNewerState = errors.New("the record was written by a newer version of berth")

// ErrCorrupt reports a record that cannot be used; it is moved aside.
var ErrCorrupt = errors.New("not a record of berth")

// Decode decodes a record. Its errors are [ErrNewerState] and ErrCorrupt.
func Decode(b []byte) (*State, error) {
	var probe struct {
		Version int `json:"version"`
	}
	st := New()
	st.Version = 0
	if err := json.Unmarshal(b, st); err != nil {
		// A newer version may have other types in its fields.
		if json.Unmarshal(b, &probe) == nil && probe.Version > stateVersion {
			return nil, fmt.Errorf("version %d: %w", probe.Version, ErrNewerState)
		}
		return nil, fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	if st.Version > stateVersion {
		return nil, fmt.Errorf("version %d: %w", st.Version, ErrNewerState)
	}
	if st.Version < 1 {
		return nil, fmt.Errorf("%w: no version", ErrCorrupt)
	}
	st.Found = FoundRead
	return st, st.check()
}

// AddTop records a directory of a scope.
func (st *State) AddTop(scope, dir string) {
	if tops := st.Scopes[scope]; !slices.Contains(tops, dir) {
		st.Scopes[scope] = append(tops, dir)
	}
}

// Top returns the directory of a scope that is two levels above hostPath: dir, or one that the record
// has. It returns "" if there is none.
func (st *State) Top(scope, dir, hostPath string) string {
	up := path.Dir(path.Dir(hostPath))
	if up == dir || up != "/" && slices.Contains(st.Scopes[scope], up) {
		return up
	}
	return ""
}

// check refuses a record with names that Berth would never record.
func (st *State) check() error {
	if st.Scopes == nil || st.Files == nil || st.Dirs == nil { // null in the file
		return fmt.Errorf("%w: null", ErrCorrupt)
	}
	for p, r := range st.Files {
		if r == nil || nodefs.CheckPath(p) != nil {
			return fmt.Errorf("%w: file %q", ErrCorrupt, p)
		}
		if o := r.Original; o != nil && (o.Copy != path.Base(o.Copy) || strings.HasPrefix(o.Copy, ".")) {
			return fmt.Errorf("%w: copy %q", ErrCorrupt, o.Copy)
		}
	}
	for p, d := range st.Dirs {
		if d == nil || nodefs.CheckPath(p) != nil {
			return fmt.Errorf("%w: directory %q", ErrCorrupt, p)
		}
	}
	return nil
}

// Equal compares records; two nil records are equal.
func (r *Entry) Equal(o *Entry) bool {
	return r == nil && o == nil || r != nil && o != nil && reflect.DeepEqual(*r, *o)
}

// Below reports whether the record has files below a directory.
func (st *State) Below(p string) bool {
	for f := range st.Files {
		if strings.HasPrefix(f, p+"/") {
			return true
		}
	}
	return false
}

// Empty reports whether none of Berth's files is left on the node.
func (st *State) Empty() bool {
	for _, d := range st.Dirs {
		if d.Scope != "" {
			return false
		}
	}
	return len(st.Files) == 0
}

// Is reports whether w has the given hash; a nil w has none.
func (w *Written) Is(sum string) bool { return w != nil && w.SHA == sum }

// Access returns mode and owner.
func (w *Written) Access() nodefs.Meta { return nodefs.Meta{Mode: w.Mode, UID: w.UID, GID: w.GID} }

// Hash returns the SHA-256 of a content as the record and the marker have it.
func Hash(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}
