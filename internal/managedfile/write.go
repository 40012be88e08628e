package managedfile

import (
	"context"
	"errors"
	"io/fs"
	"path"
	"sync"

	"github.com/berth-registry/berth/internal/managedfile/record"
	"github.com/berth-registry/berth/internal/nodefs"
)

const (
	// batchSize limits the files that are prepared and not yet in place, and so the open
	// directories and the files that a crash leaves.
	batchSize = 128
	// syncers is how many files are synced at the same time: a journal commits many at once.
	syncers = 16
)

// execute changes the files.
func (r *run) execute(ctx context.Context) {
	if err := r.makeDirs(); err != nil {
		for _, it := range r.items {
			if it.state == itemOpen && (it.After != nil || it.putBack != nil) {
				r.fail(it, "mkdir", err)
			}
		}
	}
	for _, it := range r.items {
		if it.state == itemOpen && it.putBack != nil {
			if err := r.openArchive(); err != nil {
				r.fail(it, "read", err)
			}
		}
	}
	writes, removals := r.units()
	for len(writes) > 0 {
		n := min(batchSize, len(writes))
		r.batch(ctx, writes[:n])
		writes = writes[n:]
	}
	r.removals(ctx, removals)
	if err := ctx.Err(); err != nil {
		r.errs = append(r.errs, err)
	}
}

// makeDirs creates the directories above the files.
func (r *run) makeDirs() error {
	for _, p := range r.absent {
		err := r.s.root.MakeDir(p, nodefs.Meta{Mode: 0o755, UID: r.s.uid, GID: r.s.gid}, r.s.step)
		if errors.Is(err, fs.ErrExist) {
			continue
		}
		if err != nil {
			return err
		}
		r.made[p] = true
	}
	return nil
}

// batch prepares units in parallel, installs them one after the other, and syncs the result.
func (r *run) batch(ctx context.Context, units []*unit) {
	for _, u := range units {
		if ctx.Err() != nil {
			break // nothing is prepared, and install skips it
		}
		if err := r.enter(u); err != nil {
			u.err, u.fail = err, u.items[0]
		}
	}
	r.parallel(units, func(u *unit) {
		if u.err == nil && ctx.Err() == nil {
			r.stage(u)
		}
	})
	tops := map[string]bool{}
	var single []*unit
	for _, u := range units {
		r.install(ctx, u)
		switch {
		case u.items[0].state != itemDone:
		case u.fresh:
			tops[u.top] = true
		default:
			single = append(single, u)
		}
	}
	r.parallel(single, func(u *unit) { u.err = u.at.Sync() })
	for _, u := range single {
		if u.err != nil {
			r.errs = append(r.errs, fileError(u.items[0].Path, "sync", "the new file is in place, but a power failure may undo it", u.err))
		}
	}
	r.syncTops(tops)
	for _, u := range units {
		if u.at != nil {
			u.at.Close()
		}
	}
}

func (r *run) syncTops(tops map[string]bool) {
	for top := range tops {
		d, err := r.top(top)
		if err == nil {
			err = d.Sync()
		}
		if err != nil {
			r.errs = append(r.errs, fileError(top, "sync", "", err))
		}
	}
}

// parallel calls work for every unit.
func (r *run) parallel(units []*unit, work func(*unit)) {
	if r.s.step != nil || len(units) == 1 {
		for _, u := range units {
			work(u)
		}
		return
	}
	todo := make(chan *unit)
	var wg sync.WaitGroup
	for range min(syncers, len(units)) {
		wg.Go(func() {
			for u := range todo {
				work(u)
			}
		})
	}
	for _, u := range units {
		todo <- u
	}
	close(todo)
	wg.Wait()
}

// enter opens the directory in which a unit is prepared.
func (r *run) enter(u *unit) error {
	var err error
	if !u.fresh {
		u.at, err = r.open(u.dir)
		return err
	}
	top, err := r.top(u.top)
	if err != nil {
		return err
	}
	tmp := nodefs.TempName(nodefs.TempNew, "")
	if err := top.Mkdir(tmp, 0o700); err != nil {
		return err
	}
	u.tmp = tmp
	u.at, err = top.Open(tmp)
	return err
}

// stage writes the files of a unit under temporary names.
func (r *run) stage(u *unit) {
	for _, it := range u.items {
		if it.InPlace {
			continue
		}
		src, err := r.source(it)
		name := path.Base(it.Path)
		if !u.fresh {
			it.tmp = nodefs.NewTemporary()
			name = it.tmp
		}
		if err == nil {
			err = u.at.Make(name, src)
		}
		if err != nil {
			u.err, u.fail = err, it
			return
		}
	}
	if !u.fresh {
		return
	}
	err := u.at.SetMeta(r.dirMeta(u))
	if err == nil {
		err = u.at.Sync()
	}
	if err != nil {
		u.err, u.fail = err, u.items[0]
	}
}

// source returns the content that an item installs.
func (r *run) source(it *item) (nodefs.Source, error) {
	if it.After == nil {
		return r.archive.Read(it.putBack)
	}
	return nodefs.Source{Kind: nodefs.Regular, Content: it.After.Content(), Meta: r.access(it)}, nil
}

