package tokens

import "time"

// clock is one reading of both clocks. The wall clock can be put forward and
// back; the monotonic one cannot, but stands still while the machine is
// suspended.
type clock struct {
	wall time.Time // without a monotonic part
	mono time.Time // compared with its like alone
}

// moment is a point in time that has come as soon as either clock says so.
// What must not last too long is bounded by it.
type moment struct{ wall, mono time.Time }

// at is the moment at which the wall clock will show a time, if nobody touches
// it.
func (c clock) at(wall time.Time) moment {
	wall = wall.Round(0)
	return moment{wall: wall, mono: c.mono.Add(wall.Sub(c.wall))}
}

// in is how long from now until m; not positive when it has come.
func (m moment) in(c clock) time.Duration {
	return min(m.wall.Sub(c.wall), m.mono.Sub(c.mono))
}

func (m moment) reached(c clock) bool { return m.in(c) <= 0 }

// jump is how far the wall clock was put forward between two readings, or
// back when negative.
func (c clock) jump(since clock) time.Duration {
	return c.wall.Sub(since.wall) - c.mono.Sub(since.mono)
}
