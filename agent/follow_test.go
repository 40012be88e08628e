package agent

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestFollowsTheConfig(t *testing.T) {
	for _, blind := range []bool{false, true} {
		t.Run(map[bool]string{false: "inotify", true: "timer"}[blind], func(t *testing.T) {
			n := newNode(t)
			if n.o.watchUnavailable = blind; blind {
				n.o.resync = 50 * time.Millisecond
			}
			n.write("etc/config.yaml", mirrorTo("https://a.corp"))
			n.start()
			n.names("quay.io", "a.corp", true)

			// Written in place.
			if err := os.WriteFile(n.config, []byte(mirrorTo("https://b.corp")), 0o600); err != nil {
				t.Fatal(err)
			}
			n.names("quay.io", "b.corp", true)
			// Replaced.
			n.write("etc/config.yaml", mirrorTo("https://c.corp"))
			n.names("quay.io", "c.corp", true)
			// Removed and made again.
			if err := os.Remove(n.config); err != nil {
				t.Fatal(err)
			}
			n.eventually("the config is missed", func() bool { return !n.agent.Snapshot().Config.OK })
			n.names("quay.io", "c.corp", true)
			n.write("etc/config.yaml", mirrorTo("https://d.corp"))
			n.names("quay.io", "d.corp", true)
		})
	}
}

// A ConfigMap: kubelet swaps one link.
func TestFollowsAConfigMap(t *testing.T) {
	n := newNode(t)
	volume := filepath.Join(n.dir, "volume")
	swap := func(generation, config, password string) {
		t.Helper()
		n.write("volume/.."+generation+"/config.yaml", config)
		n.write("volume/.."+generation+"/password", password)
		if err := os.Symlink(".."+generation, filepath.Join(volume, "..data_tmp")); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(filepath.Join(volume, "..data_tmp"), filepath.Join(volume, "..data")); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"config.yaml", "password"} {
			if err := os.Symlink("..data/"+name, filepath.Join(volume, name)); err != nil && !os.IsExist(err) {
				t.Fatal(err)
			}
		}
	}
	config := mirrorTo("https://a.corp") + "registries:\n- host: a.corp\n  username: u\n  passwordFile: " + filepath.Join(volume, "password") + "\n"
	swap("1", config, "first")
	n.o.ConfigPath = filepath.Join(volume, "config.yaml")
	n.start()
	n.names("quay.io", "Basic dTpmaXJzdA==", true)
	swap("2", config, "second") // only the secret is another
	n.names("quay.io", "Basic dTpzZWNvbmQ=", true)
	swap("3", strings.Replace(config, "url: https://a.corp", "url: https://b.corp", 1), "second")
	n.names("quay.io", "b.corp", true)
}

func TestBadConfigChangesNothing(t *testing.T) {
	n := newNode(t)
	n.write("etc/config.yaml", mirrorTo("https://a.corp"))
	n.start()
	n.names("quay.io", "a.corp", true)
	n.converged()
	before := n.hosts("quay.io")
	good := mirrorTo("https://a.corp")

	huge := filepath.Join(n.dir, "huge")
	f, err := os.Create(huge)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Truncate(1 << 30); err != nil {
		t.Fatal(err)
	}
	f.Close()

	for name, bad := range map[string]func(){
		"deleted":      func() { os.Remove(n.config) },
		"empty":        func() { n.write("etc/config.yaml", "") },
		"half-written": func() { n.write("etc/config.yaml", good[:len(good)-20]) },
		"binary":       func() { n.write("etc/config.yaml", "\x7fELF\x02\x01\x01\x00\x00") },
		"a gigabyte":   func() { os.Rename(huge, n.config) },
		"a directory":  func() { os.Remove(n.config); os.Mkdir(n.config, 0o755) },
	} {
		t.Run(name, func(t *testing.T) {
			n.T = t
			bad()
			n.eventually("told", func() bool {
				s := n.agent.Snapshot()
				return !s.Config.OK && s.Config.Stale && s.Config.Error != "" && !s.Ready.Ready && len(s.Ready.Reasons) == 1
			})
			if got := n.hosts("quay.io"); got != before {
				t.Errorf("hosts.toml is now\n%s", got)
			}
			_ = os.Remove(n.config) // the directory
			n.write("etc/config.yaml", good)
			n.eventually("good again", func() bool { s := n.agent.Snapshot(); return s.Config.OK && s.Ready.Ready })
		})
	}
	n.T = t
}

// What is kept serves the agent that comes after, and edits are still put
// right.
func TestStartsWithABadConfig(t *testing.T) {
	n := newNode(t)
	n.write("etc/config.yaml", mirrorTo("https://a.corp"))
	n.start()
	n.names("quay.io", "a.corp", true)
	n.converged()
	n.end()
	n.write("etc/config.yaml", "kind: nonsense\n")
	if err := os.WriteFile(n.hostsFile("quay.io"), []byte("# edited\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	n.start()
	n.names("quay.io", "a.corp", true)
	n.converged()
	s := n.agent.Snapshot()
	if s.Config.OK || !s.Config.Stale || s.Ready.Ready {
		t.Errorf("%+v", s.Config)
	}
	info, err := os.Stat(filepath.Join(n.root, StateDir, lastGoodName))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
}

// A secret file that is gone is a bad config like any other, and what was good
// holds over a restart.
func TestStartsWithoutASecretFile(t *testing.T) {
	n := newNode(t)
	n.write("etc/password", "sesame")
	config := mirrorTo("https://a.corp") + "registries:\n- host: a.corp\n  username: u\n  passwordFile: password\n" // beside the config
	n.write("etc/config.yaml", config)
	n.start()
	n.names("quay.io", "Basic dTpzZXNhbWU=", true)
	n.converged()
	n.end()
	for _, name := range []string{n.hostsFile("quay.io"), filepath.Join(n.dir, "etc/password")} {
		if err := os.Remove(name); err != nil {
			t.Fatal(err)
		}
	}
	n.start()
	n.names("quay.io", "Basic dTpzZXNhbWU=", true)
	n.converged()
	if s := n.agent.Snapshot(); s.Config.OK || !strings.Contains(s.Config.Error, "password") || strings.Contains(s.Config.Error, "sesame") {
		t.Errorf("%+v", s.Config)
	}
	// What is kept is kept again when somebody removes it.
	n.write("etc/password", "sesame")
	n.eventually("good again", func() bool { return n.agent.Snapshot().Config.OK })
	kept := filepath.Join(n.root, StateDir, lastGoodName)
	if err := os.Remove(kept); err != nil {
		t.Fatal(err)
	}
	n.eventually("kept again", func() bool { n.agent.Wake(); _, err := os.Stat(kept); return err == nil })
}

func TestWithoutAConfig(t *testing.T) {
	n := newNode(t)
	os.Remove(n.config)
	n.start()
	n.eventually("told", func() bool {
		s := n.agent.Snapshot()
		return !s.Config.Since.IsZero() && !s.Config.OK && !s.Config.Stale && !s.Ready.Ready
	})
	if _, err := os.Stat(filepath.Join(n.root, "etc")); err == nil {
		t.Error("something was written")
	}
	n.write("etc/config.yaml", mirrorTo("https://a.corp"))
	n.names("quay.io", "a.corp", true)
}
