package ecr

import (
	"errors"
	"time"
)

// Decision is what follows from an error of one source.
type Decision struct {
	// Again: ask the same source once more, with credentials fetched anew.
	Again bool
	// Stay: the source will come back; go on serving its unexpired token, and
	// ask the next source only when there is none.
	Stay bool
	// Remember is how long the source is not asked again while another one
	// serves.
	Remember time.Duration
}

// How long a failure is remembered when nothing else serves either.
const failureMemory = 10 * time.Second

// maxRetryAfter bounds what a server can ask for.
const maxRetryAfter = time.Minute

// Decide says what to do about an error of a source. It is the outcome table:
// a pure function of the error.
func Decide(err error) Decision {
	switch OutcomeOf(err) {
	case Unreachable, NotEC2, HopLimit:
		return Decision{Remember: 10 * time.Minute}
	case NoRole:
		return Decision{Remember: 5 * time.Minute}
	case Denied:
		return Decision{Remember: 15 * time.Minute}
	case Rejected:
		return Decision{Again: true, Remember: 5 * time.Minute}
	case NoKeys:
		// Looking again costs nothing.
		return Decision{}
	}
	d := Decision{Again: true, Stay: true, Remember: failureMemory}
	var e *Error
	if errors.As(err, &e) && e.RetryAfter > d.Remember {
		d.Remember = min(e.RetryAfter, maxRetryAfter)
	}
	return d
}

// Verdict is what was learned about a source that could not serve.
type Verdict struct {
	Outcome Outcome   `json:"outcome"`
	Message string    `json:"message"`
	At      time.Time `json:"at"`
	Until   time.Time `json:"until"`
}

// clockSlack is by how much a time that was written down may lie ahead before
// it is not believed: the clock was put back since.
const clockSlack = time.Minute

// Holds reports whether the source need not be asked at now.
func (v Verdict) Holds(now time.Time) bool {
	return v.Until.After(now) && !v.At.After(now.Add(clockSlack))
}

// Alone is the verdict when no source serves: passing over a source is only
// worth it while another one does its work.
func (v Verdict) Alone() Verdict {
	if end := v.At.Add(failureMemory); v.Outcome != Busy && v.Until.After(end) {
		v.Until = end
	}
	return v
}

// Err is the error that the verdict came from, as far as it was kept.
func (v Verdict) Err() error {
	return &remembered{v}
}

// remembered is an error that another process saw.
type remembered struct{ verdict Verdict }

func (r *remembered) Error() string {
	return r.verdict.Message + " (seen at " + r.verdict.At.UTC().Format(time.RFC3339) + ")"
}

func (r *remembered) Unwrap() error { return r.verdict.Outcome }
