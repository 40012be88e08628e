package managedfile

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path"
	"time"

	"github.com/berth-registry/berth/internal/managedfile/record"
	"github.com/berth-registry/berth/internal/nodefs"
)

// Apply carries out the changes of [Plan] for the scope, in order. It first copies the originals
// and edits that would be lost, then writes the record with the intended changes once, then changes
// the files, each completely. A file that changed since it was observed is skipped.
//
// The error joins one [*FileError] for each file that could not be changed; the other files were
// changed. If there is nothing to do, nothing is written.
func (s *Store) Apply(ctx context.Context, scope Scope, changes []Change) (Report, error) {
	for _, c := range changes {
		if err := checkChange(scope, c); err != nil {
			return Report{}, fmt.Errorf("scope %s: %w", scope.Name, err)
		}
	}
	st, key, err := s.load()
	if err != nil {
		return Report{}, err
	}
	r := s.newRun(scope, st)
	defer r.close()
	if err := r.begin(); err != nil {
		return r.report, err
	}
	r.apply(ctx, changes)
	if r.archive == nil && !r.dirty {
		s.cache = key // the record on disk
	}
	return r.report, errors.Join(r.errs...)
}

// ApplyUnrecorded carries out updates and removals of Berth's files when the record cannot be
// written. Each new file says so in its marker line (see [File.Unrecorded]), and the next Apply
// writes it as usual. A removed file without an original is missing until then.
func (s *Store) ApplyUnrecorded(ctx context.Context, scope Scope, updates []Change) (Report, error) {
	for _, c := range updates {
		update := c.Action == Update && c.After.Unrecorded && c.After.Comment != ""
		removal := c.Action == Remove && c.After == nil && c.Before.Original == nodefs.None
		if c.Before.Owner != Ours || !update && !removal {
			return Report{}, fmt.Errorf("scope %s: %s: not a change that needs no record", scope.Name, c.Path)
		}
		if err := checkChange(scope, c); err != nil {
			return Report{}, fmt.Errorf("scope %s: %w", scope.Name, err)
		}
	}
	st, _, err := s.load()
	if err != nil {
		return Report{}, err
	}
	r := s.newRun(scope, st)
	defer r.close()
	r.cleanUp()
	for _, c := range updates {
		r.items = append(r.items, &item{Change: c})
	}
	r.execute(ctx)
	return r.report, errors.Join(r.errs...)
}

func checkChange(scope Scope, c Change) error {
	if c.After == nil {
		return nodefs.CheckPath(c.Path)
	}
	if c.After.Path != c.Path {
		return fmt.Errorf("%s: a change that writes %s", c.Path, c.After.Path)
	}
	if c.InPlace && (c.Before.Kind != nodefs.Regular || c.Before.Mode != c.After.Mode || len(c.Before.Content) != len(c.After.Content())) {
		return fmt.Errorf("%s: a change in place needs the same length and mode", c.Path)
	}
	return checkFile(scope, *c.After)
}

// run is one Apply, or the part of a Restore for one scope.
type run struct {
	s       *Store
	scope   Scope
	st      *record.State
	archive *record.Archive // nil until something is written
	restore bool            // remove all of Berth's files and bring directories back
	now     time.Time
	dirty   bool // st differs from the record on disk

	tops    map[string]*nodefs.Dir
	items   []*item
	byPath  map[string]*item
	touched map[string]*record.DirEntry // directories that may be created or removed: their record before
	noted   map[string]bool             // directories of touched in which a file is written
	made    map[string]bool             // directories of touched that were created
	going   map[string]bool             // directories of touched to remove if they end up empty
	absent  []string                    // directories to create, outermost first
	waiting map[string]string           // files not in place: the reason why others must wait
	demote  []*record.Original
	drop    []*record.Original

	report Report
	errs   []error
}

// item is a change that needs work on the file system.
type item struct {
	Change
	before *record.Entry // nil if there is none
	after  *record.Entry // nil for a removal
	// putBack is the original that replaces a removed file.
	putBack *record.Original
	copied  *record.Original // copy of an original, made for this change
	fresh   bool             // copied did not exist before
	tmp     string
	state   itemState
}

type itemState string

const (
	itemOpen    itemState = ""
	itemDone    itemState = "done"
	itemSkipped itemState = "skipped"
	itemFailed  itemState = "failed"
)

