package reconcile

import (
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/berth-registry/berth/config"
	"github.com/berth-registry/berth/internal/nodefs"
	"github.com/berth-registry/berth/test/nodetest"
)

func TestReadConfigStaysBelowTheRoot(t *testing.T) {
	dir := t.TempDir()
	root, err := nodefs.OpenRoot(filepath.Join(dir, "root"))
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	outside := filepath.Join(dir, "c.yaml")
	if err := os.WriteFile(outside, []byte(nodetest.Head), 0o600); err != nil {
		t.Fatal(err)
	}
	place := root.Path(ConfigFile)
	_, err = config.ReadOnNode(root, "")
	if !errors.Is(err, fs.ErrNotExist) || err.Error() != place+": no such file or directory" {
		t.Errorf("absent: %v", err)
	}
	for _, target := range []string{outside, "../../../../../../../../../../.." + outside} {
		nodetest.Symlink(t, target, place)
		if file, err := config.ReadOnNode(root, ""); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), place+": leads to "+root.Path(outside)) {
			t.Errorf("%s: %s, %v", target, file.Text, err)
		}
	}
	if file, err := config.ReadOnNode(root, outside); err != nil || string(file.Text) != nodetest.Head || file.Path != outside {
		t.Errorf("named: %+v, %v", file, err)
	}
	if err := os.MkdirAll(filepath.Dir(root.Path(outside)), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(root.Path(outside), []byte(nodetest.Head+"# inside\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if file, err := config.ReadOnNode(root, ""); err != nil || string(file.Text) != nodetest.Head+"# inside\n" || file.Path != place {
		t.Errorf("below the root: %+v, %v", file, err)
	}
}

// A command that waits too long for the lock names its holder and says what to do.
func TestLockHeldByAnother(t *testing.T) {
	m, err := Open(filepath.Join(t.TempDir(), "root"))
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	lock, err := nodefs.LockFile(t.Context(), m.Root, lockFile, false)
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Unlock()
	m.lockTimeout = 10 * time.Millisecond
	_, err = m.Apply(t.Context(), config.Default(), slog.New(slog.DiscardHandler))
	if !errors.Is(err, nodefs.ErrLocked) || !strings.Contains(err.Error(), "run this command again") || strings.Contains(err.Error(), "context") {
		t.Errorf("error %v", err)
	}
}
