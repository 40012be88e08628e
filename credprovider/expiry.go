package credprovider

import "time"

// margin is the time before its expiry in which a token is no longer used: a pull that begins with
// a token must be able to end with it.
func margin(life time.Duration) time.Duration {
	return min(5*time.Minute, life/10)
}

// clockSlack is how far in the future the issue time of a token may be. Further ahead the clock was
// set back since, and the expiry means nothing.
const clockSlack = time.Minute

// UsableUntil returns the time from which t is no longer used: a tenth of its life before it
// expires, at most five minutes.
func (t Token) UsableUntil() time.Time { return usableUntil(t.Issued, t.Expires) }

// Usable reports whether t can be used at now, by the wall clock: [Token.UsableUntil] is not
// reached, and the issue time is not in the future.
func (t Token) Usable(now time.Time) bool { return usable(t.Issued, t.Expires, now) }

func usableUntil(issued, expires time.Time) time.Time {
	return expires.Add(-margin(expires.Sub(issued)))
}

// usable ignores the monotonic clock, which stops while a machine is suspended.
func usable(issued, expires, now time.Time) bool {
	issued, expires, now = issued.Round(0), expires.Round(0), now.Round(0)
	return !issued.After(now.Add(clockSlack)) && now.Before(usableUntil(issued, expires))
}

// NextRefresh returns when to renew a token that was issued and expires at these times: at half of
// its life, plus or minus a tenth of that, so that the nodes of a cluster do not ask at once. rnd
// is from [0, 1). The result is not before now; it is now for a token that is no longer usable.
func NextRefresh(now, issued, expires time.Time, rnd float64) time.Time {
	life := expires.Sub(issued)
	if life <= 0 || !now.Before(usableUntil(issued, expires)) {
		return now
	}
	half := float64(life) / 2
	at := issued.Add(time.Duration(half * (0.9 + 0.2*rnd)))
	if at.Before(now) {
		return now
	}
	return at
}
