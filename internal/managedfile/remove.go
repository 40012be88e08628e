package managedfile

import (
	"context"
	"errors"
	"io/fs"
	"path"
	"slices"

	"github.com/berth-registry/berth/internal/managedfile/record"
	"github.com/berth-registry/berth/internal/nodefs"
)

// maxName is the longest file name, in bytes.
const maxName = 255

// removals removes the files that are no longer wanted, one after the other: there are few, and
// each step keeps the next one possible.
func (r *run) removals(ctx context.Context, units []*unit) {
	users := r.stillNeeded()
	tops := map[string]bool{}
	for _, u := range units {
		for _, it := range u.items {
			if user := users[it.Path]; user != "" && !r.restore {
				r.skip(it, user+" still needs it")
			}
		}
		r.remove(ctx, u, users)
		if u.top != "" {
			tops[u.top] = true
		}
	}
	for p := range r.going {
		if r.removable(p) && r.removeEmpty(p) {
			tops[path.Dir(p)] = true
		}
	}
	r.syncTops(tops)
}

// stillNeeded returns, for each file, a file that needs it and was not changed: the version on disk
// still refers to it.
func (r *run) stillNeeded() map[string]string {
	users := map[string]string{}
	note := func(c Change) {
		for _, n := range c.Before.Needs {
			users[n] = c.Path
		}
	}
	for _, c := range r.report.Conflicts {
		note(c)
	}
	for _, it := range r.items {
		if it.After != nil && it.state != itemDone {
			note(it.Change)
		}
	}
	return users
}

// remove removes the open items of one unit.
func (r *run) remove(ctx context.Context, u *unit, users map[string]string) {
	at, err := r.open(u.dir)
	if err == nil {
		defer at.Close()
		u.at = at
	}
	var plain []*item
	for _, it := range u.items {
		switch {
		case it.state != itemOpen:
		case ctx.Err() != nil:
			r.skip(it, "interrupted")
		case err != nil && it.putBack == nil && errors.Is(err, fs.ErrNotExist):
			r.skip(it, "changed in the meantime")
		case err != nil:
			r.fail(it, "remove", err)
		case it.putBack != nil:
			r.putBackOne(ctx, u, it)
		case r.unchanged(at, it):
			plain = append(plain, it)
		}
	}
	if len(plain) > 0 {
		if !r.removeDir(u, plain) {
			r.removeFiles(at, plain)
		}
	}
	for _, it := range u.items {
		if it.state == itemOpen {
			r.skip(it, "changed in the meantime")
		}
		if it.state != itemDone {
			for _, n := range it.Before.Needs {
				users[n] = it.Path
			}
		}
	}
}

// unchanged reports whether a file is still as observed.
func (r *run) unchanged(at *nodefs.Dir, it *item) bool {
	e, err := at.Look(path.Base(it.Path), record.MaxContent)
	if err != nil {
		r.fail(it, "remove", err)
		return false
	}
	return it.Before.is(e)
}

// putBackOne replaces one file by its original.
func (r *run) putBackOne(ctx context.Context, u *unit, it *item) {
	one := &unit{dir: u.dir, top: u.top, items: []*item{it}, at: u.at}
	r.stage(one)
	r.install(ctx, one)
	if it.state != itemDone {
		return
	}
	if err := u.at.Sync(); err != nil {
		r.errs = append(r.errs, fileError(it.Path, "sync", "", err))
	}
}

// removeFiles removes files from a directory that stays.
func (r *run) removeFiles(at *nodefs.Dir, items []*item) {
	for _, it := range items {
		if err := at.Unlink(path.Base(it.Path)); err != nil {
			r.fail(it, "remove", err)
			continue
		}
		r.done(it)
	}
	if err := at.Sync(); err != nil {
		r.errs = append(r.errs, fileError(at.Path, "sync", "", err))
	}
}

// removable reports whether a directory is removed if it is empty. During normal operation an empty one
// would hide the registry's default; after a restore, directories that existed before Berth stay.
func (r *run) removable(p string) bool {
	d := r.st.Dirs[p]
	return d != nil && (!r.restore || d.Created && d.Original == nil)
}

// removeDir removes a directory that holds only the items. It renames the directory first, so that
// no reader sees it without its files. It returns false, with nothing changed, if the directory
// must stay.
func (r *run) removeDir(u *unit, items []*item) bool {
	name := path.Base(u.dir)
	aside := nodefs.TempName(nodefs.TempOld, name)
	if u.top == "" || len(aside) > maxName || !r.removable(u.dir) || !holdsOnly(u.at, items) {
		return false
	}
	top, err := r.top(u.top)
	if err != nil {
		return false
	}
	if err := top.Rename(name, top, aside, true); err != nil {
		for _, it := range items {
			r.fail(it, "remove", err)
		}
		return true
	}
	whole := true
	for _, it := range items {
		if !r.unchanged(u.at, it) {
			whole = whole && it.state == itemOpen
			continue
		}
		if err := u.at.Unlink(path.Base(it.Path)); err != nil {
			r.fail(it, "remove", err)
			whole = false
			continue
		}
		r.done(it)
	}
	// A directory with only some of its files is not renamed back; the next run removes it.
	if whole {
		r.finishAside(top, u.at, aside, name)
	}
	return true
}

// holdsOnly reports whether a directory holds exactly the items.
func holdsOnly(at *nodefs.Dir, items []*item) bool {
	entries, err := at.List()
	if err != nil || len(entries) != len(items) {
		return false
	}
	for _, e := range entries {
		if !slices.ContainsFunc(items, func(it *item) bool { return path.Base(it.Path) == e.Name() }) {
			return false
		}
	}
	return true
}

// finishAside removes a directory that was renamed. Entries that another program added at the last
// moment are moved back to the old name.
func (r *run) finishAside(top, at *nodefs.Dir, aside, name string) {
	err := top.Rmdir(aside)
	if err == nil {
		return
	}
	entries, listErr := at.List()
	if listErr != nil || len(entries) == 0 {
		r.errs = append(r.errs, fileError(top.Join(name), "remove", "", err))
		return
	}
	err = top.Rename(aside, top, name, true)
	if err == nil {
		return
	}
	if errors.Is(err, fs.ErrExist) {
		err = moveInto(top, at, entries, name)
		if err == nil {
			err = top.Rmdir(aside)
		}
	}
	if err != nil {
		r.errs = append(r.errs, fileError(top.Join(name), "remove", "the foreign files are now in "+top.Join(aside), err))
	}
}

// moveInto moves entries into a directory that another program created in the meantime.
func moveInto(top, from *nodefs.Dir, entries []fs.DirEntry, name string) error {
	to, err := top.Open(name)
	if err != nil {
		return err
	}
	defer to.Close()
	for _, e := range entries {
		if err := from.Rename(e.Name(), to, e.Name(), true); err != nil {
			return err
		}
	}
	return to.Sync()
}

// removeEmpty removes a directory below the scope's directory if it is empty.
func (r *run) removeEmpty(p string) bool {
	d, err := r.open(p)
	if err != nil {
		return false // it is missing, or not a directory
	}
	defer d.Close()
	if entries, err := d.List(); err != nil || len(entries) > 0 {
		return false
	}
	top, err := r.top(path.Dir(p))
	if err == nil {
		err = top.Rmdir(path.Base(p))
	}
	if err != nil {
		r.errs = append(r.errs, fileError(p, "remove", "it is empty", err))
	}
	return err == nil
}
