package install

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/berth-registry/berth/credprovider"
	"github.com/berth-registry/berth/internal/managedfile/record"
	"github.com/berth-registry/berth/internal/nodefs"
	"github.com/berth-registry/berth/node"
)

// uninstall removes the rules that restore left with its journal; rules of apply or an agent stay.
func TestUninstallRemovesWhatRestoreLeft(t *testing.T) {
	for _, missing := range []bool{true, false} {
		body, err := credprovider.Rules{Missing: missing}.Encode()
		if err != nil {
			t.Fatal(err)
		}
		dir := t.TempDir()
		file := filepath.Join(dir, credprovider.RulesFile)
		err = errors.Join(os.MkdirAll(filepath.Join(dir, StateDir), 0o700), os.MkdirAll(filepath.Join(dir, record.DefaultStateDir, "saved"), 0o700),
			os.WriteFile(file, body, 0o600), os.WriteFile(filepath.Join(dir, StateDir, journalName), []byte("{}"), 0o600))
		if err != nil {
			t.Fatal(err)
		}
		root, err := nodefs.OpenRoot(dir)
		if err != nil {
			t.Fatal(err)
		}
		defer root.Close()
		in := &Installer{machine: node.Machine{Root: root}}
		if err := in.removeState(); err != nil {
			t.Fatal(err)
		}
		_, err = os.Stat(filepath.Join(dir, record.DefaultStateDir))
		if gone := errors.Is(err, os.ErrNotExist); gone != missing {
			t.Errorf("rules that know nothing: %t; the directory: %v", missing, err)
		}
	}
}
