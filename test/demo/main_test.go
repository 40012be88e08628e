package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The demo tells what happened, not what should have: it fails otherwise.
func TestRun(t *testing.T) {
	berth := filepath.Join(t.TempDir(), "berth")
	if out, err := exec.Command("go", "build", "-o", berth, "../../cmd/berth").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	var out strings.Builder
	if err := run(t.Context(), &out, berth); err != nil {
		t.Fatalf("%v\n%s", err, &out)
	}
	for _, want := range []string{"no answer, so the next one is asked", "GET /v2/hub/library/hello/blobs/", "every digest right", "Nothing is left"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the story does not say %q", want)
		}
	}
	if strings.Contains(out.String(), demoPassword) {
		t.Error("the story shows the password")
	}
}

// With files that send pulls elsewhere the demo must fail.
func TestRunNoticesAWrongHost(t *testing.T) {
	regs, err := startRegistries()
	if err != nil {
		t.Fatal(err)
	}
	defer regs.close()
	certsDir := t.TempDir()
	dir := filepath.Join(certsDir, "docker.io")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	toml := "server = \"http://" + regs.mirror.addr + "/v2/hub\"\noverride_path = true\n"
	if err := os.WriteFile(filepath.Join(dir, "hosts.toml"), []byte(toml), 0o644); err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	s := &story{w: &out}
	err = newPuller(certsDir).tell(t.Context(), s, "docker.io/library/hello:1.0", regs.private.addr)
	if err == nil || !strings.Contains(err.Error(), "instead of") {
		t.Errorf("error %v", err)
	}
	if err := newPuller(certsDir).tell(t.Context(), s, "quay.io/a/b:1", regs.mirror.addr); err == nil || !strings.Contains(out.String(), "would leave this machine") {
		t.Errorf("a pull left this machine: %v", err)
	}
}
