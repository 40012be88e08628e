package ecr

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// Outcome is the reason why a source gave no token. It is an error, for errors.Is(err, ecr.NoRole).
type Outcome string

// The outcomes; [Decide] has the consequence of each.
const (
	// Unreachable: no metadata service answers.
	Unreachable Outcome = "metadata service unreachable"
	// HopLimit: no metadata service answers, but this machine looks like EC2.
	HopLimit Outcome = "metadata service unreachable on EC2"
	// NotEC2: another service answers than EC2's metadata service, or it refuses a session.
	NotEC2 Outcome = "no EC2 metadata"
	// NoRole: the instance has no role.
	NoRole Outcome = "no role"
	// Denied: the identity may not get tokens.
	Denied Outcome = "access denied"
	// Rejected: AWS does not accept the keys: expired, unknown, badly signed.
	Rejected Outcome = "credentials rejected"
	// Busy: throttled, 5xx, a network error or an answer that makes no sense.
	Busy Outcome = "temporary failure"
	// NoKeys: the source holds no credentials, or incomplete ones.
	NoKeys Outcome = "no keys"
	// Refused: the source has credentials of a kind that Berth does not use.
	Refused Outcome = "not supported"
)

// Error implements error.
func (o Outcome) Error() string { return string(o) }

// Error is the failure of one source.
type Error struct {
	Outcome Outcome
	// Op is the failed operation, such as "get a token from ecr in us-east-1".
	Op string
	// RetryAfter is the delay that the server asked for, or zero.
	RetryAfter time.Duration
	Err        error // the cause; nil when there is no more to say than Op and Outcome
}

// Error implements error, in one line.
func (e *Error) Error() string {
	if e.Err == nil {
		return fmt.Sprintf("%s: %s", e.Op, e.Outcome)
	}
	return fmt.Sprintf("%s: %s: %v", e.Op, e.Outcome, e.Err)
}

// Unwrap gives the outcome and the cause.
func (e *Error) Unwrap() []error {
	if e.Err == nil {
		return []error{e.Outcome}
	}
	return []error{e.Outcome, e.Err}
}

// OutcomeOf returns the outcome in err, [Busy] without one.
func OutcomeOf(err error) Outcome {
	var o Outcome
	if errors.As(err, &o) {
		return o
	}
	return Busy
}

// ChainError means that no source gave a token; it has the reason of each source.
type ChainError struct {
	Region string
	Errs   []SourceError
}

// SourceError is the error of one source.
type SourceError struct {
	Source string // its name in messages: "instance profile"
	Err    error
}

// Error implements error, in one line.
func (e *ChainError) Error() string {
	if len(e.Errs) == 0 {
		return "no ECR token for " + e.Region + ": no source of AWS credentials is configured"
	}
	return "no ECR token for " + e.Region + ": " + bySource(e.Errs)
}

// Unwrap returns the errors of all sources.
func (e *ChainError) Unwrap() []error { return causes(e.Errs) }

// bySource returns one line with the error of each source.
func bySource(errs []SourceError) string {
	parts := make([]string, len(errs))
	for i, s := range errs {
		parts[i] = s.Source + ": " + s.Err.Error()
	}
	return strings.Join(parts, "; ")
}

func causes(errs []SourceError) []error {
	all := make([]error, len(errs))
	for i, s := range errs {
		all[i] = s.Err
	}
	return all
}
