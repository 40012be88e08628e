package managedfile

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

const (
	stateFile    = "state.json"
	stateVersion = 1
	// maxState is the largest record in bytes; 10,000 files need about 4 MiB.
	maxState = 256 << 20
)

// state is the record: which files Berth wrote, where, and what they replaced.
type state struct {
	Version int                   `json:"version"`
	Scopes  map[string][]string   `json:"scopes,omitempty"` // by name: its directories so far, newest last
	Files   map[string]*record    `json:"files,omitempty"`  // by path
	Dirs    map[string]*dirRecord `json:"dirs,omitempty"`   // by path

	// found says how the record was obtained; it is not stored.
	found stateFound
}

type stateFound string

const (
	stateRead    stateFound = "read"
	stateAbsent  stateFound = "absent"
	stateCorrupt stateFound = "corrupt"
)

// record is the record of one of Berth's files. After a crash between writing the record and the
// file, the file on disk is either Written or Next.
type record struct {
	Scope    string      `json:"scope"`
	Written  *written    `json:"written,omitempty"` // nil: no write was finished
	Next     *written    `json:"next,omitempty"`    // the intended content; nil once it is written
	Original *original   `json:"original,omitempty"`
	Needs    []string    `json:"needs,omitempty"`
	Linger   duration    `json:"linger,omitzero"`
	Unwanted time.Time   `json:"unwanted,omitzero"`
	Repairs  []time.Time `json:"repairs,omitempty"`
}

// duration is stored in Go's notation: 10m0s.
type duration time.Duration

// MarshalText returns Go's notation.
func (d duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// UnmarshalText parses Go's notation.
func (d *duration) UnmarshalText(b []byte) error {
	v, err := time.ParseDuration(string(b))
	*d = duration(v)
	return err
}

// written describes a file as Berth wrote it.
type written struct {
	SHA    string      `json:"sha256"` // of the whole content
	Mode   nodefs.Mode `json:"mode"`
	UID    int         `json:"uid"`
	GID    int         `json:"gid"`
	Marked bool        `json:"marked,omitempty"` // it starts with a marker line
}

// original describes the entry at a path before Berth.
type original struct {
	Kind   nodefs.Kind  `json:"kind"`
	SHA    string       `json:"sha256,omitempty"` // of a regular file's content
	Target string       `json:"target,omitempty"` // of a symlink
	Meta   nodefs.Meta  `json:"meta"`
	Copy   string       `json:"copy"`          // its name below saved/
	Dir    *nodefs.Meta `json:"dir,omitempty"` // the directory that contained it
}

// matches reports whether e has the content of the original.
func (o *original) matches(e nodefs.Entry) bool {
	if o == nil || o.Kind != e.Kind {
		return false
	}
	if o.Kind == nodefs.Symlink {
		return o.Target == e.Target
	}
	return o.SHA == hash(e.Content)
}

// dirRecord is the record of a directory that Berth created or removed.
type dirRecord struct {
	Scope string `json:"scope,omitempty"`
	// Created says that Berth created the directory that exists now.
	Created bool `json:"created,omitempty"`
	// Original is a directory that existed before and that Berth removed when it became empty.
	Original *nodefs.Meta `json:"original,omitempty"`
}

func newState() *state {
	return &state{
		Version: stateVersion, found: stateAbsent,
		Scopes: map[string][]string{}, Files: map[string]*record{}, Dirs: map[string]*dirRecord{},
	}
}

func (st *state) encode() ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	err := enc.Encode(st)
	return b.Bytes(), err
}

// ErrNewerState means that a newer version of Berth wrote the record. Nothing was changed.
var ErrNewerState = errors.New("the record was written by a newer version of berth")

// errCorrupt reports a record that cannot be used; it is moved aside.
var errCorrupt = errors.New("not a record of berth")

// decodeState decodes a record. Its errors are [ErrNewerState] and errCorrupt.
func decodeState(b []byte) (*state, error) {
	var probe struct {
		Version int `json:"version"`
	}
	st := newState()
	st.Version = 0
	if err := json.Unmarshal(b, st); err != nil {
		// A newer version may have other types in its fields.
		if json.Unmarshal(b, &probe) == nil && probe.Version > stateVersion {
			return nil, fmt.Errorf("version %d: %w", probe.Version, ErrNewerState)
		}
		return nil, fmt.Errorf("%w: %w", errCorrupt, err)
	}
	if st.Version > stateVersion {
		return nil, fmt.Errorf("version %d: %w", st.Version, ErrNewerState)
	}
	if st.Version < 1 {
		return nil, fmt.Errorf("%w: no version", errCorrupt)
	}
	st.found = stateRead
	return st, st.check()
}

// addTop records a directory of a scope.
func (st *state) addTop(scope, dir string) {
	if tops := st.Scopes[scope]; !slices.Contains(tops, dir) {
		st.Scopes[scope] = append(tops, dir)
	}
}

// top returns the directory of a scope that is two levels above hostPath: dir, or one that the record
// has. It returns "" if there is none.
func (st *state) top(scope, dir, hostPath string) string {
	up := path.Dir(path.Dir(hostPath))
	if up == dir || up != "/" && slices.Contains(st.Scopes[scope], up) {
		return up
	}
	return ""
}

// check refuses a record with names that Berth would never record.
func (st *state) check() error {
	if st.Scopes == nil || st.Files == nil || st.Dirs == nil { // null in the file
		return fmt.Errorf("%w: null", errCorrupt)
	}
	for p, r := range st.Files {
		if r == nil || nodefs.CheckPath(p) != nil {
			return fmt.Errorf("%w: file %q", errCorrupt, p)
		}
		if o := r.Original; o != nil && (o.Copy != path.Base(o.Copy) || strings.HasPrefix(o.Copy, ".")) {
			return fmt.Errorf("%w: copy %q", errCorrupt, o.Copy)
		}
	}
	for p, d := range st.Dirs {
		if d == nil || nodefs.CheckPath(p) != nil {
			return fmt.Errorf("%w: directory %q", errCorrupt, p)
		}
	}
	return nil
}

// equal compares records; two nil records are equal.
func (r *record) equal(o *record) bool {
	return r == nil && o == nil || r != nil && o != nil && reflect.DeepEqual(*r, *o)
}

// below reports whether the record has files below a directory.
func (st *state) below(p string) bool {
	for f := range st.Files {
		if strings.HasPrefix(f, p+"/") {
			return true
		}
	}
	return false
}

// empty reports whether none of Berth's files is left on the node.
func (st *state) empty() bool {
	for _, d := range st.Dirs {
		if d.Scope != "" {
			return false
		}
	}
	return len(st.Files) == 0
}

// is reports whether w has the given hash; a nil w has none.
func (w *written) is(sum string) bool { return w != nil && w.SHA == sum }

func (w *written) access() nodefs.Meta { return nodefs.Meta{Mode: w.Mode, UID: w.UID, GID: w.GID} }

// hash returns the SHA-256 of a content as the record and the marker have it.
func hash(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}
