package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"
)

// The commands of the page about installing print what the page shows, in its order; after the last
// one the node is as before.
func TestInstallPage(t *testing.T) {
	root := t.TempDir()
	config := filepath.Join(root, "etc/containerd/config.toml")
	const before = "version = 2\n[plugins]\n  [plugins.\"io.containerd.grpc.v1.cri\"]\n    sandbox_image = \"registry.k8s.io/pause:3.9\"\n"
	putFile(t, config, before)
	page, err := os.ReadFile("../../docs/installing-on-a-node.md")
	if err != nil {
		t.Fatal(err)
	}
	ran, compared := 0, 0
	out := ""
	for _, m := range regexp.MustCompile("(?ms)^```(\\w+)( \\w+)?\n(.*?)^```$").FindAllStringSubmatch(string(page), -1) {
		switch m[1] {
		case "sh":
			out = installs(t, root, m[3])
			ran++
		case "text":
			if out != m[3] {
				t.Errorf("the page shows\n%s\nprinted was\n%s", m[3], out)
			}
			compared++
		}
		now, err := os.ReadFile(config)
		if err != nil {
			t.Fatal(err)
		}
		if wired := ran == 2; wired == (string(now) == before) {
			t.Errorf("after %d commands config.toml is\n%s", ran, now)
		}
	}
	if ran != 3 || compared != 1 {
		t.Errorf("%d commands ran and %d outputs were compared, want 3 and 1", ran, compared)
	}
}

// installs runs a line as it is written, on the node below root. Its question is not answered,
// which is no failure of the page.
func installs(t *testing.T, root, line string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "sh", "-euc", `berth() { verb=$1; shift; command berth $verb --root "$ROOT" "$@"; }`+"\n"+line)
	cmd.Env = append(os.Environ(), "ROOT="+root)
	out, err := cmd.Output()
	if exit, ok := err.(*exec.ExitError); err != nil && (!ok || exit.ExitCode() != 1 || regexp.MustCompile(`--yes`).MatchString(line)) {
		t.Errorf("%s: %v\n%s", line, err, out)
	}
	return string(out)
}
