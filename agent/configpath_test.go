package agent

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
	"github.com/berth-registry/berth/internal/managedfile"
)

// link makes a symbolic link in place of what is there.
func link(t *testing.T, target, name string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(target, name+".new"); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(name+".new", name); err != nil {
		t.Fatal(err)
	}
}

// The node's own config is followed through links as the node has them, by
// events alone.
func TestFollowsTheConfigOfTheNode(t *testing.T) {
	n := newNode(t)
	n.o.ConfigPath, n.o.resync = "", time.Hour
	place := filepath.Join(n.root, ConfigFile)
	n.write("root/srv/a/c.yaml", mirrorTo("https://a.corp"))
	n.write("root/srv/b/c.yaml", mirrorTo("https://b.corp"))
	n.write("outside.yaml", mirrorTo("https://outside.corp"))
	link(t, "/srv/a/c.yaml", place)
	n.start()
	n.names("quay.io", "a.corp", true)
	n.eventually("the config has its name", func() bool { return n.agent.Snapshot().Config.Path == place })
	n.write("root/srv/a/c.yaml", mirrorTo("https://changed.corp"))
	n.names("quay.io", "changed.corp", true)
	link(t, "/srv/b/c.yaml", place)
	n.names("quay.io", "b.corp", true)
	link(t, filepath.Join(n.dir, "outside.yaml"), place)
	n.eventually("out of the root", func() bool { return !n.agent.Snapshot().Config.OK })
	n.names("quay.io", "b.corp", true)

	// A ConfigMap.
	volume := filepath.Dir(place)
	n.write("root/etc/berth/..1/config.yaml", mirrorTo("https://one.corp"))
	n.write("root/etc/berth/..2/config.yaml", mirrorTo("https://two.corp"))
	link(t, "..1", filepath.Join(volume, "..data"))
	link(t, "..data/config.yaml", place)
	n.names("quay.io", "one.corp", true)
	link(t, "..2", filepath.Join(volume, "..data"))
	if err := os.RemoveAll(filepath.Join(volume, "..1")); err != nil {
		t.Fatal(err)
	}
	n.names("quay.io", "two.corp", true)
}

func TestReadConfigStaysBelowTheRoot(t *testing.T) {
	dir := t.TempDir()
	root, err := managedfile.OpenRoot(filepath.Join(dir, "root"))
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	outside := filepath.Join(dir, "c.yaml")
	if err := os.WriteFile(outside, []byte(head), 0o600); err != nil {
		t.Fatal(err)
	}
	place := root.Path(ConfigFile)
	_, err = ReadConfig(root, "")
	if !errors.Is(err, fs.ErrNotExist) || err.Error() != place+": no such file or directory" {
		t.Errorf("absent: %v", err)
	}
	for _, target := range []string{outside, "../../../../../../../../../../.." + outside} {
		link(t, target, place)
		if file, err := ReadConfig(root, ""); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), place+": leads to "+root.Path(outside)) {
			t.Errorf("%s: %s, %v", target, file.Text, err)
		}
	}
	if file, err := ReadConfig(root, outside); err != nil || string(file.Text) != head || file.Path != outside {
		t.Errorf("named: %+v, %v", file, err)
	}
	if err := os.MkdirAll(filepath.Dir(root.Path(outside)), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(root.Path(outside), []byte(head+"# inside\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if file, err := ReadConfig(root, ""); err != nil || string(file.Text) != head+"# inside\n" || file.Path != place {
		t.Errorf("below the root: %+v, %v", file, err)
	}
}

// Who waits in vain is told who has the turn, and what to do.
func TestLockHeldByAnother(t *testing.T) {
	m, err := Open(filepath.Join(t.TempDir(), "root"))
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	lock, err := managedfile.LockFile(t.Context(), m.root, lockFile, false)
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Unlock()
	m.patience = 10 * time.Millisecond
	_, err = m.Apply(t.Context(), config.Default(), slog.New(slog.DiscardHandler))
	if !errors.Is(err, managedfile.ErrLocked) || !strings.Contains(err.Error(), "run it again") || strings.Contains(err.Error(), "context") {
		t.Errorf("error %v", err)
	}
}
