package health

import "time"

const (
	// grace is how much later than failures × interval a dead registry may be detected.
	grace = 2 * time.Second
	// writeReserve is the part of grace that is left for writing hosts.toml.
	writeReserve = 500 * time.Millisecond

	// Probes start between shortest and longest × interval apart. Jitter only shortens the
	// interval, so that Settings.Failures probes end in time, with some room to spare.
	shortest, longest = 0.85, 0.95
)

// pause is the time between the starts of two probes; fraction is random in [0,1).
func pause(interval time.Duration, fraction float64) time.Duration {
	return time.Duration(float64(interval) * (shortest + (longest-shortest)*fraction))
}

// perHour is the mean number of probes per hour.
func perHour(interval time.Duration) float64 {
	if interval <= 0 {
		return 0
	}
	return float64(time.Hour) / (float64(interval) * (shortest + longest) / 2)
}

// availability is whether one registry answers, and since when.
type availability struct {
	up    bool
	known bool // enough probes were made to decide
	since time.Time
	// alive is the time of the last answer, or when watching began.
	alive               time.Time
	failures, successes int // in a row
}

func newAvailability(now time.Time) availability { return availability{up: true, alive: now} }

// observe records a probe that ended at now, and reports whether up or known changed.
func (h *availability) observe(ok bool, now time.Time, s Settings) bool {
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

// timeLimit is the time limit of a probe that starts at now: the timeout, but a probe whose failure
// would turn the registry down must end within failures × interval + grace - writeReserve after the
// last answer. The limit is never below grace, so timeouts up to grace are never cut.
func (h *availability) timeLimit(now time.Time, s Settings) time.Duration {
	if !h.up || h.failures < s.Failures-1 {
		return s.Timeout
	}
	promised := h.alive.Add(time.Duration(s.Failures)*s.Interval + grace - writeReserve)
	return min(s.Timeout, max(promised.Sub(now), grace))
}