// access returns the mode and the owner of the file that an item installs.
func (r *run) access(it *item) nodefs.Meta {
	m := nodefs.Meta{Mode: nodefs.ModeOf(it.After.Mode), UID: r.s.uid, GID: r.s.gid}
	if it.After.KeepOwner && it.Before.Kind == nodefs.Regular && r.s.uid == 0 {
		m.UID, m.GID = it.Before.UID, it.Before.GID
	}
	return m
}

// dirMeta returns the metadata of a directory that is created with its files: its former metadata
// if it existed before Berth.
func (r *run) dirMeta(u *unit) nodefs.Meta {
	if d := r.st.Dirs[u.dir]; d != nil && d.Original != nil {
		return *d.Original
	}
	for _, it := range u.items {
		if it.putBack != nil && it.putBack.Dir != nil {
			return *it.putBack.Dir
		}
	}
	return nodefs.Meta{Mode: 0o755, UID: r.s.uid, GID: r.s.gid}
}

// install puts a prepared unit in place unless something prevents it.
func (r *run) install(ctx context.Context, u *unit) {
	why, err := r.skipReason(ctx, u)
	if why == "" && err == nil {
		if err = r.putInPlace(u); errors.Is(err, fs.ErrExist) {
			why, err = "another file was created there in the meantime", nil
		}
	}
	if why == "" && err == nil {
		for _, it := range u.items {
			r.done(it)
		}
		if u.fresh {
			r.made[u.dir] = true
		}
		return
	}
	r.discard(u)
	for _, it := range u.items {
		switch {
		case err != nil && (u.fail == nil || it == u.fail):
			r.fail(it, "write", err)
		case err != nil:
			r.skip(it, path.Base(u.fail.Path)+" in the same directory could not be written")
		default:
			r.skip(it, why)
		}
	}
}

// skipReason returns the reason why a unit must not be put in place: an error, or a reason to skip
// it until the next run.
func (r *run) skipReason(ctx context.Context, u *unit) (string, error) {
	if u.err != nil {
		return "", u.err
	}
	if ctx.Err() != nil {
		return "interrupted", nil
	}
	for _, it := range u.items {
		for _, n := range needsOf(it) {
			if why, ok := r.waiting[n]; ok {
				return "it needs " + n + ", which is not in place: " + why, nil
			}
		}
	}
	if u.fresh {
		return "", nil
	}
	it := u.items[0]
	now, err := u.at.Look(path.Base(it.Path), record.MaxContent)
	if err != nil {
		return "", err
	}
	if !it.Before.is(now) {
		return "changed in the meantime", nil
	}
	return "", nil
}

// putInPlace puts a prepared unit in place.
func (r *run) putInPlace(u *unit) error {
	if !u.fresh {
		it := u.items[0]
		if it.InPlace {
			return u.at.Overwrite(path.Base(it.Path), it.Before.Content, it.After.Content())
		}
		return u.at.Rename(it.tmp, u.at, path.Base(it.Path), it.Before.Kind == nodefs.None)
	}
	top, err := r.top(u.top)
	if err != nil {
		return err
	}
	return top.Rename(u.tmp, top, path.Base(u.dir), true)
}

// discard removes prepared files. The next run finds by name what cannot be removed now.
func (r *run) discard(u *unit) {
	for _, it := range u.items {
		switch {
		case u.at == nil:
		case u.fresh:
			_ = u.at.Unlink(path.Base(it.Path))
		case it.tmp != "":
			_ = u.at.Unlink(it.tmp)
		}
	}
	if u.tmp != "" {
		if top, err := r.top(u.top); err == nil {
			_ = top.Rmdir(u.tmp)
		}
	}
}

// top returns a directory above files. It stays open during the run.
func (r *run) top(hostPath string) (*nodefs.Dir, error) {
	if d := r.tops[hostPath]; d != nil {
		return d, nil
	}
	d, err := r.s.root.OpenDir(hostPath, r.s.step)
	if err != nil {
		return nil, err
	}
	r.tops[hostPath] = d
	return d, nil
}

// open opens the directory of a file; the caller closes it. Below a scope's directory symlinks are
// not followed.
func (r *run) open(hostPath string) (*nodefs.Dir, error) {
	if r.topOf(hostPath+"/x") == "" {
		return r.s.root.OpenDir(hostPath, r.s.step)
	}
	top, err := r.top(path.Dir(hostPath))
	if err != nil {
		return nil, err
	}
	return top.Open(path.Base(hostPath))
}

func (r *run) parent(p string) (*nodefs.Dir, error) { return r.open(path.Dir(p)) }

// topOf returns the directory of the scope that is two levels above a file, "" if there is none.
func (r *run) topOf(hostPath string) string { return r.st.Top(r.scope.Name, r.scope.Dir, hostPath) }

// there reports whether a directory exists.
func (r *run) there(hostPath string) (bool, error) {
	top, err := r.top(path.Dir(hostPath))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	e, err := top.Lstat(path.Base(hostPath))
	return e.Kind == nodefs.Directory, err
}
