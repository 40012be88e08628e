package tokens

import (
	"errors"
	"time"

	"github.com/berth-registry/berth/credprovider/ecr"
)

// How long to wait after a failure: anything between leastPause and a bound
// that starts at firstBound, doubles with each failure in a row, and stops at
// the limit of the situation. docs/adr/0007-token-keeper.md has the figures.
const (
	leastPause = 500 * time.Millisecond
	firstBound = time.Second

	// While there is a token, nobody waits for the next one.
	limitWithToken = 5 * time.Minute
	// What somebody has to mend takes as long as that takes.
	limitWithout = 20 * time.Second
	// AWS throttles, or is out of order: pulls wait for the end of it, and
	// ten thousand nodes that share a quota share it faster so.
	limitTemporary = 10 * time.Second
)

// How long a server's Retry-After is obeyed at most.
const (
	mostAskedWithToken = 5 * time.Minute
	mostAskedWithout   = time.Minute
)

// bound is the longest pause after the n-th failure in a row.
func bound(n int, limit time.Duration) time.Duration {
	// More doublings than this are beyond every limit.
	return min(firstBound<<min(max(n-1, 0), 20), limit)
}

// pause draws from the window after the n-th failure; rnd is from [0, 1).
func pause(n int, limit time.Duration, rnd float64) time.Duration {
	return leastPause + time.Duration(rnd*float64(bound(n, limit)-leastPause))
}

// limit is the longest pause after a failure, while there is a token or not.
func limit(err error, haveToken bool) time.Duration {
	if haveToken {
		return limitWithToken
	}
	for _, e := range sourceErrors(err) {
		if ecr.Decide(e).Stay {
			return limitTemporary
		}
	}
	return limitWithout
}

// asked is for how long the servers want to be left alone, as far as that is
// obeyed.
func asked(err error, haveToken bool) time.Duration {
	most := mostAskedWithout
	if haveToken {
		most = mostAskedWithToken
	}
	var longest time.Duration
	for _, e := range sourceErrors(err) {
		var of *ecr.Error
		if errors.As(e, &of) {
			longest = max(longest, of.RetryAfter)
		}
	}
	return min(longest, most)
}

// afterSuccess is how long a new token is left alone, however short its life
// and however the clock behaves.
func afterSuccess(life time.Duration) time.Duration {
	return max(time.Second, min(10*time.Second, life/4))
}
