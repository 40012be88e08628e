package agent

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/berth-registry/berth/node/reconcile"
)

// A huge private file is not read into memory, and the error says what to do. An agent starts
// nevertheless.
func TestPrivateFilesAreBounded(t *testing.T) {
	for _, name := range []string{reconcile.LearnedFile, reconcile.HealthFile, reconcile.LastGoodFile} {
		n := newNode(t)
		file := filepath.Join(n.root, reconcile.StateDir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte("{"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(file, 1<<40); err != nil { // sparse
			t.Fatal(err)
		}
		err := openNode(t, n.root).ReadPrivate(name, &struct{}{})
		if err == nil || !strings.Contains(err.Error(), "larger than") || !strings.Contains(err.Error(), "rm "+reconcile.StateDir+"/"+name) {
			t.Errorf("%s: %v", name, err)
		}
		n.start()
		n.converged()
		n.end()
	}
}
