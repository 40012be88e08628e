package agent

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/berth-registry/berth/node/reconcile"
	"github.com/berth-registry/berth/test/nodetest"
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
			n.waitForHost("quay.io", "a.corp", true)

			// Written in place.
			if err := os.WriteFile(n.config, []byte(mirrorTo("https://b.corp")), 0o600); err != nil {
				t.Fatal(err)
			}
			n.waitForHost("quay.io", "b.corp", true)
			// Replaced.
			n.write("etc/config.yaml", mirrorTo("https://c.corp"))
			n.waitForHost("quay.io", "c.corp", true)
			// Removed and made again.
			if err := os.Remove(n.config); err != nil {
				t.Fatal(err)
			}
			n.eventually("the config is missed", func() bool { return !n.agent.Snapshot().Config.OK })
			n.waitForHost("quay.io", "c.corp", true)
			n.write("etc/config.yaml", mirrorTo("https://d.corp"))
			n.waitForHost("quay.io", "d.corp", true)
		})
	}
}

// A ConfigMap: kubelet replaces one symlink.
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
	n.waitForHost("quay.io", "Basic dTpmaXJzdA==", true)
	swap("2", config, "second") // only the secret differs
	n.waitForHost("quay.io", "Basic dTpzZWNvbmQ=", true)
	swap("3", strings.Replace(config, "url: https://a.corp", "url: https://b.corp", 1), "second")
	n.waitForHost("quay.io", "b.corp", true)
}

