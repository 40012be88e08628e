package tokens

import (
	"errors"
	"time"

	"github.com/berth-registry/berth/credprovider/ecr"
)

// The pause after a failure is random between minPause and a bound that starts at firstBound,
// doubles with each failure in a row, and stops at one of these limits.
// docs/adr/0007-token-keeper.md has the figures.
const (
	minPause   = 500 * time.Millisecond
	firstBound = time.Second

	// While there is a good token, no pull waits for the next one.
	limitWithToken = 5 * time.Minute
	// Longest backoff for errors that an operator must fix (bad keys, missing role).
	limitWithout = 20 * time.Second
	// Longest backoff while AWS throttles or is out of order: pulls wait for its end, and ten
	// thousand nodes that share a quota get through it sooner.
	limitTemporary = 10 * time.Second
)

// The longest Retry-After of a server that is obeyed.
const (
	maxRetryAfterWithToken = 5 * time.Minute
	maxRetryAfterWithout   = time.Minute
)

// bound is the longest pause after the n-th failure in a row.
func bound(n int, limit time.Duration) time.Duration {
	// 20 doublings exceed every limit and do not overflow.
	return min(firstBound<<min(max(n-1, 0), 20), limit)
}

// pause returns the pause after the n-th failure; rnd is in [0, 1).
func pause(n int, limit time.Duration, rnd float64) time.Duration {
	return minPause + time.Duration(rnd*float64(bound(n, limit)-minPause))
}

// limit is the longest pause after err.
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

// retryAfter returns the longest Retry-After in err, as far as it is obeyed.
func retryAfter(err error, haveToken bool) time.Duration {
	most := maxRetryAfterWithout
	if haveToken {
		most = maxRetryAfterWithToken
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

// afterSuccess is the shortest time between a new token and the next call, however short the
// token's life and whatever the clock shows.
func afterSuccess(life time.Duration) time.Duration {
	return max(time.Second, min(10*time.Second, life/4))
}
