package agent

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/berth-registry/berth/agent/status"
)

func TestCorrectsEdits(t *testing.T) {
	for _, blind := range []bool{false, true} {
		t.Run(map[bool]string{false: "inotify", true: "timer"}[blind], func(t *testing.T) {
			n := newNode(t)
			if n.o.watchUnavailable = blind; blind {
				n.o.resync = 50 * time.Millisecond
			}
			n.write("etc/config.yaml", mirrorTo("https://a.corp"))
			n.start()
			n.waitForHost("quay.io", "a.corp", true)
			n.converged()
			want := n.hosts("quay.io")
			file, dir := n.hostsFile("quay.io"), filepath.Dir(n.hostsFile("quay.io"))
			for name, damage := range map[string]func() error{
				"edited":          func() error { return os.WriteFile(file, []byte("server = \"https://evil.corp\"\n"), 0o644) },
				"truncated":       func() error { return os.Truncate(file, 60) },
				"deleted":         func() error { return os.Remove(file) },
				"mode":            func() error { return os.Chmod(file, 0o666) },
				"directory":       func() error { return os.RemoveAll(dir) },
				"everything":      func() error { return os.RemoveAll(filepath.Dir(dir)) },
				"a symbolic link": func() error { os.Remove(file); return os.Symlink("/etc/passwd", file) },
			} {
				if err := damage(); err != nil {
					t.Fatal(err)
				}
				n.eventually(name+" is corrected", func() bool {
					info, err := os.Lstat(file)
					return err == nil && info.Mode() == 0o644 && n.hosts("quay.io") == want
				})
			}
			n.eventually("counted", func() bool { return n.agent.Snapshot().Files.Repaired >= 7 })
			if len(n.agent.Snapshot().Files.Saved) == 0 {
				t.Error("no edit was kept")
			}
		})
	}
}

// Another program keeps writing the file: after a while the file is left to it and reported.
func TestLeavesAFileThatKeepsChanging(t *testing.T) {
	n := newNode(t)
	n.write("etc/config.yaml", mirrorTo("https://a.corp"))
	n.start()
	n.waitForHost("quay.io", "a.corp", true)
	const foreign = "server = \"https://theirs.corp\"\n"
	conflict := func() bool {
		for _, a := range status.Alarms(n.agent.Snapshot()) {
			if a.Name == "FileConflict" && strings.HasSuffix(a.Subject, "quay.io/hosts.toml") {
				return true
			}
		}
		return false
	}
	n.eventually("the conflict is reported", func() bool {
		if conflict() {
			return true
		}
		if b, err := os.ReadFile(n.hostsFile("quay.io")); err == nil && string(b) != foreign {
			if err := os.WriteFile(n.hostsFile("quay.io"), []byte(foreign), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		return false
	})
	n.nextPass()
	if b, err := os.ReadFile(n.hostsFile("quay.io")); err != nil || string(b) != foreign {
		t.Errorf("%v\n%s", err, b)
	}
	if repaired := n.agent.Snapshot().Files.Repaired; repaired != 10 {
		t.Errorf("corrected %d times", repaired)
	}
}

func TestAForeignFileIsAConflict(t *testing.T) {
	n := newNode(t)
	file := n.hostsFile("quay.io")
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte("server = \"https://theirs.corp\"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	n.write("etc/config.yaml", mirrorTo("https://a.corp"))
	n.start()
	n.eventually("it is reported", func() bool { return len(n.agent.Snapshot().Files.Conflicts) == 1 })
	if strings.Contains(n.hosts("quay.io"), "a.corp") {
		t.Error("it was written over")
	}
	// The foreign file is removed; ours is written.
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	n.waitForHost("quay.io", "a.corp", true)
	n.eventually("no conflict", func() bool { return len(n.agent.Snapshot().Files.Conflicts) == 0 })
}
