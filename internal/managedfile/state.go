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
)

const (
	stateFile    = "state.json"
	stateVersion = 1
)

// state is the record: what we wrote, where, and what was there before.
type state struct {
	Version int                   `json:"version"`
	Scopes  map[string][]string   `json:"scopes,omitempty"` // name → the directories it had, newest last
	Files   map[string]*record    `json:"files,omitempty"`  // by path
	Dirs    map[string]*dirRecord `json:"dirs,omitempty"`   // by path

	// found tells how the record was come by; it is not kept.
	found stateFound
}

type stateFound string

const (
	stateRead    stateFound = "read"
	stateAbsent  stateFound = "absent"
	stateCorrupt stateFound = "corrupt"
)

// record is what is known of one file of ours. Written and Next say what may
// be on disk: a crash between the record and the file leaves either.
type record struct {
	Scope    string      `json:"scope"`
	Written  *written    `json:"written,omitempty"` // nil: nothing of ours was finished there
	Next     *written    `json:"next,omitempty"`    // the intent; nil once the file is written
	Original *original   `json:"original,omitempty"`
	Needs    []string    `json:"needs,omitempty"`
	Linger   duration    `json:"linger,omitzero"`
	Unwanted time.Time   `json:"unwanted,omitzero"`
	Repairs  []time.Time `json:"repairs,omitempty"`
}

// duration is written as Go writes it: 10m0s.
type duration time.Duration

// MarshalText gives Go's form.
func (d duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// UnmarshalText reads Go's form.
func (d *duration) UnmarshalText(b []byte) error {
	v, err := time.ParseDuration(string(b))
	*d = duration(v)
	return err
}

// written describes a file as we made it.
type written struct {
	SHA    string `json:"sha256"` // of the whole content
	Mode   mode   `json:"mode"`
	UID    int    `json:"uid"`
	GID    int    `json:"gid"`
	Marked bool   `json:"marked,omitempty"` // it begins with a marker line
}

// original is what was at a path before us.
type original struct {
	Kind   Kind   `json:"kind"`
	SHA    string `json:"sha256,omitempty"` // of a regular file's content
	Target string `json:"target,omitempty"` // of a link
	Meta   meta   `json:"meta"`
	Copy   string `json:"copy"`          // its name below saved/
	Dir    *meta  `json:"dir,omitempty"` // the directory it was in
}

// matches reports whether e has the content of the original.
func (o *original) matches(e entry) bool {
	if o == nil || o.Kind != e.kind {
		return false
	}
	if o.Kind == Symlink {
		return o.Target == e.target
	}
	return o.SHA == hash(e.content)
}

// dirRecord is what is known of a directory that we made or removed.
type dirRecord struct {
	Scope string `json:"scope,omitempty"`
	// Created: the directory that is there now was made by us.
	Created bool `json:"created,omitempty"`
	// Original is a directory that was there before and that we removed when
	// we left it empty.
	Original *meta `json:"original,omitempty"`
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

// errCorrupt is a record that cannot be used; it is set aside.
var errCorrupt = errors.New("not a record of berth")

// decodeState reads a record. Its errors are [ErrNewerState] and errCorrupt.
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

// addTop notes that a scope has, or had, a directory.
func (st *state) addTop(scope Scope) bool {
	tops := st.Scopes[scope.Name]
	if slices.Contains(tops, scope.Dir) {
		return false
	}
	st.Scopes[scope.Name] = append(tops, scope.Dir)
	return true
}

// top gives the directory, two levels above hostPath, which is or was that of
// the scope; "" for a path in none.
func (st *state) top(scope Scope, hostPath string) string {
	up := path.Dir(path.Dir(hostPath))
	if up == scope.Dir || up != "/" && slices.Contains(st.Scopes[scope.Name], up) {
		return up
	}
	return ""
}

// check refuses a record that names what no record of ours would name.
func (st *state) check() error {
	if st.Scopes == nil || st.Files == nil || st.Dirs == nil { // null in the file
		return fmt.Errorf("%w: null", errCorrupt)
	}
	for p, r := range st.Files {
		if r == nil || checkPath(p) != nil {
			return fmt.Errorf("%w: file %q", errCorrupt, p)
		}
		if o := r.Original; o != nil && (o.Copy != path.Base(o.Copy) || strings.HasPrefix(o.Copy, ".")) {
			return fmt.Errorf("%w: copy %q", errCorrupt, o.Copy)
		}
	}
	for p, d := range st.Dirs {
		if d == nil || checkPath(p) != nil {
			return fmt.Errorf("%w: directory %q", errCorrupt, p)
		}
	}
	return nil
}

// cachedState saves reading a record that nobody has replaced since.
type cachedState struct {
	id      fileID
	modTime time.Time
	size    int64
	st      *state
}

// state gives the record to read. The next call of [Store.load] takes it.
func (s *Store) state() (*state, error) {
	st, key, err := s.read()
	if err != nil {
		return nil, err
	}
	key.st = st
	s.cache = key
	return st, nil
}

// load gives the record to change, and what to cache if it was not changed.
func (s *Store) load() (*state, cachedState, error) {
	st, key, err := s.read()
	key.st = st
	s.cache = cachedState{}
	return st, key, err
}

// read reads the record, or what can be known without it. It writes nothing.
func (s *Store) read() (*state, cachedState, error) {
	var key cachedState
	d, err := s.root.openDir(s.stateDir, s.step)
	if errors.Is(err, fs.ErrNotExist) {
		return newState(), key, nil
	}
	if err != nil {
		return nil, key, err
	}
	defer d.close()
	if err := s.trust(d); err != nil {
		return nil, key, err
	}
	e, err := d.lstat(stateFile)
	if err != nil {
		return nil, key, err
	}
	key = cachedState{id: e.id, modTime: e.meta.ModTime, size: e.size}
	switch {
	case e.kind == None:
		st := newState()
		return st, key, s.recoverOriginals(d, st)
	case e.kind != Regular:
		return nil, key, fmt.Errorf("%s: not a regular file", d.join(stateFile))
	case s.cache.st != nil && s.cache.id == key.id && s.cache.modTime.Equal(key.modTime) && s.cache.size == key.size:
		return s.cache.st, key, nil
	}
	if e, err = d.read(stateFile, maxState); err != nil {
		return nil, key, err
	}
	st, err := decodeState(e.content)
	if errors.Is(err, errCorrupt) {
		st = newState()
		st.found = stateCorrupt
		return st, cachedState{}, s.recoverOriginals(d, st)
	}
	if err != nil {
		return nil, key, fmt.Errorf("%s: %w", d.join(stateFile), err)
	}
	return st, key, nil
}

// maxState bounds what is read as a record; 10,000 files need about 4 MiB.
const maxState = 256 << 20
