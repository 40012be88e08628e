package managedfile

import (
	"errors"
	"io/fs"
	"path"

	"github.com/berth-registry/berth/internal/managedfile/record"
	"github.com/berth-registry/berth/internal/nodefs"
)

// sweep removes what a killed run left in the scope. The names identify Berth's entries; see
// [nodefs.TempPrefix].
func (r *run) sweep() {
	tops := append([]string{r.scope.Dir}, r.st.Scopes[r.scope.Name]...)
	seen := map[string]bool{"": true}
	for _, top := range tops {
		if !seen[top] {
			seen[top] = true
			r.sweepTop(top)
		}
	}
	for p, rec := range r.st.Files {
		dir := path.Dir(p)
		if rec.Scope != r.scope.Name || r.topOf(p) != "" || seen[dir] {
			continue
		}
		seen[dir] = true
		if d, err := r.s.root.OpenDir(dir, r.s.step); err == nil {
			r.note(dir, nodefs.RemoveTempFiles(d))
			d.Close()
		}
	}
}

// note keeps an error of the cleanup; the run continues.
func (r *run) note(hostPath string, err error) {
	if err != nil {
		r.errs = append(r.errs, fileError(hostPath, "clear up", "", err))
	}
}

func (r *run) sweepTop(hostPath string) {
	top, err := r.top(hostPath)
	if err != nil {
		return // missing; or Observe reports the problem
	}
	entries, err := top.List()
	if err != nil {
		return
	}
	for _, e := range entries {
		if !e.IsDir() {
			continue
		}
		d, err := top.Open(e.Name())
		if err != nil {
			continue
		}
		switch kind, of := nodefs.ParseTemp(e.Name()); kind {
		case nodefs.TempNew:
			r.note(top.Join(e.Name()), removeNew(top, d, e.Name()))
		case nodefs.TempOld:
			r.note(top.Join(e.Name()), r.removeOld(top, d, e.Name(), of))
		default:
			r.note(top.Join(e.Name()), nodefs.RemoveTempFiles(d))
		}
		d.Close()
	}
}

// removeNew removes a directory that never got its final name: everything in it is Berth's.
func removeNew(top, d *nodefs.Dir, name string) error {
	entries, err := d.List()
	if err != nil {
		return err
	}
	for _, e := range entries {
		if err := nodefs.IgnoreAbsent(d.Unlink(e.Name())); err != nil {
			return err
		}
	}
	return nodefs.IgnoreAbsent(top.Rmdir(name))
}

// removeOld removes a directory whose removal was interrupted; of is its former name. Entries that
// Berth would not have removed are moved back.
func (r *run) removeOld(top, d *nodefs.Dir, name, of string) error {
	entries, err := d.List()
	if err != nil {
		return err
	}
	var errs []error
	for _, e := range entries {
		gone, err := r.mayUnlink(d, e.Name(), path.Join(top.Path, of, e.Name()))
		if err == nil && gone {
			err = nodefs.IgnoreAbsent(d.Unlink(e.Name()))
		}
		errs = append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	before := len(r.errs)
	r.finishAside(top, d, name, of)
	if len(r.errs) == before {
		return top.Sync()
	}
	return nil
}

// mayUnlink reports whether a file formerly at hostPath is Berth's, or a copy of it was kept.
func (r *run) mayUnlink(d *nodefs.Dir, name, hostPath string) (bool, error) {
	e, err := d.Look(name, record.MaxContent)
	if err != nil || e.Kind != nodefs.Regular {
		return false, err
	}
	if classify(r.st.Files[hostPath], e).owner == Ours {
		return true, nil
	}
	if r.st.Found != record.FoundRead && r.archive == nil {
		return false, nil // nothing was ever kept
	}
	if err := r.openArchive(); err != nil {
		return false, err
	}
	_, err = r.archive.Describe(record.SavedName(hostPath, e))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}