func (s *Store) newRun(scope Scope, st *record.State) *run {
	return &run{
		s: s, scope: scope, st: st, now: s.now().UTC().Round(0),
		tops: map[string]*nodefs.Dir{}, byPath: map[string]*item{},
		touched: map[string]*record.DirEntry{}, noted: map[string]bool{}, made: map[string]bool{}, going: map[string]bool{}, waiting: map[string]string{},
	}
}

func (r *run) close() {
	for _, d := range r.tops {
		d.Close()
	}
	if r.archive != nil {
		r.archive.Close()
	}
}

// begin moves a corrupt record aside and cleans up after a killed run.
func (r *run) begin() error {
	if r.st.Found == record.FoundCorrupt {
		if err := r.openArchive(); err != nil {
			return err
		}
		saved, err := r.archive.SetAside()
		if err != nil {
			return err
		}
		r.report.Saved = append(r.report.Saved, Saved{Path: r.archive.Top.Join(record.StateFile), Copy: saved, Why: record.SavedRecord})
		r.st.Found = record.FoundAbsent
		r.dirty = true
	}
	r.cleanUp()
	return nil
}

// cleanUp cleans up after a killed run and records foreign changes to directories that existed
// before Berth. A directory that Berth removed and that exists again needs no restore. One that
// Berth created again may have got another mode.
func (r *run) cleanUp() {
	if !r.s.clean[r.scope.Name] {
		r.sweep()
	}
	r.s.clean[r.scope.Name] = false
	for p, d := range r.st.Dirs {
		if d.Scope != r.scope.Name || d.Original == nil {
			continue
		}
		parent, err := r.top(path.Dir(p))
		if err != nil {
			continue
		}
		e, err := parent.Lstat(path.Base(p))
		switch {
		case err != nil || e.Kind == nodefs.None:
		case !d.Created:
			r.putDir(p, nil)
		case e.Kind == nodefs.Directory && !e.Meta.SameAccess(*d.Original):
			m := e.Meta
			m.ModTime = d.Original.ModTime
			r.putDir(p, &record.DirEntry{Scope: d.Scope, Created: true, Original: &m})
		}
	}
}

// openArchive opens the state directory on first use.
func (r *run) openArchive() error {
	if r.archive != nil {
		return nil
	}
	k, err := r.s.archive(r.st)
	if err != nil {
		return fileError(r.s.stateDir, "open", "nothing was changed", err)
	}
	r.archive = k
	return nil
}

func (r *run) apply(ctx context.Context, changes []Change) {
	for _, c := range changes {
		r.prepare(c)
	}
	r.copies()
	if r.restore {
		// A removal needs no intent in the record, and a restored file is recognised by its
		// content. The record is written, or removed, at the end: a restore must also work on a
		// full disk.
		r.removalIntents()
		r.execute(ctx)
		r.commit()
		return
	}
	r.intents()
	if err := r.save(); err != nil {
		// Without the record no file may be changed.
		r.errs = append(r.errs, fmt.Errorf("nothing was changed: %w", err))
		r.abandon()
		return
	}
	r.execute(ctx)
	r.commit()
	if err := r.save(); err != nil {
		r.errs = append(r.errs, fmt.Errorf("the files are changed, but the record is not up to date: %w", err))
	}
	r.tidy()
}

// prepare updates the record for a change and collects the changes that need work on files.
func (r *run) prepare(c Change) {
	rec := r.st.Files[c.Path]
	if rec != nil && rec.Scope != r.scope.Name {
		rec = nil
	}
	switch c.Action {
	case Unchanged:
		if c.Before.Owner == Foreign {
			r.forget(c, rec)
			return
		}
		r.assumeDir(c, rec)
		after := r.describe(c.After, rec)
		after.Written = c.Before.written()
		r.put(c.Path, after)
	case Conflict:
		r.report.Conflicts = append(r.report.Conflicts, c)
		r.waiting[c.Path] = c.Reason
	case GracePeriod:
		r.startGracePeriod(c, rec)
	case Forget:
		r.forget(c, rec)
		switch {
		case rec != nil && rec.Original.Matches(c.Before.entry()):
			// Already restored, by Berth before a crash or by another program.
		case c.Before.Theirs:
			r.report.Conflicts = append(r.report.Conflicts, c)
		case c.Before.Kind == nodefs.None:
			// Its directory may be empty now, as after a removal by Berth.
			r.intendRemoval(&item{Change: c})
		}
	case Create, Update, Repair, Adopt, Remove:
		it := &item{Change: c, before: rec}
		if c.Action == Remove && rec != nil {
			it.putBack = rec.Original
		}
		r.assumeDir(c, rec)
		r.items = append(r.items, it)
		r.byPath[c.Path] = it
	}
}

