package managedfile

import (
	"fmt"
	"os"
	"path"

	"github.com/berth-registry/berth/internal/managedfile/record"
	"github.com/berth-registry/berth/internal/nodefs"
)

// copies saves the content that the changes would destroy.
func (r *run) copies() {
	for _, it := range r.items {
		why := it.copyReason()
		if why == "" {
			continue
		}
		if err := r.copy(it, why); err != nil {
			r.fail(it, "copy", err)
		}
	}
	if r.archive != nil && len(r.report.Saved) > 0 {
		if err := r.archive.Copies.Sync(); err != nil {
			for _, it := range r.items {
				if it.copied != nil {
					r.fail(it, "copy", err)
				}
			}
		}
	}
}

// copyReason returns the reason for copying the file first, "" if no copy is needed.
func (it *item) copyReason() record.Why {
	b := it.Before
	switch {
	case it.Action == Adopt, it.Action == Repair && b.Theirs:
		return record.SavedOriginal
	case b.Owner == Edited && b.Kind == nodefs.Regular && !b.AccessOnly:
		return record.SavedEdit
	}
	return ""
}

func (r *run) copy(it *item, why record.Why) error {
	if why == record.SavedOriginal && os.Geteuid() != 0 && it.Before.UID != r.s.uid {
		return fmt.Errorf("it belongs to user %d; only root could restore it", it.Before.UID)
	}
	d, err := r.parent(it.Path)
	if err != nil {
		return err
	}
	defer d.Close()
	e, err := d.Look(path.Base(it.Path), record.MaxContent)
	if err != nil {
		return err
	}
	if !it.Before.is(e) {
		r.skip(it, "changed in the meantime")
		return nil
	}
	info, err := d.Stat()
	if err != nil {
		return err
	}
	if err := r.openArchive(); err != nil {
		return err
	}
	in := nodefs.MetaOf(info)
	o, fresh, err := r.archive.Keep(it.Path, r.scope.Name, r.scope.Dir, why, e, &in)
	if err != nil {
		return err
	}
	if fresh {
		r.report.Saved = append(r.report.Saved, Saved{Path: it.Path, Copy: r.archive.Copies.Join(o.Copy), Why: why})
	}
	if why == record.SavedOriginal {
		it.copied, it.fresh = o, fresh
	}
	return nil
}
