package credprovider

import "time"

// margin is how long before its expiry a token is not used any more: a pull
// that begins with it has to end with it.
func margin(life time.Duration) time.Duration {
	return min(5*time.Minute, life/10)
}

// clockSlack is by how much a token may come from the future before it is not
// believed: the clock was put back, and its expiry means nothing.
const clockSlack = time.Minute

// UsableUntil is from when on t is not used any more: a tenth of its life before it
// expires, at most five minutes.
func (t Token) UsableUntil() time.Time { return usableUntil(t.Issued, t.Expires) }

// Usable reports whether t can be used at now, by the wall clock: it has not
// ended, and it is not from the future.
func (t Token) Usable(now time.Time) bool { return usable(t.Issued, t.Expires, now) }

func usableUntil(issued, expires time.Time) time.Time {
	return expires.Add(-margin(expires.Sub(issued)))
}

// usable leaves the monotonic clock out of it: that one stands still while a
// machine is suspended, and AWS's does not.
func usable(issued, expires, now time.Time) bool {
	issued, expires, now = issued.Round(0), expires.Round(0), now.Round(0)
	return !issued.After(now.Add(clockSlack)) && now.Before(usableUntil(issued, expires))
}