// put changes the record of a file.
func (r *run) put(p string, rec *record.Entry) {
	old := r.st.Files[p]
	if old.Equal(rec) {
		return
	}
	r.dirty = true
	if rec == nil {
		delete(r.st.Files, p)
		return
	}
	r.st.AddTop(r.scope.Name, r.scope.Dir)
	r.st.Files[p] = rec
}

// describe returns the record of a wanted file, without the fields about the file on disk.
func (r *run) describe(f *File, old *record.Entry) *record.Entry {
	rec := &record.Entry{Scope: r.scope.Name, Needs: append([]string(nil), f.Needs...), Linger: record.Duration(f.GracePeriod)}
	if old != nil {
		rec.Original, rec.Repairs = old.Original, old.Repairs
	}
	return rec
}

// assumeDir treats the directory of one of Berth's files as created by Berth if its record is lost.
// An empty directory that stays would disable the mirrors.
func (r *run) assumeDir(c Change, rec *record.Entry) {
	dir := path.Dir(c.Path)
	ours := c.Before.Kind != nodefs.None && (c.Before.Owner == Ours || c.Before.Owner == Edited)
	if rec == nil && ours && r.topOf(c.Path) != "" && r.st.Dirs[dir] == nil {
		r.putDir(dir, &record.DirEntry{Scope: r.scope.Name, Created: true})
	}
}

func (r *run) startGracePeriod(c Change, rec *record.Entry) {
	after := &record.Entry{Scope: r.scope.Name, Linger: record.Duration(c.Before.GracePeriod)}
	if rec != nil {
		clone := *rec
		after = &clone
	} else {
		after.Written = c.Before.written()
		r.assumeDir(c, rec)
	}
	if after.Unwanted.IsZero() {
		after.Unwanted = r.now
	}
	r.put(c.Path, after)
}

// forget drops the record of a file that Berth no longer owns.
func (r *run) forget(c Change, rec *record.Entry) {
	if rec == nil {
		return
	}
	if o := rec.Original; o != nil {
		if o.Matches(c.Before.entry()) {
			r.drop = append(r.drop, o)
		} else {
			r.demote = append(r.demote, o)
		}
	}
	r.put(c.Path, nil)
}

// is reports whether e equals the observed entry.
func (o Observed) is(e nodefs.Entry) bool {
	if o.Kind != e.Kind {
		return false
	}
	if o.Kind == nodefs.None {
		return true
	}
	return o.Mode == e.Meta.Mode.FileMode() && o.UID == e.Meta.UID && o.GID == e.Meta.GID &&
		o.Target == e.Target && bytes.Equal(o.Content, e.Content)
}

// written returns the file as the record of Berth's file has it.
func (o Observed) written() *record.Written {
	return &record.Written{
		SHA: record.Hash(o.Content), Mode: nodefs.ModeOf(o.Mode), UID: o.UID, GID: o.GID,
		Marked: record.StartsWithMarker(o.Content),
	}
}

func (o Observed) entry() nodefs.Entry {
	return nodefs.Entry{Kind: o.Kind, Target: o.Target, Content: o.Content}
}

// fail gives up one file; the others continue.
func (r *run) fail(it *item, op string, err error) {
	note := "the old file is unchanged"
	switch {
	case it.After == nil:
		note = "it still exists"
	case it.Before.Kind == nodefs.None:
		note = "nothing was written"
	}
	it.state = itemFailed
	fe := fileError(it.Path, op, note, err)
	r.errs = append(r.errs, fe)
	r.waiting[it.Path] = fe.Err.Error()
}

// skip leaves one file for the next run.
func (r *run) skip(it *item, why string) {
	it.state = itemSkipped
	it.Reason = why
	r.report.Skipped = append(r.report.Skipped, it.Change)
	r.waiting[it.Path] = why
}

func (r *run) done(it *item) {
	it.state = itemDone
	r.report.Changed = append(r.report.Changed, it.Change)
}
