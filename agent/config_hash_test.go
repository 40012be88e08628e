package agent

import (
	"os"
	"testing"

	"github.com/berth-registry/berth/config"
)

// The hash is that of the config in use, not of a file that cannot be used, also after a restart.
func TestHashOfTheConfigInUse(t *testing.T) {
	n := newNode(t)
	n.o.Pool = "gpu"
	hash := func() string { return n.agent.Snapshot().Config.Hash }
	of := func(text string) string { return config.File{Text: []byte(text)}.Hash() }
	first, second := mirrorTo("https://a.corp"), mirrorTo("https://b.corp")

	if err := os.Remove(n.config); err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	n.start()
	n.eventually("there is no config", func() bool { return !n.agent.Snapshot().Config.Since.IsZero() })
	if s := n.agent.Snapshot(); s.Config.Hash != "" || s.Pool != "gpu" {
		t.Errorf("without a config: hash %q, pool %q", s.Config.Hash, s.Pool)
	}
	n.write("etc/config.yaml", first)
	n.eventually("the first config", func() bool { return hash() == of(first) })
	n.write("etc/config.yaml", second)
	n.eventually("the second config", func() bool { return hash() == of(second) })
	n.converged()
	const bad = "kind: nonsense\n"
	n.write("etc/config.yaml", bad)
	n.eventually("a bad config", func() bool { return n.agent.Snapshot().Config.Stale })
	if hash() != of(second) {
		t.Errorf("with a bad config the hash is %s; the one in use has %s", hash(), of(second))
	}
	n.end()
	n.start()
	n.eventually("a bad config after a restart", func() bool { return n.agent.Snapshot().Config.Stale })
	if hash() != of(second) {
		t.Errorf("after a restart with a bad config the hash is %s; the one in use has %s", hash(), of(second))
	}
	n.write("etc/config.yaml", first)
	n.eventually("good again", func() bool { return hash() == of(first) })
}
