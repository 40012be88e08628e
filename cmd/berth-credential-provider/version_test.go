package main

import (
	"os/exec"
	"path/filepath"
	"testing"
)

// The program is built as for packages and the image, without information from git: only the linker
// sets the version.
func TestVersionIsLinked(t *testing.T) {
	program := filepath.Join(t.TempDir(), "provider")
	build := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w -buildid= -X main.version=v1.2.3", "-o", program, ".")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	out, err := exec.CommandContext(t.Context(), program, "--version").Output()
	if err != nil {
		t.Fatal(err)
	}
	if want := "berth-credential-provider v1.2.3\n"; string(out) != want {
		t.Errorf("it says %q, want %q", out, want)
	}
}
