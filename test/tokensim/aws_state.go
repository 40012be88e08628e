package tokensim

import (
	"errors"
	"math/rand/v2"
	"time"

	"github.com/berth-registry/berth/credprovider/ecr"
)

// awsState is the state of AWS for one region for some time.
type awsState int

const (
	fair awsState = iota
	slow          // up to 25 seconds
	denied
	rejected // the keys have expired
	roleless
	unreachable
	throttled
	throttledAsking // with a Retry-After
	broken          // 5xx
	hanging
	flaky // any of them, from call to call
	stale // tokens that have expired already
	kinds
)

// phase is a state and its duration.
type phase struct {
	kind  awsState
	since time.Time
	until time.Time
	// life is the life of tokens issued during the phase.
	life time.Duration
}

// following draws the phase after s.
func (s phase) following(rnd *rand.Rand, now time.Time) phase {
	n := phase{since: now, life: 12 * time.Hour}
	var mean time.Duration
	switch {
	case s.kind != fair || s.until.IsZero():
		mean = 6 * 24 * time.Hour
	default:
		n.kind = 1 + awsState(rnd.IntN(int(kinds)-1))
		mean = [...]time.Duration{10 * time.Minute, 10 * time.Minute, time.Hour, 10 * time.Hour}[rnd.IntN(4)]
	}
	length := time.Duration(rnd.ExpFloat64() * float64(mean))
	switch rnd.IntN(12) {
	case 0:
		n.life = time.Duration(1+rnd.IntN(7*24)) * time.Hour
	case 1:
		n.life = time.Hour + time.Duration(rnd.Int64N(int64(time.Hour)))
	case 2:
		n.life, length = 10*time.Minute, min(length, 6*time.Hour)
	case 3:
		n.life, length = time.Minute+time.Duration(rnd.Int64N(int64(time.Minute))), min(length, 30*time.Minute)
	case 4:
		n.life, length = time.Duration(1+rnd.Int64N(int64(10*time.Second))), min(length, time.Minute)
	}
	n.until = now.Add(max(length, time.Second))
	return n
}

// outcome draws how one call ends: its duration and error.
func (s phase) outcome(rnd *rand.Rand) (time.Duration, error) {
	kind := s.kind
	if kind == flaky {
		kind = awsState(rnd.IntN(int(kinds)))
	}
	quick := 30*time.Millisecond + time.Duration(rnd.Int64N(int64(300*time.Millisecond)))
	long := time.Duration(rnd.Int64N(int64(25 * time.Second)))
	fail := func(o ecr.Outcome, after time.Duration) error {
		return &ecr.ChainError{Region: "sim", Errs: []ecr.SourceError{
			{Source: "instance profile", Err: &ecr.Error{Outcome: o, Op: "get a token", RetryAfter: after, Err: errors.New("simulated")}},
			{Source: "static keys", Err: &ecr.Error{Outcome: ecr.NoKeys, Op: "find static keys"}},
		}}
	}
	switch kind {
	case slow:
		return long, nil
	case denied:
		return quick, fail(ecr.Denied, 0)
	case rejected:
		return quick, fail(ecr.Rejected, 0)
	case roleless:
		return quick, fail(ecr.NoRole, 0)
	case unreachable:
		return 10 * time.Second, fail(ecr.HopLimit, 0)
	case throttled:
		return quick, fail(ecr.Busy, 0)
	case throttledAsking:
		after := [...]time.Duration{time.Second, 5 * time.Second, 30 * time.Second, time.Minute, 2 * time.Minute, time.Hour}[rnd.IntN(6)]
		return quick, fail(ecr.Busy, after)
	case broken:
		return quick + long/10, fail(ecr.Busy, 0)
	case hanging:
		return 25 * time.Second, fail(ecr.Busy, 0)
	}
	return quick, nil
}
