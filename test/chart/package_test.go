package chart

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestPackage: helm reads the package of a release, which runs the image of that release. The same
// sources give the same bytes.
func TestPackage(t *testing.T) {
	pack := func() (file string, content []byte) {
		dir := t.TempDir()
		cmd := exec.CommandContext(t.Context(), top+"/test/release/chart.sh", dir)
		cmd.Env = append(os.Environ(), "VERSION=v9.8.7-rc.1", "SOURCE_DATE_EPOCH=1700000000")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("chart.sh: %v\n%s", err, out)
		}
		file = filepath.Join(dir, "berth-9.8.7-rc.1.tgz")
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		return file, content
	}
	first, a := pack()
	if _, b := pack(); !bytes.Equal(a, b) {
		t.Error("the second package has other bytes")
	}
	out, stderr, err := helm(t, "show", "chart", first)
	if err != nil || !strings.Contains(out, "\nversion: 9.8.7-rc.1\n") {
		t.Errorf("helm show chart: %v\n%s%s", err, out, stderr)
	}
	out, stderr, err = helm(t, "template", "berth", first)
	if err != nil || !strings.Contains(out, "image: ghcr.io/berth-registry/berth:9.8.7-rc.1\n") {
		t.Errorf("helm template: %v\n%s%s", err, out, stderr)
	}
}