func TestBadConfigChangesNothing(t *testing.T) {
	n := newNode(t)
	n.write("etc/config.yaml", mirrorTo("https://a.corp"))
	n.start()
	n.waitForHost("quay.io", "a.corp", true)
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
		"a gigabyte":   func() { _ = os.Rename(huge, n.config) },
		"a directory":  func() { _, _ = os.Remove(n.config), os.Mkdir(n.config, 0o755) },
	} {
		t.Run(name, func(t *testing.T) {
			n.T = t
			bad()
			n.eventually("it is reported", func() bool {
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

// A saved config serves the next agent, with its variables; the agent still corrects edits of our
// files.
func TestStartsWithABadConfig(t *testing.T) {
	n := newNode(t)
	t.Setenv("ZONE", "a")
	n.write("etc/config.yaml", mirrorTo("https://${ZONE}.corp"))
	n.start()
	n.waitForHost("quay.io", "a.corp", true)
	n.converged()
	n.end()
	t.Setenv("ZONE", "")
	n.write("etc/config.yaml", "kind: nonsense\n")
	if err := os.WriteFile(n.hostsFile("quay.io"), []byte("# edited\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	n.start()
	n.waitForHost("quay.io", "a.corp", true)
	n.converged()
	s := n.agent.Snapshot()
	if s.Config.OK || !s.Config.Stale || s.Ready.Ready {
		t.Errorf("%+v", s.Config)
	}
	info, err := os.Stat(filepath.Join(n.root, reconcile.StateDir, reconcile.LastGoodFile))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
}

// A missing secret file makes a config bad like any other mistake; the last good config stays
// in effect over a restart.
func TestStartsWithoutASecretFile(t *testing.T) {
	n := newNode(t)
	n.write("etc/password", "sesame")
	config := mirrorTo("https://a.corp") + "registries:\n- host: a.corp\n  username: u\n  passwordFile: password\n" // beside the config
	n.write("etc/config.yaml", config)
	n.start()
	n.waitForHost("quay.io", "Basic dTpzZXNhbWU=", true)
	n.converged()
	n.end()
	for _, name := range []string{n.hostsFile("quay.io"), filepath.Join(n.dir, "etc/password")} {
		if err := os.Remove(name); err != nil {
			t.Fatal(err)
		}
	}
	n.start()
	n.waitForHost("quay.io", "Basic dTpzZXNhbWU=", true)
	n.converged()
	if s := n.agent.Snapshot(); s.Config.OK || !strings.Contains(s.Config.Error, "password") || strings.Contains(s.Config.Error, "sesame") {
		t.Errorf("%+v", s.Config)
	}
	// The saved config is written again when it was removed.
	n.write("etc/password", "sesame")
	n.eventually("good again", func() bool { return n.agent.Snapshot().Config.OK })
	kept := filepath.Join(n.root, reconcile.StateDir, reconcile.LastGoodFile)
	if err := os.Remove(kept); err != nil {
		t.Fatal(err)
	}
	n.eventually("kept again", func() bool { n.agent.Wake(); _, err := os.Stat(kept); return err == nil })
}

func TestWithoutAConfig(t *testing.T) {
	n := newNode(t)
	os.Remove(n.config)
	n.start()
	n.eventually("it is reported", func() bool {
		s := n.agent.Snapshot()
		return !s.Config.Since.IsZero() && !s.Config.OK && !s.Config.Stale && !s.Ready.Ready
	})
	if _, err := os.Stat(filepath.Join(n.root, "etc")); err == nil {
		t.Error("something was written")
	}
	n.write("etc/config.yaml", mirrorTo("https://a.corp"))
	n.waitForHost("quay.io", "a.corp", true)
}

// The node's own config is followed through symlinks as the node resolves them, by events
// alone.
func TestFollowsTheConfigOfTheNode(t *testing.T) {
	n := newNode(t)
	n.o.ConfigPath, n.o.resync = "", time.Hour
	place := filepath.Join(n.root, reconcile.ConfigFile)
	n.write("root/srv/a/c.yaml", mirrorTo("https://a.corp"))
	n.write("root/srv/b/c.yaml", mirrorTo("https://b.corp"))
	n.write("outside.yaml", mirrorTo("https://outside.corp"))
	nodetest.Symlink(t, "/srv/a/c.yaml", place)
	n.start()
	n.waitForHost("quay.io", "a.corp", true)
	n.eventually("the config has its name", func() bool { return n.agent.Snapshot().Config.Path == place })
	n.write("root/srv/a/c.yaml", mirrorTo("https://changed.corp"))
	n.waitForHost("quay.io", "changed.corp", true)
	nodetest.Symlink(t, "/srv/b/c.yaml", place)
	n.waitForHost("quay.io", "b.corp", true)
	nodetest.Symlink(t, filepath.Join(n.dir, "outside.yaml"), place)
	n.eventually("out of the root", func() bool { return !n.agent.Snapshot().Config.OK })
	n.waitForHost("quay.io", "b.corp", true)

	// A ConfigMap.
	volume := filepath.Dir(place)
	n.write("root/etc/berth/..1/config.yaml", mirrorTo("https://one.corp"))
	n.write("root/etc/berth/..2/config.yaml", mirrorTo("https://two.corp"))
	nodetest.Symlink(t, "..1", filepath.Join(volume, "..data"))
	nodetest.Symlink(t, "..data/config.yaml", place)
	n.waitForHost("quay.io", "one.corp", true)
	nodetest.Symlink(t, "..2", filepath.Join(volume, "..data"))
	if err := os.RemoveAll(filepath.Join(volume, "..1")); err != nil {
		t.Fatal(err)
	}
	n.waitForHost("quay.io", "two.corp", true)
}

// Each mistake in a config is a log record of its own, and is logged once.
func TestOneRecordPerMistake(t *testing.T) {
	n := newNode(t)
	n.write("etc/config.yaml", nodetest.Head+"mirors: []\nregistreis: []\n")
	n.start()
	n.eventually("it is reported", func() bool { return strings.Contains(n.log.String(), "registreis") })
	for range 3 {
		n.agent.Wake()
	}
	n.write("etc/config.yaml", nodetest.Head)
	n.converged()
	for line := range strings.Lines(n.log.String()) {
		if strings.Contains(line, "mirors") && strings.Contains(line, "registreis") {
			t.Errorf("two mistakes in a record: %s", line)
		}
	}
	for _, mistake := range []string{"mirors", "registreis"} {
		if count := strings.Count(n.log.String(), mistake); count != 1 {
			t.Errorf("%s is in the log %d times", mistake, count)
		}
	}
}

// When a certificate file is removed, its line in hosts.toml is removed too, because containerd
// fails every pull on a missing file; a new file is named.
func TestAgentFollowsForeignCertificates(t *testing.T) {
	n := newNode(t)
	a := nodetest.NewAuthority(t)
	n.write("root"+nodetest.CertsDir+"/quay.io/ca.crt", string(a.CA))
	n.write("root"+nodetest.CertsDir+"/quay.io/client.cert", string(a.Cert)+string(a.Key))
	n.write("etc/config.yaml", mirrorTo("https://a.corp"))
	n.start()
	named := func(want ...string) func() bool {
		return func() bool {
			body := n.hosts("quay.io")
			for _, name := range []string{"ca.crt", "client.cert", "new.crt"} {
				if strings.Contains(body, name) != strings.Contains(strings.Join(want, " "), name) {
					return false
				}
			}
			return strings.Contains(body, "a.corp")
		}
	}
	n.eventually("named", named("ca.crt", "client.cert"))
	dir := filepath.Dir(n.hostsFile("quay.io"))
	if err := os.Remove(filepath.Join(dir, "client.cert")); err != nil {
		t.Fatal(err)
	}
	n.eventually("gone", named("ca.crt"))
	if err := os.WriteFile(filepath.Join(dir, "new.crt"), a.CA, 0o644); err != nil {
		t.Fatal(err)
	}
	n.eventually("new", named("ca.crt", "new.crt"))
}
