package managedfile

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/berth-registry/berth/internal/managedfile/record"
	"github.com/berth-registry/berth/internal/nodefs"
)

func TestPrivateFile(t *testing.T) {
	dir := t.TempDir()
	root, err := nodefs.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	s, err := Open(root, record.DefaultStateDir, WithPrivate("x.json"))
	if err != nil {
		t.Fatal(err)
	}
	for _, content := range []string{"one", "two"} {
		if err := s.WritePrivate("x.json", []byte(content)); err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(dir, record.DefaultStateDir, "x.json")
		got, err := os.ReadFile(file)
		if err != nil || string(got) != content {
			t.Errorf("content %q, %v", got, err)
		}
		if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("mode %v, %v", info.Mode(), err)
		}
	}
	if _, err := s.RestoreAll(context.Background()); err != nil {
		t.Fatal(err)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "*")); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

// If the directory of the lock can never be created, the result is an error, not an endless wait.
func TestLockBelowADanglingLink(t *testing.T) {
	dir := t.TempDir()
	if err := os.Symlink("/nowhere", filepath.Join(dir, "run")); err != nil {
		t.Fatal(err)
	}
	root, err := nodefs.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	if _, err := nodefs.LockFile(context.Background(), root, "/run/berth/lock", true); err == nil || !strings.Contains(err.Error(), "dangling symlink") {
		t.Errorf("error %v", err)
	}
}

func TestResolveStaysBelowTheRoot(t *testing.T) {
	dir := t.TempDir()
	for link, target := range map[string]string{"run": "/opt/run", "up": "../../../../etc"} {
		if err := os.Symlink(target, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	root, err := nodefs.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	for hostPath, want := range map[string]string{"/run/berth/tokens": "opt/run/berth/tokens", "/up/x": "etc/x", "/plain/x": "plain/x"} {
		if got, err := root.Resolve(hostPath); err != nil || got != filepath.Join(dir, want) {
			t.Errorf("Resolve(%s) = %s, %v", hostPath, got, err)
		}
	}
}
