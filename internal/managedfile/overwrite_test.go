package managedfile

import (
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/berth-registry/berth/internal/managedfile/record"
	"github.com/berth-registry/berth/internal/nodefs"
)

// A change in place changes the content of the same inode and needs no new name.
func TestInPlace(t *testing.T) {
	full := false
	w := openWorld(t, t.TempDir(), WithSteps(func(s nodefs.Step) error {
		if full && s.Op == "create" && strings.HasPrefix(s.Path, certs) {
			return unix.ENOSPC
		}
		return nil
	}))
	defer w.close()
	apply := func(inPlace bool, body string) error {
		t.Helper()
		wanted := []File{hosts("docker.io", body)}
		snap, err := w.store.Observe(w.scope, wanted)
		w.must(err)
		changes := Plan(wanted, snap)
		changes[0].InPlace = inPlace
		_, err = w.store.Apply(w.ctx(), w.scope, changes)
		return err
	}
	w.must(apply(false, "a = 'one'\nb = 'two'\n"))
	file := w.path(certs + "/docker.io/hosts.toml")
	before, err := os.Stat(file)
	w.must(err)
	full = true
	if err := apply(false, "a = 'one'\n#--------\n"); err == nil {
		t.Fatal("the fault does not work")
	}
	w.must(apply(true, "a = 'one'\n#--------\n"))
	after, err := os.Stat(file)
	w.must(err)
	raw, err := os.ReadFile(file)
	w.must(err)
	if !os.SameFile(before, after) || after.Mode() != before.Mode() || !record.Intact(raw) || !strings.HasSuffix(string(raw), "\n#--------\n") {
		t.Errorf("%v, %s", after.Mode(), raw)
	}
	if err := apply(true, "a = 'one'\n"); err == nil || !strings.Contains(err.Error(), "same length") {
		t.Errorf("another length: %v", err)
	}
}
