package managedfile

import (
	"context"
	"errors"
	"io/fs"
	"maps"
	"path"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/berth-registry/berth/internal/managedfile/record"
	"github.com/berth-registry/berth/internal/nodefs"
)

// Restore brings back the state before Berth in the scopes: originals with mode, owner and time,
// and directories; files that did not exist are removed at once, without a grace period. A foreign
// file that replaced Berth's is left alone and reported as a conflict; an edit of Berth's file is
// kept as a copy. Without scopes it restores every scope in the record, or in what is left of it. A
// scope that is given is also searched for files with Berth's marker.
//
// If none of Berth's files is left, the record is removed too. Copies of edits stay, and
// [Report.Saved] lists them. A second Restore finds nothing to do.
func (s *Store) Restore(ctx context.Context, scopes ...Scope) (Report, error) {
	st, _, err := s.load()
	if err != nil {
		return Report{}, err
	}
	if len(scopes) == 0 {
		scopes = scopesOf(st)
	}
	all := s.newRun(Scope{}, st)
	all.restore = true
	defer all.close()
	if err := all.begin(); err != nil {
		return all.report, err
	}
	for _, scope := range scopes {
		all.restoreScope(ctx, scope)
	}
	all.finish()
	return all.report, errors.Join(all.errs...)
}

// RestoreAll restores every scope in the record, and searches the scopes in also for files with
// Berth's marker.
func (s *Store) RestoreAll(ctx context.Context, also ...Scope) (Report, error) {
	st, _, err := s.load()
	if err != nil {
		return Report{}, err
	}
	scopes := scopesOf(st)
	for _, a := range also {
		known := slices.ContainsFunc(scopes, func(k Scope) bool { return k.Name == a.Name && k.Dir == a.Dir })
		if !known {
			scopes = append(scopes, a)
		}
	}
	return s.Restore(ctx, scopes...)
}

// restoreScope restores one scope, except for the record.
func (r *run) restoreScope(ctx context.Context, scope Scope) {
	one := r.s.newRun(scope, r.st)
	one.restore, one.archive = true, r.archive
	defer func() {
		r.archive, one.archive = one.archive, nil // both runs use one archive
		one.close()
	}()
	if _, err := checkWanted(scope, nil); err != nil {
		r.errs = append(r.errs, err)
		return
	}
	one.cleanUp()
	snap, err := r.s.observe(scope, nil, r.st)
	if err != nil {
		r.errs = append(r.errs, err)
		return
	}
	one.apply(ctx, planRestore(snap))
	one.restoreDirs()
	r.report.addRestored(one.report)
	r.errs = append(r.errs, one.errs...)
	r.drop = append(r.drop, one.drop...)
	r.demote = append(r.demote, one.demote...)
	r.dirty = r.dirty || one.dirty
}

// planRestore is [Plan] with nothing wanted and no grace periods.
func planRestore(snap Snapshot) []Change {
	changes := Plan(nil, snap)
	for i, c := range changes {
		if c.Action == GracePeriod {
			c.Before.GracePeriod = 0
			changes[i].Action, changes[i].Reason = planUnwanted(c.Before, snap.Time)
		}
	}
	return changes
}

// restoreDirs recreates directories, then removes those that did not exist before, inner ones
// first.
func (r *run) restoreDirs() {
	var paths []string
	for p, d := range r.st.Dirs {
		if d.Scope == r.scope.Name {
			paths = append(paths, p)
		}
	}
	slices.Sort(paths)
	for _, p := range paths {
		if d := r.st.Dirs[p]; d.Original != nil {
			r.note(p, r.restoreDir(p, *d.Original))
		}
	}
	for _, p := range slices.Backward(paths) {
		if d := r.st.Dirs[p]; d != nil && d.Original == nil {
			r.note(p, r.removeCreatedDir(p))
		}
	}
}

// removeCreatedDir removes a directory that Berth created, unless it is not empty.
func (r *run) removeCreatedDir(p string) error {
	there, err := r.there(p)
	if err != nil {
		return err
	}
	if there {
		parent, err := r.top(path.Dir(p))
		if err != nil {
			return err
		}
		switch err := parent.Rmdir(path.Base(p)); {
		case err == nil:
			if err := parent.Sync(); err != nil {
				return err
			}
		case !errors.Is(err, fs.ErrExist) && !errors.Is(err, unix.ENOTEMPTY):
			return err
		case r.st.Below(p):
			return nil // it is removed together with the files in it
		}
	}
	r.putDir(p, nil)
	return nil
}

