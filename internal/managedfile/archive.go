package managedfile

import (
	"errors"
	"time"

	"github.com/berth-registry/berth/internal/nodefs"
)

// archive is the open state directory.
type archive struct {
	top, saved *nodefs.Dir
	access     nodefs.Meta // of the files in it
	now        func() time.Time
}

// openArchive opens the copies in top, the state directory, and removes what a killed run left. access
// is the mode and owner of new files. The archive closes top.
func openArchive(top *nodefs.Dir, access nodefs.Meta, now func() time.Time) (*archive, error) {
	saved, err := top.Open(savedDir)
	if err != nil {
		return nil, err
	}
	k := &archive{top: top, saved: saved, access: access, now: now}
	for _, d := range []*nodefs.Dir{top, saved} {
		if err := removeTempFiles(d); err != nil {
			saved.Close()
			return nil, err
		}
	}
	return k, nil
}

func (k *archive) close() {
	k.saved.Close()
	k.top.Close()
}

// replace writes a file of the store, completely or not at all.
func (k *archive) replace(d *nodefs.Dir, name string, content []byte) error {
	tmp := tempName(tempFile, "")
	err := d.Make(tmp, nodefs.Source{Kind: nodefs.Regular, Content: content, Meta: k.access})
	if err == nil {
		err = d.Rename(tmp, d, name, false)
	}
	if err != nil {
		return errors.Join(err, ignoreAbsent(d.Unlink(tmp)))
	}
	return nil
}

// write writes the record.
func (k *archive) write(st *state) error {
	b, err := st.encode()
	if err != nil {
		return err
	}
	if err := k.replace(k.top, stateFile, b); err != nil {
		return err
	}
	return k.top.Sync()
}

// setAside renames a record that cannot be read. It returns the new path.
func (k *archive) setAside() (string, error) {
	name := stateFile + ".corrupt-" + k.now().UTC().Format("20060102T150405.000000000Z")
	if err := k.top.Rename(stateFile, k.top, name, true); err != nil {
		return "", err
	}
	return k.top.Join(name), nil
}
