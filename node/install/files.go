package install

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"

	"github.com/berth-registry/berth/internal/managedfile"
	"github.com/berth-registry/berth/internal/managedfile/record"
	"github.com/berth-registry/berth/internal/nodefs"
	"github.com/berth-registry/berth/node/install/edit"
)

// wanted is a file to write.
type wanted struct {
	scope  string
	path   string
	before []byte // as it was shown; nil: the file was missing
	body   []byte
	// comment is set for files that belong to Berth. In the others, which are foreign, every byte
	// except the change stays.
	comment string
}

func scopeOf(name string) managedfile.Scope { return managedfile.Scope{Name: name, Adopt: true} }

// modeOf returns the permission bits of a foreign file. It follows symlinks.
func (in *Installer) modeOf(name string) fs.FileMode {
	real, err := in.machine.Root.Resolve(name)
	if err != nil {
		return 0o644
	}
	info, err := os.Stat(real)
	if err != nil || info.Mode().Perm() == 0 {
		return 0o644
	}
	return info.Mode().Perm()
}

// write writes the files of one area. It refuses if one of them differs from the content that was
// shown.
func (in *Installer) write(ctx context.Context, files ...wanted) error {
	var list []managedfile.File
	for _, w := range files {
		now, err := in.machine.Root.ReadFile(w.path)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if !bytes.Equal(now, w.before) {
			return fmt.Errorf("%s: %w", w.path, errChanged)
		}
		f := managedfile.File{Path: w.path, Body: w.body, Mode: 0o644, Comment: w.comment}
		if w.before != nil && w.comment == "" {
			f.Mode, f.KeepOwner = in.modeOf(w.path), true
		}
		list = append(list, f)
	}
	snap, err := in.store.Observe(scopeOf(files[0].scope), list)
	if err != nil {
		return err
	}
	var changes []managedfile.Change
	for _, c := range managedfile.Plan(list, snap) {
		if c.After == nil {
			continue // other files of Berth stay
		}
		if c.Action == managedfile.Conflict {
			return fmt.Errorf("%s: left alone: %s", c.Path, c.Reason)
		}
		changes = append(changes, c)
	}
	return in.apply(ctx, files[0].scope, changes)
}

var errChanged = errors.New("was changed after it was shown; run it again")

func (in *Installer) apply(ctx context.Context, scope string, changes []managedfile.Change) error {
	report, err := in.store.Apply(ctx, scopeOf(scope), changes)
	for _, c := range report.Changed {
		in.say("%s %s", words(c), c.Path)
	}
	in.report(report)
	for _, c := range report.Skipped {
		err = errors.Join(err, fmt.Errorf("%s: %s", c.Path, c.Reason))
	}
	return err
}

// words describes a change that was made to a file.
func words(c managedfile.Change) string {
	switch {
	case c.Action == managedfile.Remove && c.Before.Original != nodefs.None:
		return "put back as it was:"
	case c.Action == managedfile.Remove:
		return "removed"
	}
	return "wrote"
}

// report prints where copies are kept.
func (in *Installer) report(r managedfile.Report) {
	for _, s := range r.Saved {
		if s.Why != record.SavedOriginal {
			in.say("saved %s as %s", s.Path, s.Copy)
		}
	}
}

// recorded lists the files of an area in the record.
func (in *Installer) recorded(scope string) ([]managedfile.Observed, error) {
	snap, err := in.store.Observe(scopeOf(scope), nil)
	return snap.Files, err
}

// undoStep is how to undo one file of an area.
type undoStep struct {
	found managedfile.Observed
	// rest is the new content of a file that was edited since; nil if the file is put back as it
	// was, or removed.
	rest []byte
	// leave is true if the file has nothing of Berth any more.
	leave bool
}

// undo finds out how to undo the files of an area. Its error names those that cannot be undone.
func (in *Installer) undo(scope string) ([]undoStep, error) {
	files, err := in.recorded(scope)
	if err != nil {
		return nil, err
	}
	var all []undoStep
	var errs []error
	for _, f := range files {
		u := undoStep{found: f}
		if e, ok := in.journal.Edits[f.Path]; ok && f.Kind != nodefs.None {
			if f.Kind != nodefs.Regular || f.Content == nil {
				u.leave = true // it was replaced by something else
			} else if sum := edit.Hash(f.Content); !e.Exact || sum != e.To && sum != e.From {
				rest, err := e.Undo(f.Content)
				switch {
				case err != nil:
					errs = append(errs, fmt.Errorf("%s was edited since, and %w; remove it by hand, the original is kept below %s/saved", f.Path, err, StateDir))
				case bytes.Equal(rest, f.Content):
					u.leave = true
				case len(bytes.TrimSpace(rest)) > 0:
					u.rest = rest
				}
			}
		}
		all = append(all, u)
	}
	return all, errors.Join(errs...)
}

// changes describes the undoing of files for display.
func (in *Installer) changes(all []undoStep) []Change {
	var changes []Change
	for _, u := range all {
		c := Change{Path: u.found.Path, What: "remove", Before: u.found.Content}
		_, c.Foreign = in.journal.Edits[u.found.Path]
		switch {
		case u.leave, u.found.Kind == nodefs.None && u.found.Original == nodefs.None:
			continue
		case u.rest != nil:
			c.What, c.After, c.Detail = "change", u.rest, "it was edited since; only berth's additions are removed"
		case u.found.Original != nodefs.None:
			c.What, c.Detail = "put back", "as it was, byte for byte"
			// The kept original is not read for this; normally it has this content.
			e := in.journal.Edits[u.found.Path]
			if rest, err := e.Undo(u.found.Content); err == nil && edit.Hash(rest) == e.From {
				c.After = rest
			} else {
				c.Before = nil
			}
		}
		changes = append(changes, c)
	}
	return changes
}

// transfer undoes the files of an area, and removes them from the record.
func (in *Installer) transfer(ctx context.Context, scope string, all []undoStep) error {
	for _, u := range all {
		if u.rest == nil && !u.leave {
			continue
		}
		if u.rest != nil {
			if err := in.write(ctx, wanted{scope: scope, path: u.found.Path, before: u.found.Content, body: u.rest}); err != nil {
				return err
			}
		}
		if err := in.release(ctx, scope, u.found.Path); err != nil {
			return err
		}
	}
	report, err := in.store.Restore(ctx, scopeOf(scope))
	for _, c := range report.Changed {
		in.say("%s %s", words(c), c.Path)
	}
	for _, c := range report.Skipped {
		err = errors.Join(err, fmt.Errorf("%s: %s", c.Path, c.Reason))
	}
	for _, c := range report.Conflicts {
		in.say("left alone %s: %s", c.Path, c.Reason)
	}
	if err != nil {
		return err
	}
	for _, u := range all {
		delete(in.journal.Edits, u.found.Path)
	}
	return in.save()
}

// release removes a file from the record: from now on it is foreign.
func (in *Installer) release(ctx context.Context, scope, name string) error {
	files, err := in.recorded(scope)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(files, func(o managedfile.Observed) bool { return o.Path == name })
	if i < 0 {
		return nil
	}
	files[i].Theirs = true
	report, err := in.store.Apply(ctx, scopeOf(scope), []managedfile.Change{{Action: managedfile.Forget, Path: name, Before: files[i]}})
	in.report(report)
	return err
}
