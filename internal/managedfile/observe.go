package managedfile

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/berth-registry/berth/internal/managedfile/record"
	"github.com/berth-registry/berth/internal/nodefs"
)

// Observe reads the state of a scope: every path that is wanted, recorded or, with [Scope.Dir],
// found. It writes nothing. An error means that the scope cannot be read or that wanted is invalid;
// a single path that cannot be read has an [Observed.Problem].
func (s *Store) Observe(scope Scope, wanted []File) (Snapshot, error) {
	want, err := checkWanted(scope, wanted)
	if err != nil {
		return Snapshot{}, err
	}
	st, err := s.state()
	if err != nil {
		return Snapshot{}, err
	}
	return s.observe(scope, want, st)
}

func (s *Store) observe(scope Scope, want map[string]bool, st *record.State) (Snapshot, error) {
	o := &observer{
		s: s, scope: scope, st: st, want: want,
		snap: Snapshot{Scope: scope, Time: s.now()},
		tops: map[string]*parent{},
		seen: make(map[string]bool, len(want)),
	}
	s.clean[scope.Name] = false
	if err := o.run(); err != nil {
		return Snapshot{}, err
	}
	s.clean[scope.Name] = !o.temps
	return o.snap, nil
}

// checkWanted refuses lists from which no plan can be made.
func checkWanted(scope Scope, wanted []File) (map[string]bool, error) {
	if scope.Name == "" {
		return nil, errors.New("scope without a name")
	}
	if scope.Dir != "" {
		if err := nodefs.CheckPath(scope.Dir); err != nil {
			return nil, fmt.Errorf("scope %s: %w", scope.Name, err)
		}
	}
	want := make(map[string]bool, len(wanted))
	for _, f := range wanted {
		if err := checkFile(scope, f); err != nil {
			return nil, fmt.Errorf("scope %s: %w", scope.Name, err)
		}
		if want[f.Path] {
			return nil, fmt.Errorf("scope %s: %s is wanted twice", scope.Name, f.Path)
		}
		want[f.Path] = true
	}
	for _, f := range wanted {
		for _, n := range f.Needs {
			if !want[n] {
				return nil, fmt.Errorf("scope %s: %s needs %s, which is not wanted", scope.Name, f.Path, n)
			}
		}
	}
	return want, nil
}

func checkFile(scope Scope, f File) error {
	if err := nodefs.CheckPath(f.Path); err != nil {
		return err
	}
	if scope.Dir != "" && path.Dir(path.Dir(f.Path)) != scope.Dir {
		return fmt.Errorf("%s: not two levels below %s", f.Path, scope.Dir)
	}
	for _, name := range []string{path.Base(f.Path), path.Base(path.Dir(f.Path))} {
		if strings.HasPrefix(name, nodefs.TempPrefix) {
			return fmt.Errorf("%s: names that begin with %s are for temporary files", f.Path, nodefs.TempPrefix)
		}
	}
	if f.Mode.Perm() != f.Mode || f.Mode == 0 {
		return fmt.Errorf("%s: mode %v is not permission bits", f.Path, f.Mode)
	}
	if f.Comment != "" && (len(f.Comment) > record.MaxComment || strings.ContainsFunc(f.Comment, func(r rune) bool { return r <= ' ' })) {
		return fmt.Errorf("%s: comment sign %q", f.Path, f.Comment)
	}
	if len(f.Body) > record.MaxContent-record.MarkerSize {
		return fmt.Errorf("%s: larger than 4 MiB", f.Path)
	}
	return nil
}

type observer struct {
	s     *Store
	scope Scope
	st    *record.State
	want  map[string]bool
	seen  map[string]bool
	snap  Snapshot
	tops  map[string]*parent // directories of the scope that are open
	temps bool               // a killed run may have left temporary entries
}

func (o *observer) run() error {
	defer func() {
		for _, t := range o.tops {
			t.close()
		}
	}()
	if o.scope.Dir != "" {
		if err := o.tree(); err != nil {
			return err
		}
	}
	o.single()
	slices.SortFunc(o.snap.Files, func(a, b Observed) int { return strings.Compare(a.Path, b.Path) })
	return nil
}

// tree observes the two levels below the scope's directory.
func (o *observer) tree() error {
	in := o.open(o.scope.Dir)
	if in.d == nil {
		return in.err
	}
	entries, err := in.d.List()
	if err != nil {
		return err
	}
	for _, e := range entries {
		if kind, _ := nodefs.ParseTemp(e.Name()); kind != "" {
			o.temps = true
			continue
		}
		switch {
		case e.IsDir():
			o.host(in.d, e.Name())
		case e.Type() == fs.ModeSymlink:
			o.snap.Dirs = append(o.snap.Dirs, ObservedDir{Name: e.Name(), Symlink: true})
		}
	}
	return nil
}

// host observes one directory directly below the scope's directory.
func (o *observer) host(top *nodefs.Dir, name string) {
	seen := ObservedDir{Name: name}
	d, err := top.Open(name)
	if err == nil {
		defer d.Close()
		var entries []fs.DirEntry
		if entries, err = d.List(); err == nil {
			for _, e := range entries {
				if kind, _ := nodefs.ParseTemp(e.Name()); kind != "" {
					o.temps = true
					continue
				}
				seen.Entries = append(seen.Entries, e.Name())
				o.file(d, e)
			}
		}
	}
	o.snap.Dirs = append(o.snap.Dirs, seen)
	// If the directory cannot be read, [observer.single] reports it for each file.
}

