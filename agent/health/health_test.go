package health

import (
	"testing"
	"time"
)

func TestHysteresis(t *testing.T) {
	s := Settings{Interval: 15 * time.Second, Timeout: 2 * time.Second, Failures: 3, Successes: 2}
	for _, c := range []struct{ name, probes, states string }{
		// A probe is + or -; a state is ? (up, not known), U or D.
		{"first answer decides", "+", "U"},
		{"never seen", "---", "??D"},
		{"one failure is none", "+-+--+", "UUUUUU"},
		{"three in a row", "+---", "UUUD"},
		{"back after two", "---+-++", "??DDDDU"},
		{"flapping at the start", "-+-+", "?UUU"},
		{"stays down while it flaps", "---+-+-+-", "??DDDDDDD"},
		{"again", "---++---", "??DDUUUD"},
	} {
		now := time.Unix(0, 0)
		h := newAvailability(now)
		for i, p := range c.probes {
			now = now.Add(time.Second)
			before := h
			changed := h.observe(p == '+', now, s)
			got := map[[2]bool]byte{{true, false}: '?', {true, true}: 'U', {false, true}: 'D'}[[2]bool{h.up, h.known}]
			if got != c.states[i] {
				t.Errorf("%s: after %s: %c, want %c", c.name, c.probes[:i+1], got, c.states[i])
			}
			if changed != (h.up != before.up || h.known != before.known) || changed && h.since != now || !changed && h.since != before.since {
				t.Errorf("%s: after %s: changed = %v since %v", c.name, c.probes[:i+1], changed, h.since)
			}
		}
	}
}

func TestTimeLimit(t *testing.T) {
	start := time.Unix(1000, 0)
	s := Settings{Interval: 15 * time.Second, Timeout: 2 * time.Second, Failures: 2, Successes: 2}
	slow := s
	slow.Timeout = 15 * time.Second
	for _, c := range []struct {
		name     string
		s        Settings
		failures int
		down     bool
		after    time.Duration // since the last answer
		want     time.Duration
	}{
		{"first failure may take its time", slow, 0, false, 14 * time.Second, 15 * time.Second},
		{"the deciding one has to end in time", slow, 1, false, 28 * time.Second, 3500 * time.Millisecond},
		{"but has two seconds", slow, 1, false, 31 * time.Second, 2 * time.Second},
		{"however late it is", slow, 1, false, time.Hour, 2 * time.Second},
		{"two seconds are never cut", s, 1, false, 31 * time.Second, 2 * time.Second},
		{"nothing to decide when down", slow, 5, true, time.Hour, 15 * time.Second},
	} {
		h := availability{up: !c.down, known: true, alive: start, failures: c.failures}
		if got := h.timeLimit(start.Add(c.after), c.s); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

func TestPause(t *testing.T) {
	if got := pause(time.Minute, 0); got != 51*time.Second {
		t.Errorf("shortest: %s", got)
	}
	if got := pause(time.Minute, 0.999999); got > 57*time.Second || got < 56*time.Second {
		t.Errorf("longest: %s", got)
	}
	if got := perHour(15 * time.Second); got < 266 || got > 267 {
		t.Errorf("%v probes an hour", got)
	}
}
