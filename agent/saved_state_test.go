package agent

import (
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/berth-registry/berth/agent/status"
	"github.com/berth-registry/berth/config"
	"github.com/berth-registry/berth/node/probestate"
	"github.com/berth-registry/berth/node/reconcile"
)

// A withdrawn mirror stays withdrawn when the agent is restarted, and returns when it answers.
func TestDeadMirrorStaysWithdrawnAfterRestart(t *testing.T) {
	for name, fallback := range map[string]bool{"another mirror": false, "the upstream": true} {
		t.Run(name, func(t *testing.T) {
			n := newNode(t)
			first, second := newMirror(t, nil), newMirror(t, nil)
			// The interval is so long that no new failure is found.
			const slow = "health: {interval: 5m, timeout: 30s, failures: 2, successes: 1}\n"
			dir, text := "quay.io", mirrorsOf("quay.io", false, "http://"+first.addr, "http://"+second.addr)
			if fallback {
				dir = strings.ReplaceAll(second.addr, ":", "_") + "_"
				text = mirrorsOf(second.addr, true, "http://"+first.addr)
			}
			n.write("etc/config.yaml", text)
			n.start()
			n.waitForHost(dir, first.addr, true)
			first.die()
			n.waitForHost(dir, first.addr, false)
			n.eventually("kept", func() bool { return strings.Contains(n.private(reconcile.HealthFile), `"last"`) })
			n.end()

			n.write("etc/config.yaml", strings.Replace(text, quick, slow, 1))
			n.o.firstAnswers = time.Minute // until the other mirror has answered
			n.start()
			n.eventually("converged", func() bool {
				if strings.Contains(n.hosts(dir), first.addr) {
					t.Fatalf("it was put back:\n%s", n.hosts(dir))
				}
				return n.agent.Snapshot().Phase == status.Converged
			})
			n.nextPass()
			n.waitForHost(dir, first.addr, false)
			if e := n.agent.Snapshot().Mirrors[0].Endpoints[0]; e.State != status.Down || !e.Withdrawn || e.Since.IsZero() {
				t.Errorf("%+v", e)
			}
			n.end()
			first.live(t)
			n.start() // it is probed at once
			n.waitForHost(dir, first.addr, true)
		})
	}
}

// All mirrors are down by now: the saved state must not leave only one that is down too.
func TestSavedHealthWithdrawsNotAll(t *testing.T) {
	n := newNode(t)
	first, second := newMirror(t, nil), newMirror(t, nil)
	n.write("etc/config.yaml", mirrorsOf("quay.io", false, "http://"+first.addr, "http://"+second.addr))
	n.start()
	n.waitForHost("quay.io", first.addr, true)
	first.die()
	n.waitForHost("quay.io", first.addr, false)
	n.eventually("kept", func() bool { return strings.Contains(n.private(reconcile.HealthFile), `"last"`) })
	n.end()
	second.die()
	n.start()
	n.waitForHost("quay.io", first.addr, true)
	n.waitForHost("quay.io", second.addr, true)
}

func (n *node) private(name string) string {
	b, _ := os.ReadFile(filepath.Join(n.root, reconcile.StateDir, name))
	return string(b)
}

// A saved state that is too old, or from the future, does not count.
func TestSavedHealthExpires(t *testing.T) {
	now := time.Now()
	s := probestate.SavedHealth{Endpoints: map[string]probestate.Endpoint{
		"https://up":     {Up: true, Since: now},
		"https://fresh":  {Last: now.Add(-9 * time.Minute)},
		"https://old":    {Last: now.Add(-healthMaxAge)},
		"https://future": {Last: now.Add(time.Minute)},
		"https://never":  {},
	}}
	var found []string
	for u, m := range recentlyDown(s, now, healthMaxAge) {
		found = append(found, u)
		if left := m.Until.Sub(now); left <= 0 || left > healthMaxAge {
			t.Errorf("%s counts for %s more", u, left)
		}
	}
	if !slices.Equal(found, []string{"https://fresh"}) {
		t.Errorf("remembered %q", found)
	}
}

// An endpoint that was never probed does not become younger when its state is saved again: with
// an agent that keeps crashing the saved state must still expire.
func TestRestartsDoNotRefreshSavedHealth(t *testing.T) {
	n := newNode(t)
	gone := newMirror(t, nil)
	gone.die()
	m := openNode(t, n.root)
	last := time.Now().Add(-5 * time.Minute).UTC().Truncate(time.Minute)
	body := `{"endpoints":{"http://` + gone.addr + `":{"up":false,"last":"` + last.Format(time.RFC3339) + `"}}}`
	if err := m.Store.WritePrivate(reconcile.HealthFile, []byte(body)); err != nil {
		t.Fatal(err)
	}
	cfg, _, err := config.Parse("config.yaml", []byte(mirrorsOf("quay.io", true, "http://"+gone.addr)))
	if err != nil {
		t.Fatal(err)
	}
	n.o.Log = slog.New(slog.DiscardHandler)
	a := New(m, n.o) // it does not run, so nothing is probed
	if err := a.reconcile(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	if kept := n.private(reconcile.HealthFile); !strings.Contains(kept, last.Format(time.RFC3339)) || !strings.Contains(kept, gone.addr) {
		t.Errorf("kept is\n%s", kept)
	}
}
