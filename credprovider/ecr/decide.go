package ecr

import (
	"errors"
	"time"
)

// Decision is the consequence of an error of one source.
type Decision struct {
	// Again: ask the same source once more, with newly fetched credentials.
	Again bool
	// Stay: the failure is temporary. Keep using the token of this source while it is usable; ask
	// the next source only without one.
	Stay bool
	// Remember is how long the source is not asked again while another one has a usable token.
	Remember time.Duration
}

// failureMemory is how long a failure is remembered when no source has a usable token.
const failureMemory = 10 * time.Second

// maxRetryAfter is the longest Retry-After that is followed.
const maxRetryAfter = time.Minute

// Decide returns the consequence of an error of a source. It is the outcome table of
// docs/credentials.md, and a pure function of the error.
func Decide(err error) Decision {
	switch OutcomeOf(err) {
	case Unreachable, NotEC2, HopLimit:
		return Decision{Remember: 10 * time.Minute}
	case NoRole:
		return Decision{Remember: 5 * time.Minute}
	case Denied, Refused:
		return Decision{Remember: 15 * time.Minute}
	case Rejected:
		return Decision{Again: true, Remember: 5 * time.Minute}
	case NoKeys:
		// A change of the files that hold the keys ends the verdict: see Verdict.Stamp.
		return Decision{Remember: time.Minute}
	}
	d := Decision{Again: true, Stay: true, Remember: failureMemory}
	var e *Error
	if errors.As(err, &e) && e.RetryAfter > d.Remember {
		d.Remember = min(e.RetryAfter, maxRetryAfter)
	}
	return d
}

// Verdict is the remembered failure of a source.
type Verdict struct {
	Outcome Outcome   `json:"outcome"`
	Message string    `json:"message"`
	At      time.Time `json:"at"`
	Until   time.Time `json:"until"`
	// Stamp is that of the source's files ([Identity]) at the failure. With another one the verdict
	// no longer counts.
	Stamp string `json:"stamp,omitempty"`
}

// clockSlack is how far in the future a stored time may be. Further ahead the clock was set back
// since, and the time is not believed.
const clockSlack = time.Minute

// Holds reports whether v still holds at now, so that the source is not asked.
func (v Verdict) Holds(now time.Time) bool {
	return v.Until.After(now) && !v.At.After(now.Add(clockSlack))
}

// Alone returns the verdict for the case that no source has a usable token. It holds for
// [failureMemory] at most: to skip a source is useful only while another one has a token.
func (v Verdict) Alone() Verdict {
	if end := v.At.Add(failureMemory); v.Outcome != Busy && v.Until.After(end) {
		v.Until = end
	}
	return v
}

// Err returns the error that the verdict was made from: its outcome and message.
func (v Verdict) Err() error {
	return &remembered{v}
}

// remembered is an error of an earlier fetch, perhaps of another process.
type remembered struct{ verdict Verdict }

func (r *remembered) Error() string {
	return r.verdict.Message + " (seen at " + r.verdict.At.UTC().Format(time.RFC3339) + ")"
}

func (r *remembered) Unwrap() error { return r.verdict.Outcome }
