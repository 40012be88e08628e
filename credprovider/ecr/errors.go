package ecr

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// Outcome is why a source did not give a token. It is an error, so that
// errors.Is(err, ecr.NoRole) asks for it.
type Outcome string

// The outcomes; [Decide] says what follows from each.
const (
	// Unreachable: no metadata service answers.
	Unreachable Outcome = "metadata service unreachable"
	// HopLimit: none answers, though this machine looks like EC2.
	HopLimit Outcome = "metadata service unreachable on EC2"
	// NotEC2: something answers there that is no metadata service of EC2, or
	// that refuses to be one.
	NotEC2 Outcome = "no EC2 metadata"
	// NoRole: the instance has no role.
	NoRole Outcome = "no role"
	// Denied: the identity may not get tokens.
	Denied Outcome = "access denied"
	// Rejected: AWS does not accept the keys: expired, unknown, badly signed.
	Rejected Outcome = "credentials rejected"
	// Busy: throttled, 5xx, a network error or an answer that makes no sense.
	Busy Outcome = "temporary failure"
	// NoKeys: no static keys are there to be used.
	NoKeys Outcome = "no keys"
)

// Error implements error.
func (o Outcome) Error() string { return string(o) }

// Error is what went wrong with one source.
type Error struct {
	Outcome Outcome
	// Op is what was asked, such as "get a token from ecr in us-east-1".
	Op string
	// RetryAfter is what the server asked for, or zero.
	RetryAfter time.Duration
	Err        error // nil when Op and Outcome say it all
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

// OutcomeOf gives the outcome that err carries, [Busy] when it carries none.
func OutcomeOf(err error) Outcome {
	var o Outcome
	if errors.As(err, &o) {
		return o
	}
	return Busy
}

// ChainError says that no source gave a token, and why, source by source.
type ChainError struct {
	Region string
	Errs   []SourceError
}

// SourceError is the error of one source.
type SourceError struct {
	Source string // as people call it: "instance profile"
	Err    error
}

// Error implements error, in one line.
func (e *ChainError) Error() string {
	if len(e.Errs) == 0 {
		return "no ECR token for " + e.Region + ": no source of AWS credentials is configured"
	}
	parts := make([]string, len(e.Errs))
	for i, s := range e.Errs {
		parts[i] = s.Source + ": " + s.Err.Error()
	}
	return "no ECR token for " + e.Region + ": " + strings.Join(parts, "; ")
}

// Unwrap gives the errors of all sources.
func (e *ChainError) Unwrap() []error {
	errs := make([]error, len(e.Errs))
	for i, s := range e.Errs {
		errs[i] = s.Err
	}
	return errs
}
