package nodetest

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// KubeletFile is the file that [Kubelet] reads first.
const KubeletFile = "/var/lib/kubelet/config.json"

// Kubelet adds a running kubelet to the node below root: with the working directory /, the HOME
// /root, and the default root directory.
func Kubelet(t testing.TB, root string) {
	t.Helper()
	const stat = " (kubelet) S 1 7 7 0 -1 0 0 0 0 0 0 0 0 0 20 0 9 0 1000"
	for name, content := range map[string]string{
		"proc/1/stat": "1" + stat + strings.Repeat(" 0", 30), "proc/900/stat": "900" + stat + strings.Repeat(" 0", 30),
		"proc/900/comm": "kubelet\n", "proc/900/cmdline": "/usr/bin/kubelet\x00", "proc/900/environ": "TOKEN=of-the-environment\x00HOME=/root\x00",
		"var/lib/kubelet/pki": "", "root/.profile": "",
	} {
		WriteFile(t, root, name, content)
	}
	for link, target := range map[string]string{"root": "../..", "cwd": "/"} {
		if err := os.Symlink(target, filepath.Join(root, "proc/900", link)); err != nil {
			t.Fatal(err)
		}
	}
}

// WriteFile writes a file of the node below root, with the directories above it.
func WriteFile(t testing.TB, root, name, content string) {
	t.Helper()
	file := filepath.Join(root, name)
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}
