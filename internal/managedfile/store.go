package managedfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"time"

	"github.com/berth-registry/berth/internal/nodefs"
	"github.com/berth-registry/berth/internal/safedir"
)

// maxForeign is the largest file that is read or copied, in bytes.
const maxForeign = 4 << 20

// Store holds the record of Berth's files and the copies of foreign ones. It is not safe for
// concurrent use; processes take turns with [LockFile].
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

// WithClock replaces the clock.
func WithClock(now func() time.Time) Option { return func(s *Store) { s.now = now } }

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

// archive is the open state directory.
type archive struct {
	s          *Store
	top, saved *nodefs.Dir
}

// archive opens the state directory and creates it if it is missing; the created directories are
// added to st.
func (s *Store) archive(st *state) (*archive, error) {
	missing, err := s.root.Missing(path.Join(s.stateDir, savedDir))
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
			st.Dirs[p] = &dirRecord{Created: true}
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
	saved, err := top.Open(savedDir)
	if err != nil {
		top.Close()
		return nil, err
	}
	k := &archive{s: s, top: top, saved: saved}
	for _, d := range []*nodefs.Dir{top, saved} {
		if err := removeTempFiles(d); err != nil {
			k.close()
			return nil, err
		}
	}
	return k, nil
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

func (k *archive) close() {
	k.saved.Close()
	k.top.Close()
}

// replace writes a file of the store, completely or not at all.
func (k *archive) replace(d *nodefs.Dir, name string, content []byte) error {
	tmp := tempName(tempFile, "")
	err := d.Make(tmp, nodefs.Source{Kind: nodefs.Regular, Content: content, Meta: nodefs.Meta{Mode: 0o600, UID: k.s.uid, GID: k.s.gid}})
	if err == nil {
		err = d.Rename(tmp, d, name, false)
	}
	if err != nil {
		return errors.Join(err, ignoreAbsent(d.Unlink(tmp)))
	}
	return nil
}

// write writes the record.
func (k *archive) write(st *state) error {
	b, err := st.encode()
	if err != nil {
		return err
	}
	if err := k.replace(k.top, stateFile, b); err != nil {
		return fileError(k.top.Join(stateFile), "write", "", err)
	}
	return k.top.Sync()
}

// setAside renames a record that cannot be read.
func (k *archive) setAside() (Saved, error) {
	name := stateFile + ".corrupt-" + k.s.now().UTC().Format("20060102T150405.000000000Z")
	if err := k.top.Rename(stateFile, k.top, name, true); err != nil {
		return Saved{}, err
	}
	return Saved{Path: k.top.Join(stateFile), Copy: k.top.Join(name), Why: SavedRecord}, nil
}

// removeTempFiles removes temporary files that a killed run left in a directory.
func removeTempFiles(d *nodefs.Dir) error {
	entries, err := d.List()
	if err != nil {
		return err
	}
	for _, e := range entries {
		if kind, _ := parseTemp(e.Name()); kind == tempFile && !e.IsDir() {
			if err := ignoreAbsent(d.Unlink(e.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}

func ignoreAbsent(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
