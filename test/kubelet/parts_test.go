package kubelet

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// part is a program that parts.sh has built.
type part struct{ name, version, path string }

// built returns the parts of that name, and fails if one is missing: a test must not compile for
// minutes.
func built(t *testing.T, name string) []part {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "./parts.sh", "-n", name)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, &stderr)
	}
	var found []part
	for line := range strings.Lines(string(out)) {
		f := strings.Fields(line)
		if len(f) != 3 {
			t.Fatalf("parts.sh says %q", line)
		}
		found = append(found, part{f[0], f[1], f[2]})
	}
	if len(found) == 0 {
		t.Fatalf("parts.sh knows no %s", name)
	}
	return found
}

// manifest returns the path of a file that we ship for kubelet.
func manifest(name string) string {
	return filepath.Join("..", "..", "manifests", "kubelet", name)
}

// write writes a file with mode 0600 into a new directory and returns its path.
func write(t *testing.T, name string, content []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Error(err)
	}
}
