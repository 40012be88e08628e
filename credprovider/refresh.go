package credprovider

import "time"

// NextRefresh returns when to renew a token that was issued and expires at these times: at half of
// its life, plus or minus a tenth of that, so that the nodes of a cluster do not ask at once. rnd
// is from [0, 1). The result is not before now; it is now for a token that is no longer usable.
func NextRefresh(now, issued, expires time.Time, rnd float64) time.Time {
	life := expires.Sub(issued)
	if life <= 0 || !now.Before(expires.Add(-margin(life))) {
		return now
	}
	half := float64(life) / 2
	at := issued.Add(time.Duration(half * (0.9 + 0.2*rnd)))
	if at.Before(now) {
		return now
	}
	return at
}