// restoreDir recreates a directory that existed before Berth.
func (r *run) restoreDir(p string, m nodefs.Meta) error {
	parent, err := r.top(path.Dir(p))
	if errors.Is(err, fs.ErrNotExist) {
		r.putDir(p, nil) // another program removed the whole tree
		return nil
	}
	if err != nil {
		return err
	}
	name := path.Base(p)
	if e, err := parent.Lstat(name); err != nil || e.Kind != nodefs.None {
		if err == nil {
			r.putDir(p, nil)
		}
		return err
	}
	tmp := nodefs.TempName(nodefs.TempNew, "")
	if err := parent.Mkdir(tmp, 0o700); err != nil {
		return err
	}
	d, err := parent.Open(tmp)
	if err == nil {
		err = d.SetMeta(m)
		d.Close()
	}
	if err == nil {
		err = parent.SetTimes(tmp, m.ModTime)
	}
	if err == nil {
		err = parent.Rename(tmp, parent, name, true)
	}
	if err != nil {
		return errors.Join(err, nodefs.IgnoreAbsent(parent.Rmdir(tmp)))
	}
	r.putDir(p, nil)
	return parent.Sync()
}

// finish updates the record after the restore, or removes it if nothing is left, and reports the
// copies that stay.
func (r *run) finish() {
	if r.archive == nil {
		// Without a record and without copies there is nothing to report, and no reason to create
		// a directory.
		absent, err := r.s.root.Missing(path.Join(r.s.stateDir, record.SavedDir))
		if err != nil || len(absent) > 0 && r.st.Found != record.FoundRead {
			return
		}
		if err := r.openArchive(); err != nil {
			r.errs = append(r.errs, err)
			return
		}
	}
	if err := r.finishRecord(); err != nil {
		r.errs = append(r.errs, err)
		return // the copies may still be needed
	}
	r.tidy()
	all, err := r.archive.All()
	if err != nil {
		r.errs = append(r.errs, err)
		return
	}
	for _, d := range all {
		r.report.Saved = append(r.report.Saved, Saved{Path: d.Path, Copy: r.archive.Copies.Join(d.Copy), Why: d.Why})
	}
	if !r.st.Empty() || len(r.errs) > 0 {
		return
	}
	for _, name := range r.s.private {
		if err := nodefs.IgnoreAbsent(r.archive.Top.Unlink(name)); err != nil {
			r.errs = append(r.errs, fileError(r.archive.Top.Join(name), "remove", "it still exists", err))
		}
	}
	r.removeStateDirs()
}

func (r *run) finishRecord() error {
	if !r.st.Empty() {
		return r.save()
	}
	err := r.archive.Top.Unlink(record.StateFile)
	if err == nil {
		return r.archive.Top.Sync()
	}
	return nodefs.IgnoreAbsent(err)
}

// removeStateDirs removes the store's directories that Berth created and that are empty.
func (r *run) removeStateDirs() {
	if err := r.archive.Top.Rmdir(record.SavedDir); err != nil {
		return // it holds copies
	}
	for _, p := range slices.Backward(slices.Sorted(maps.Keys(r.st.Dirs))) {
		parent, err := r.top(path.Dir(p))
		if err == nil {
			err = parent.Rmdir(path.Base(p))
		}
		if err == nil {
			err = parent.Sync()
		}
		if err != nil {
			return // it holds other entries
		}
	}
}

// scopesOf lists the scopes in the record.
func scopesOf(st *record.State) []Scope {
	var scopes []Scope
	for _, name := range slices.Sorted(maps.Keys(st.Scopes)) {
		if tops := st.Scopes[name]; len(tops) > 0 {
			scopes = append(scopes, Scope{Name: name, Dir: tops[len(tops)-1]})
		}
	}
	return scopes
}

// addRestored adds the report of one scope. Of the copies only those of the record are added:
// [run.finish] lists the others.
func (r *Report) addRestored(o Report) {
	o.Saved = slices.DeleteFunc(o.Saved, func(s Saved) bool { return s.Why != record.SavedRecord })
	r.Add(o)
}

// Add adds another report.
func (r *Report) Add(o Report) {
	r.Changed = append(r.Changed, o.Changed...)
	r.Conflicts = append(r.Conflicts, o.Conflicts...)
	r.Skipped = append(r.Skipped, o.Skipped...)
	r.Saved = append(r.Saved, o.Saved...)
}
