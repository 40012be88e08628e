package hostsconf

import (
	"context"
	"errors"
	"slices"

	"github.com/berth-registry/berth/internal/managedfile"
)

// Tree reads and writes one certs.d.
type Tree struct {
	store   *managedfile.Store
	scope   managedfile.Scope
	scratch string
}

// NewTree gives access to the directory of a [Scope]. Files are read back from memory before they
// are installed. The symlinks to them are created below scratch; "" means the system's temporary
// directory.
func NewTree(store *managedfile.Store, scope managedfile.Scope, scratch string) *Tree {
	return &Tree{store: store, scope: scope, scratch: scratch}
}

// CertsDir is the directory on the node.
func (t *Tree) CertsDir() string { return t.scope.Dir }

// Read returns the current state. It writes nothing.
func (t *Tree) Read(desired DesiredFiles) (managedfile.Snapshot, error) {
	return t.store.Observe(t.scope, desired.files)
}

// Verify reads every file that changes would write with containerd's own reader and compares the
// hosts. Errors wrap [ErrReadBack] or are the error of ctx.
func (t *Tree) Verify(ctx context.Context, desired DesiredFiles, changes []Change) error {
	files := make(map[string]managedfile.File, len(desired.files))
	for _, f := range desired.files {
		files[f.Path] = f
	}
	if !slices.ContainsFunc(changes, Writes) {
		return nil
	}
	stage, remove, err := newStage(t.scratch)
	if err != nil {
		return err
	}
	defer remove()
	var errs []error
	for _, c := range changes {
		if err := ctx.Err(); err != nil {
			return err
		}
		dir, ok := desired.dirs[c.Path]
		if !ok || !Writes(c) {
			continue
		}
		var set []managedfile.File
		for _, need := range c.After.Needs {
			set = append(set, files[need])
		}
		if err := verify(stage, dir, append(set, *c.After)); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// Apply verifies the changes of [Plan], then carries them out. If containerd would misread one
// file, nothing is written.
func (t *Tree) Apply(ctx context.Context, desired DesiredFiles, changes []Change) (managedfile.Report, error) {
	if err := t.Verify(ctx, desired, changes); err != nil {
		return managedfile.Report{}, err
	}
	return t.store.Apply(ctx, t.scope, changes)
}

// ApplyUnrecorded carries out updates that the record cannot hold, see
// [managedfile.Store.ApplyUnrecorded].
func (t *Tree) ApplyUnrecorded(ctx context.Context, updates []Change) (managedfile.Report, error) {
	return t.store.ApplyUnrecorded(ctx, t.scope, updates)
}
