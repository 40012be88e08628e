package managedfile

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/berth-registry/berth/internal/nodefs"
)

const (
	stateFile    = "state.json"
	stateVersion = 1
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

// addTop records a directory of a scope. It reports whether the directory is new.
func (st *state) addTop(scope Scope) bool {
	tops := st.Scopes[scope.Name]
	if slices.Contains(tops, scope.Dir) {
		return false
	}
	st.Scopes[scope.Name] = append(tops, scope.Dir)
	return true
}

// top returns the present or former directory of the scope that is two levels above hostPath, "" if
// there is none.
func (st *state) top(scope Scope, hostPath string) string {
	up := path.Dir(path.Dir(hostPath))
	if up == scope.Dir || up != "/" && slices.Contains(st.Scopes[scope.Name], up) {
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

// cachedState avoids reading the record again while its file is unchanged.
type cachedState struct {
	id      nodefs.FileID
	modTime time.Time
	size    int64
	st      *state
}

// state returns the record for reading. The next call of [Store.load] takes it over.
func (s *Store) state() (*state, error) {
	st, key, err := s.read()
	if err != nil {
		return nil, err
	}
	key.st = st
	s.cache = key
	return st, nil
}

// load returns the record for changing, and the value to cache if it stays unchanged.
func (s *Store) load() (*state, cachedState, error) {
	st, key, err := s.read()
	key.st = st
	s.cache = cachedState{}
	return st, key, err
}

// read reads the record, or recovers what is known without it. It writes nothing.
func (s *Store) read() (*state, cachedState, error) {
	var key cachedState
	d, err := s.root.OpenDir(s.stateDir, s.step)
	if errors.Is(err, fs.ErrNotExist) {
		return newState(), key, nil
	}
	if err != nil {
		return nil, key, err
	}
	defer d.Close()
	if err := s.trust(d); err != nil {
		return nil, key, err
	}
	e, err := d.Lstat(stateFile)
	if err != nil {
		return nil, key, err
	}
	key = cachedState{id: e.ID, modTime: e.Meta.ModTime, size: e.Size}
	switch {
	case e.Kind == nodefs.None:
		st := newState()
		return st, key, s.recoverOriginals(d, st)
	case e.Kind != nodefs.Regular:
		return nil, key, fmt.Errorf("%s: not a regular file", d.Join(stateFile))
	case s.cache.st != nil && s.cache.id == key.id && s.cache.modTime.Equal(key.modTime) && s.cache.size == key.size:
		return s.cache.st, key, nil
	}
	if e, err = d.Read(stateFile, maxState); err != nil {
		return nil, key, err
	}
	st, err := decodeState(e.Content)
	if errors.Is(err, errCorrupt) {
		st = newState()
		st.found = stateCorrupt
		return st, cachedState{}, s.recoverOriginals(d, st)
	}
	if err != nil {
		return nil, key, fmt.Errorf("%s: %w", d.Join(stateFile), err)
	}
	return st, key, nil
}

// maxState is the largest record in bytes; 10,000 files need about 4 MiB.
const maxState = 256 << 20
