package managedfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"time"

	"github.com/berth-registry/berth/internal/managedfile/record"
	"github.com/berth-registry/berth/internal/nodefs"
	"github.com/berth-registry/berth/internal/safedir"
)

// Store holds the record of Berth's files and the copies of foreign ones. It is not safe for
// concurrent use; processes take turns with [nodefs.LockFile].
type Store struct {
	root     *nodefs.Root
	stateDir string
	private  []string // files of WritePrivate that are removed with the record
	now      func() time.Time
	step     func(nodefs.Step) error
	uid, gid int // owner of the files that Berth writes
	cache    cachedState
	// clean holds the scopes in which the last Observe found nothing left by a killed run, so
	// that Apply need not search again.
	clean map[string]bool
}

// Option is an option of [Open].
type Option func(*Store)

// WithPrivate names files of [Store.WritePrivate] that [Store.Restore] removes if none of Berth's
// other files is left.
func WithPrivate(names ...string) Option { return func(s *Store) { s.private = names } }

// WithSteps calls hook before every change to the file system; the change fails with the hook's
// error. Changes are then made one after the other. It is for tests that stop or kill a write.
func WithSteps(hook func(nodefs.Step) error) Option { return func(s *Store) { s.step = hook } }

// Open gives access to the record in stateDir, a host path ([DefaultStateDir]). It neither reads
// nor writes: the first write creates the directory.
func Open(root *nodefs.Root, stateDir string, opts ...Option) (*Store, error) {
	if err := nodefs.CheckPath(stateDir); err != nil {
		return nil, fmt.Errorf("state directory: %w", err)
	}
	s := &Store{root: root, stateDir: stateDir, now: time.Now, uid: os.Geteuid(), gid: os.Getegid(), clean: map[string]bool{}}
	for _, o := range opts {
		o(s)
	}
	return s, nil
}

// archive opens the state directory and creates it if it is missing; the created directories are
// added to st.
func (s *Store) archive(st *record.State) (*record.Archive, error) {
	missing, err := s.root.Missing(path.Join(s.stateDir, record.SavedDir))
	if err != nil {
		return nil, err
	}
	for _, p := range missing {
		perm := nodefs.Mode(0o755)
		if p == s.stateDir || path.Dir(p) == s.stateDir {
			perm = 0o700
		}
		if err := s.root.MakeDir(p, nodefs.Meta{Mode: perm, UID: s.uid, GID: s.gid}, s.step); err != nil {
			return nil, err
		}
		if path.Dir(p) != s.stateDir {
			st.Dirs[p] = &record.DirEntry{Created: true}
		}
	}
	top, err := s.root.OpenDir(s.stateDir, s.step)
	if err != nil {
		return nil, err
	}
	if err := s.trust(top); err != nil {
		top.Close()
		return nil, err
	}
	k, err := record.OpenArchive(top, nodefs.Meta{Mode: 0o600, UID: s.uid, GID: s.gid}, s.now)
	if err != nil {
		top.Close()
	}
	return k, err
}

// trust refuses a state directory in which other users can replace the record and the copies, and
// so the files that a restore brings back.
func (s *Store) trust(d *nodefs.Dir) error {
	info, err := d.Stat()
	if err != nil {
		return err
	}
	return safedir.Check(s.root.Path(s.stateDir), info)
}

// cachedState avoids reading the record again while its file is unchanged.
type cachedState struct {
	id      nodefs.FileID
	modTime time.Time
	size    int64
	st      *record.State
}

// state returns the record for reading. The next call of [Store.load] takes it over.
func (s *Store) state() (*record.State, error) {
	st, key, err := s.read()
	if err != nil {
		return nil, err
	}
	key.st = st
	s.cache = key
	return st, nil
}

// load returns the record for changing, and the value to cache if it stays unchanged.
func (s *Store) load() (*record.State, cachedState, error) {
	st, key, err := s.read()
	key.st = st
	s.cache = cachedState{}
	return st, key, err
}

// read reads the record, or recovers what is known without it. It writes nothing.
func (s *Store) read() (*record.State, cachedState, error) {
	var key cachedState
	d, err := s.root.OpenDir(s.stateDir, s.step)
	if errors.Is(err, fs.ErrNotExist) {
		return record.New(), key, nil
	}
	if err != nil {
		return nil, key, err
	}
	defer d.Close()
	if err := s.trust(d); err != nil {
		return nil, key, err
	}
	e, err := d.Lstat(record.StateFile)
	if err != nil {
		return nil, key, err
	}
	key = cachedState{id: e.ID, modTime: e.Meta.ModTime, size: e.Size}
	switch {
	case e.Kind == nodefs.None:
		st := record.New()
		return st, key, record.RecoverOriginals(d, st)
	case e.Kind != nodefs.Regular:
		return nil, key, fmt.Errorf("%s: not a regular file", d.Join(record.StateFile))
	case s.cache.st != nil && s.cache.id == key.id && s.cache.modTime.Equal(key.modTime) && s.cache.size == key.size:
		return s.cache.st, key, nil
	}
	if e, err = d.Read(record.StateFile, record.MaxState); err != nil {
		return nil, key, err
	}
	st, err := record.Decode(e.Content)
	if errors.Is(err, record.ErrCorrupt) {
		st = record.New()
		st.Found = record.FoundCorrupt
		return st, cachedState{}, record.RecoverOriginals(d, st)
	}
	if err != nil {
		return nil, key, fmt.Errorf("%s: %w", d.Join(record.StateFile), err)
	}
	return st, key, nil
}
