package record

import (
	"errors"
	"time"

	"github.com/berth-registry/berth/internal/nodefs"
)

// Archive is the open state directory.
type Archive struct {
	Top, Copies *nodefs.Dir
	access      nodefs.Meta // of the files in it
	now         func() time.Time
}

// OpenArchive opens the copies in top, the state directory, and removes what a killed run left. access
// is the mode and owner of new files. The archive closes top.
func OpenArchive(top *nodefs.Dir, access nodefs.Meta, now func() time.Time) (*Archive, error) {
	saved, err := top.Open(SavedDir)
	if err != nil {
		return nil, err
	}
	k := &Archive{Top: top, Copies: saved, access: access, now: now}
	for _, d := range []*nodefs.Dir{top, saved} {
		if err := nodefs.RemoveTempFiles(d); err != nil {
			saved.Close()
			return nil, err
		}
	}
	return k, nil
}

// Close closes the directories.
func (k *Archive) Close() {
	k.Copies.Close()
	k.Top.Close()
}

// Replace writes a file of the store, completely or not at all.
func (k *Archive) Replace(d *nodefs.Dir, name string, content []byte) error {
	tmp := nodefs.TempName(nodefs.TempFile, "")
	err := d.Make(tmp, nodefs.Source{Kind: nodefs.Regular, Content: content, Meta: k.access})
	if err == nil {
		err = d.Rename(tmp, d, name, false)
	}
	if err != nil {
		return errors.Join(err, nodefs.IgnoreAbsent(d.Unlink(tmp)))
	}
	return nil
}

// Write writes the record.
func (k *Archive) Write(st *State) error {
	b, err := st.Encode()
	if err != nil {
		return err
	}
	if err := k.Replace(k.Top, StateFile, b); err != nil {
		return err
	}
	return k.Top.Sync()
}

// SetAside renames a record that cannot be read. It returns the new path.
func (k *Archive) SetAside() (string, error) {
	name := StateFile + ".corrupt-" + k.now().UTC().Format("20060102T150405.000000000Z")
	if err := k.Top.Rename(StateFile, k.Top, name, true); err != nil {
		return "", err
	}
	return k.Top.Join(name), nil
}
