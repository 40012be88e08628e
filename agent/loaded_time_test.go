package agent

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// loadedTime returns the time at which the config was loaded, as /metrics, /status and the page
// show it.
func (n *node) loadedTime() time.Time {
	n.Helper()
	return n.agent.Snapshot().Config.Loaded
}

// The time shows whether a rollout arrived: reading an unchanged config does not move it.
func TestLoadedTime(t *testing.T) {
	n := newNode(t)
	n.write("etc/password", "first")
	config := mirrorTo("https://a.corp") + "registries:\n- host: a.corp\n  username: u\n  passwordFile: " + filepath.Join(n.dir, "etc/password") + "\n"
	n.write("etc/config.yaml", config)
	begin := time.Now()
	n.start()
	n.converged()
	first := n.loadedTime()
	if first.Before(begin) || first.After(time.Now()) {
		t.Fatalf("loaded at %s, started at %s", first, begin)
	}
	stays := func(what string) {
		t.Helper()
		before := n.loadedTime()
		n.nextPass()
		if now := n.loadedTime(); !now.Equal(before) {
			t.Errorf("%s: loaded at %s, before at %s", what, now, before)
		}
	}
	moves := func(what string) {
		t.Helper()
		before := first
		n.eventually(what+": loaded again", func() bool { first = n.loadedTime(); return first.After(before) })
		stays("after " + what)
	}
	stays("nothing has changed")
	n.write("etc/config.yaml", config) // as a ConfigMap that is mounted again
	stays("the same again")
	n.write("etc/config.yaml", strings.Replace(config, "https://a.corp", "https://b.corp", 1))
	moves("another text")
	n.write("etc/password", "second")
	moves("another password")
	if err := os.Remove(filepath.Join(n.dir, "etc/password")); err != nil {
		t.Fatal(err)
	}
	n.eventually("the password is missed", func() bool { return !n.agent.Snapshot().Config.OK })
	stays("what cannot be used")
	n.write("etc/password", "second")
	moves("the same after what cannot be used")
}

// A config that an earlier agent saved was not loaded by this one.
func TestSavedConfigIsNotLoaded(t *testing.T) {
	n := newNode(t)
	n.write("etc/config.yaml", mirrorTo("https://a.corp"))
	n.start()
	n.waitForHost("quay.io", "a.corp", true)
	n.converged()
	n.end()
	n.write("etc/config.yaml", "kind: nonsense\n")
	n.start()
	n.converged()
	if at := n.loadedTime(); !at.IsZero() {
		t.Errorf("loaded at %s", at)
	}
	n.write("etc/config.yaml", mirrorTo("https://a.corp"))
	n.eventually("loaded", func() bool { return !n.loadedTime().IsZero() })
}
