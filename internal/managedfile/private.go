package managedfile

import (
	"path"

	"github.com/berth-registry/berth/internal/managedfile/record"
)

// WritePrivate writes a file of mode 0600 into the state directory, completely or not at all. That
// directory belongs to Berth alone: its files have no record, and edits of them are not kept.
func (s *Store) WritePrivate(name string, content []byte) error {
	st, _, err := s.load()
	if err != nil {
		return err
	}
	known := len(st.Dirs)
	k, err := s.archive(st)
	if err != nil {
		return fileError(s.stateDir, "open", "nothing was changed", err)
	}
	defer k.Close()
	if len(st.Dirs) != known {
		if err := k.Write(st); err != nil {
			return fileError(k.Top.Join(record.StateFile), "write", "", err)
		}
	}
	if err := k.Replace(k.Top, name, content); err != nil {
		return fileError(path.Join(s.stateDir, name), "write", "the old file is unchanged", err)
	}
	return k.Top.Sync()
}
