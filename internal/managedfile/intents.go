package managedfile

import (
	"path"
	"reflect"
	"slices"

	"github.com/berth-registry/berth/internal/managedfile/record"
	"github.com/berth-registry/berth/internal/nodefs"
)

// intents puts the intended changes into the record, so that after a crash every file on disk can
// be explained.
func (r *run) intents() {
	for _, it := range r.items {
		if it.state != itemOpen {
			continue
		}
		if it.Action == Remove {
			r.intendRemoval(it)
			continue
		}
		rec := r.describe(it.After, it.before)
		switch {
		case it.Before.Owner == Ours:
			rec.Written = it.Before.written()
		case it.before != nil:
			rec.Written = it.before.Written
		}
		access := r.access(it)
		rec.Next = &record.Written{
			SHA: record.Hash(it.After.Content()), Mode: access.Mode, UID: access.UID, GID: access.GID,
			Marked: it.After.Comment != "",
		}
		if it.copied != nil {
			rec.Original = it.copied
		}
		if it.Action == Repair {
			rec.Repairs = append(slices.Clone(rec.Repairs), r.now)
			rec.Repairs = rec.Repairs[max(0, len(rec.Repairs)-maxRepairs):]
		}
		it.after = rec
		r.put(it.Path, rec)
		r.intendDir(it)
	}
	r.missingDirs()
}

// removalIntents records which directories may be removed.
func (r *run) removalIntents() {
	for _, it := range r.items {
		if it.state == itemOpen {
			r.intendRemoval(it)
		}
	}
	r.missingDirs()
}

// intendDir records that the directory of a new file will be created.
func (r *run) intendDir(it *item) {
	p := path.Dir(it.Path)
	if r.topOf(it.Path) == "" {
		return
	}
	if r.noted[p] {
		return
	}
	r.noted[p] = true
	r.touch(p)
	old := r.st.Dirs[p]
	there, err := r.there(p)
	switch {
	case err != nil:
		return // the write will fail with this error
	case !there:
		rec := &record.DirEntry{Scope: r.scope.Name, Created: true}
		if old != nil {
			rec.Original = old.Original
		}
		r.putDir(p, rec)
	case old != nil && !old.Created:
		r.putDir(p, nil) // another program created it again
	}
}

// intendRemoval records the state of a directory that may be removed with its last file.
func (r *run) intendRemoval(it *item) {
	p := path.Dir(it.Path)
	if r.topOf(it.Path) == "" {
		return
	}
	r.touch(p)
	r.going[p] = true
	if r.restore || it.putBack != nil {
		return // restore decides by the record
	}
	if old := r.st.Dirs[p]; old != nil && old.Created {
		return // its state before Berth is recorded
	}
	d, err := r.open(p)
	if err != nil {
		return // there is no directory to remove
	}
	defer d.Close()
	if info, err := d.Stat(); err == nil {
		m := nodefs.MetaOf(info)
		r.putDir(p, &record.DirEntry{Scope: r.scope.Name, Original: &m})
	}
}

// missingDirs records the directories above the files that must be created.
func (r *run) missingDirs() {
	seen := map[string]bool{}
	for _, it := range r.items {
		if it.state != itemOpen || it.After == nil && it.putBack == nil {
			continue
		}
		p := r.topOf(it.Path)
		if p == "" {
			p = path.Dir(it.Path)
		}
		if seen[p] {
			continue
		}
		seen[p] = true
		absent, err := r.s.root.Missing(p)
		if err != nil {
			continue // the write will fail with this error
		}
		for _, a := range absent {
			if slices.Contains(r.absent, a) {
				continue
			}
			r.absent = append(r.absent, a)
			r.touch(a)
			r.putDir(a, &record.DirEntry{Scope: r.scope.Name, Created: true})
		}
	}
}

// touch remembers the record of a directory before this run.
func (r *run) touch(p string) {
	if _, ok := r.touched[p]; !ok {
		r.touched[p] = r.st.Dirs[p]
	}
}

// putDir changes the record of a directory.
func (r *run) putDir(p string, rec *record.DirEntry) {
	if reflect.DeepEqual(r.st.Dirs[p], rec) {
		return
	}
	r.dirty = true
	if rec == nil {
		delete(r.st.Dirs, p)
		return
	}
	r.st.Dirs[p] = rec
}

// save writes the record if it changed.
func (r *run) save() error {
	if !r.dirty {
		return nil
	}
	if err := r.openArchive(); err != nil {
		return err
	}
	if err := r.archive.Write(r.st); err != nil {
		return fileError(r.archive.Top.Join(record.StateFile), "write", "", err)
	}
	r.dirty = false
	r.st.Found = record.FoundRead
	return nil
}

// commit updates the record to the state after the changes.
func (r *run) commit() {
	for _, it := range r.items {
		switch {
		case it.state != itemDone:
			r.revert(it)
		case it.after == nil:
			if it.putBack != nil {
				r.drop = append(r.drop, it.putBack)
			}
			r.put(it.Path, nil)
		default:
			rec := *it.after
			rec.Written, rec.Next = rec.Next, nil
			r.put(it.Path, &rec)
			if it.before != nil && it.copied != nil && it.before.Original != nil && it.before.Original.Copy != it.copied.Copy {
				r.demote = append(r.demote, it.before.Original)
			}
		}
	}
	for p, before := range r.touched {
		r.commitDir(p, before)
	}
}

// commitDir updates the record of a directory to its state after the changes.
func (r *run) commitDir(p string, before *record.DirEntry) {
	there, err := r.there(p)
	if err != nil {
		return // the recorded intent covers both outcomes
	}
	now := r.st.Dirs[p]
	if now != nil && now.Created && (before == nil || !before.Created) && !r.made[p] {
		now = before // it was not created, or not by Berth
	}
	switch {
	case now == nil:
	case there && !now.Created:
		now = nil // it was not removed, or another program created it again
	case !there && now.Created && now.Original != nil:
		now = &record.DirEntry{Scope: now.Scope, Original: now.Original}
	case !there && now.Created:
		now = nil
	}
	r.putDir(p, now)
}

// revert removes an intent from the record.
func (r *run) revert(it *item) {
	r.put(it.Path, it.before)
	if it.fresh {
		r.drop = append(r.drop, it.copied)
	}
}

// abandon gives up all open changes after a failure that concerns every file.
func (r *run) abandon() {
	for _, it := range r.items {
		if it.state == itemOpen {
			r.skip(it, "the record could not be written")
		}
		if it.fresh {
			r.drop = append(r.drop, it.copied)
		}
	}
	r.demote = nil
	if r.archive != nil {
		r.tidy()
	}
}

// tidy brings the copies in line with the record.
func (r *run) tidy() {
	if len(r.drop) == 0 && len(r.demote) == 0 {
		return
	}
	if err := r.openArchive(); err != nil {
		r.errs = append(r.errs, err)
		return
	}
	for _, o := range r.demote {
		if err := r.archive.Demote(o); err != nil {
			r.errs = append(r.errs, fileError(r.archive.Copies.Join(o.Copy), "write", "", err))
		}
	}
	for _, o := range r.drop {
		if err := r.archive.Drop(o); err != nil {
			r.errs = append(r.errs, fileError(r.archive.Copies.Join(o.Copy), "remove", "", err))
		}
	}
}
