package tokens

import "time"

// clock is one reading of both clocks. The wall clock can be set forward and back; the monotonic
// clock cannot, but it stops while the machine is suspended.
type clock struct {
	wall time.Time // only compared with other monotonic readings
	mono time.Time // compared with its like alone
}

// moment is a point in time that is reached as soon as either clock reaches it. It bounds what must
// not last too long.
type moment struct{ wall, mono time.Time }

// at returns the moment at which the wall clock will show this time, unless the clock is set.
func (c clock) at(wall time.Time) moment {
	wall = wall.Round(0)
	return moment{wall: wall, mono: c.mono.Add(wall.Sub(c.wall))}
}

// in is the time from c until m; not positive if m is reached.
func (m moment) in(c clock) time.Duration {
	return min(m.wall.Sub(c.wall), m.mono.Sub(c.mono))
}

func (m moment) reached(c clock) bool { return m.in(c) <= 0 }

// jump is how far the wall clock was set forward since another reading, negative if back.
func (c clock) jump(since clock) time.Duration {
	return c.wall.Sub(since.wall) - c.mono.Sub(since.mono)
}
