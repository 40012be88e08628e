package trace

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/berth-registry/berth/internal/containerdconf"
)

// A fifo in place of a hosts.toml is reported in the verdict and never read, for every release.
func TestFifo(t *testing.T) {
	for _, release := range []containerdconf.Release{{Major: 1, Minor: 6, Patch: 20}, {Major: 2, Minor: 4, Patch: 2}} {
		w := newFixture(t)
		w.Node.Release = release
		dir := filepath.Join(w.Node.CertsDirs[0], w.own())
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := syscall.Mkfifo(filepath.Join(dir, "hosts.toml"), 0o644); err != nil {
			t.Fatal(err)
		}
		if r := w.Image(t.Context(), w.name); r.Verdict.Serves || !strings.Contains(r.Verdict.Text, "fifo") {
			t.Errorf("%+v: %+v", release, r.Verdict)
		}
	}
}
