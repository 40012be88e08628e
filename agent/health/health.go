package health

import "time"

const (
	// grace is how much later than failures × interval a dead registry may be
	// noticed.
	grace = 2 * time.Second
	// install is what is left of it to write hosts.toml.
	install = 500 * time.Millisecond

	// Probes start between shortest and longest × interval apart. Jitter only
	// shortens: so failures of them end in time, and with some room to spare.
	shortest, longest = 0.85, 0.95
)

// pause is the time from the start of a probe to that of the next one;
// fraction is random in [0,1).
func pause(interval time.Duration, fraction float64) time.Duration {
	return time.Duration(float64(interval) * (shortest + (longest-shortest)*fraction))
}

// perHour is how many probes an interval means, on average.
func perHour(interval time.Duration) float64 {
	if interval <= 0 {
		return 0
	}
	return float64(time.Hour) / (float64(interval) * (shortest + longest) / 2)
}

// health is what is known of one registry.
type health struct {
	up    bool
	known bool // enough probes were made to tell
	since time.Time
	// alive is the time of the last answer, or when watching began.
	alive               time.Time
	failures, successes int // in a row
}

func newHealth(now time.Time) health { return health{up: true, alive: now} }

// observe takes in a probe that ended at now. It reports whether up or known
// changed.
func (h *health) observe(ok bool, now time.Time, s Settings) bool {
	before := *h
	if ok {
		h.successes++
		h.failures = 0
		h.alive = now
		if !h.known || h.successes >= s.Successes {
			h.up, h.known = true, true
		}
	} else {
		h.failures++
		h.successes = 0
		if h.failures >= s.Failures {
			h.up, h.known = false, true
		}
	}
	if h.up == before.up && h.known == before.known {
		return false
	}
	h.since = now
	return true
}

// patience is how long a probe that starts at now may take: the timeout, but
// the probe that would turn a registry down has to end in time for the
// promise. It has at least grace, so timeouts up to grace are never cut, and
// more when the registry took long for its last answer.
func (h *health) patience(now time.Time, s Settings) time.Duration {
	if !h.up || h.failures < s.Failures-1 {
		return s.Timeout
	}
	promised := h.alive.Add(time.Duration(s.Failures)*s.Interval + grace - install)
	return min(s.Timeout, max(promised.Sub(now), grace))
}