// file observes one file of a host's directory.
func (o *observer) file(d *nodefs.Dir, e fs.DirEntry) {
	p := d.Join(e.Name())
	rec := o.st.Files[p]
	if rec != nil && rec.Scope != o.scope.Name {
		rec = nil // another scope owns it; a marker must not change that
		if !o.want[p] {
			return
		}
	}
	limit := int64(record.MaxContent)
	if rec == nil && !o.want[p] {
		if e.Type() != 0 {
			o.add(p, nil, nodefs.Entry{Kind: nodefs.KindOf(e.Type())}, nil)
			return
		}
		limit = record.MarkerSize
	}
	var found nodefs.Entry
	var err error
	if e.Type() == 0 {
		found, err = d.Read(e.Name(), limit)
	} else {
		found, err = d.Look(e.Name(), limit)
	}
	if err == nil && limit == record.MarkerSize && record.StartsWithMarker(found.Content) {
		found, err = d.Look(e.Name(), record.MaxContent)
	}
	o.add(p, rec, found, err)
}

// single observes the wanted and recorded paths that tree did not find.
func (o *observer) single() {
	parents := map[string]*parent{}
	defer func() {
		for _, p := range parents {
			p.close() // closes those of o.tops too; closing twice is harmless
		}
	}()
	for p := range o.want {
		o.one(p, parents)
	}
	for p, rec := range o.st.Files {
		if rec.Scope == o.scope.Name {
			o.one(p, parents)
		}
	}
}

func (o *observer) one(p string, parents map[string]*parent) {
	if o.seen[p] {
		return
	}
	top := o.st.Top(o.scope.Name, o.scope.Dir, p)
	if top != o.scope.Dir || top == "" {
		o.temps = true // its directory was not searched
	}
	in := parents[path.Dir(p)]
	if in == nil {
		in = o.parent(path.Dir(p), top)
		parents[path.Dir(p)] = in
	}
	rec := o.st.Files[p]
	if rec != nil && rec.Scope != o.scope.Name {
		rec = nil
	}
	if in.d == nil {
		o.add(p, rec, nodefs.Entry{}, in.err)
		o.snap.Files[len(o.snap.Files)-1].Theirs = in.theirs && rec != nil
		return
	}
	found, err := in.d.Look(path.Base(p), record.MaxContent)
	o.add(p, rec, found, err)
}

// parent is the directory of a path, or the reason why it cannot be opened.
type parent struct {
	d      *nodefs.Dir
	err    error // nil with a nil d: it is missing
	theirs bool  // a foreign entry replaced it
}

func (p *parent) close() {
	if p.d != nil {
		p.d.Close()
	}
}

// open opens a directory, or returns the open one. Symlinks are followed below the root.
func (o *observer) open(hostPath string) *parent {
	if in := o.tops[hostPath]; in != nil {
		return in
	}
	d, err := o.s.root.OpenDir(hostPath, nil)
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	in := &parent{d: d, err: err, theirs: errors.Is(err, unix.ENOTDIR)}
	o.tops[hostPath] = in
	return in
}

// parent opens the directory of a path. Below a scope's directory symlinks are not followed.
func (o *observer) parent(hostPath, top string) *parent {
	if top == "" {
		return o.open(hostPath)
	}
	in := o.open(top)
	if in.d == nil {
		return in
	}
	e, err := in.d.Lstat(path.Base(hostPath))
	if err != nil || e.Kind == nodefs.None {
		return &parent{err: err}
	}
	if e.Kind != nodefs.Directory {
		return &parent{theirs: true, err: fmt.Errorf("%s is %s, not a directory", hostPath, e.Kind.Words())}
	}
	d, err := in.d.Open(path.Base(hostPath))
	return &parent{d: d, err: err}
}

// add adds one path to the snapshot.
func (o *observer) add(p string, rec *record.Entry, e nodefs.Entry, err error) {
	o.seen[p] = true
	v := classify(rec, e)
	if err != nil { // only the record is known
		v = classification{owner: Foreign}
		if rec != nil {
			v.owner = Edited
		}
	}
	ob := Observed{
		Path: p, Kind: e.Kind, Owner: v.owner, Pending: v.pending, Theirs: v.theirs, AccessOnly: v.access,
		Mode: e.Meta.Mode.FileMode(), UID: e.Meta.UID, GID: e.Meta.GID, ModTime: e.Meta.ModTime,
		Target: e.Target,
	}
	if rec != nil || o.want[p] || v.owner == Ours || v.owner == Edited {
		ob.Content = e.Content
	}
	if rec != nil {
		ob.Unwanted, ob.Repairs, ob.Needs = rec.Unwanted, rec.Repairs, rec.Needs
		ob.GracePeriod = time.Duration(rec.Linger)
		if rec.Original != nil {
			ob.Original = rec.Original.Kind
		}
	}
	if (rec == nil || rec.Written == nil && rec.Next == nil) && o.scope.GracePeriod != nil && v.owner != Foreign {
		ob.GracePeriod = o.scope.GracePeriod(p) // the record has no grace period
	}
	other := o.st.Files[p]
	switch {
	case err != nil:
		ob.Problem = problemOf(p, err)
		ob.Content = nil
	case other != nil && other.Scope != o.scope.Name:
		ob.Owner, ob.Problem = Foreign, fmt.Sprintf("belongs to %q, another area of berth", other.Scope)
	case e.Kind == nodefs.Directory || e.Kind == nodefs.Other:
		ob.Problem = "is " + e.Kind.Words() + ", not a file"
	case len(e.Content) > record.MaxContent:
		ob.Problem = "larger than 4 MiB, too large to keep a copy of"
		ob.Content = nil
	}
	o.snap.Files = append(o.snap.Files, ob)
}

// problemOf removes from err the path that a message about p already contains.
func problemOf(p string, err error) string {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		if pe.Path == p {
			return "cannot be read: " + pe.Err.Error()
		}
		return fmt.Sprintf("%s: %v", pe.Path, pe.Err)
	}
	return err.Error()
}
