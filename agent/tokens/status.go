package tokens

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/berth-registry/berth/credprovider"
	"github.com/berth-registry/berth/credprovider/ecr"
)

// Status is the state of one token, without its secret. Times are wall clock times, zero if there
// is none.
type Status struct {
	Service, Partition, Region string
	// Hosts are the registries that want it, sorted; none if it is adopted.
	Hosts []string
	// Adopted: only the credential provider, which fetched it, needs it.
	Adopted bool

	// Source and Identity are those of the credentials that the token is from, "" without a token.
	Source, Identity string
	Issued, Expires  time.Time
	// Valid: the token is served now.
	Valid bool
	// NextAttempt is when it is planned to be renewed; zero during a call, or if no renewal is
	// planned.
	NextAttempt time.Time
	Calling     bool

	// Renewals counts the tokens from AWS, Picked those that another process stored, Attempts the
	// calls.
	Renewals, Picked, Attempts uint64
	// Failures counts the failed attempts by reason: the keys in reasons.
	Failures map[string]uint64
	// LastError is why the last attempt failed, "" after a success.
	LastError     string
	LastErrorTime time.Time
	// FailingSince is when the first failure in a row occurred.
	FailingSince time.Time
	// Alarm says that pulls lack this token, or will, and why; "" if not.
	Alarm string
}

// Status returns the state of every token: wanted ones first, then by service, partition and
// region.
func (rf *Refresher) Status() []Status {
	rf.mu.Lock()
	defer rf.mu.Unlock()
	c := rf.clock()
	all := make([]Status, 0, len(rf.order))
	for _, e := range rf.order {
		s := Status{
			Service: string(e.scope.service), Partition: e.scope.partition, Region: e.scope.region,
			Hosts: slices.Clone(e.hosts), Adopted: !e.wanted,
			Valid: e.held.good(c), Calling: e.calling,
			Renewals: e.renewals, Picked: e.picked, Attempts: e.calls, Failures: maps.Clone(e.failed),
			Alarm: e.alarm(c),
		}
		if e.helper != nil {
			s.Source, s.Identity = e.helper.String(), e.helper.Program
		}
		if t := e.held.token; !e.held.isZero() {
			s.Source, s.Identity, s.Issued, s.Expires = t.Source, t.Identity, t.Issued, t.Expires
			if e.helper != nil {
				s.Expires = e.held.ends.wall
			}
		}
		if e.err != nil {
			s.LastError, s.LastErrorTime, s.FailingSince = e.err.Error(), e.errAt, e.since
		}
		if !e.calling && !e.gaveUp && rf.origin(e) != nil {
			s.NextAttempt = c.wall.Add(e.untilRenewal(c))
		}
		all = append(all, s)
	}
	return all
}

func (e *entry) untilRenewal(c clock) time.Duration {
	var due time.Duration
	if !e.renewDue(c) {
		due = e.held.renew.in(c)
	}
	return max(due, e.notBefore.Sub(c.mono), 0)
}

// alarm says what is wrong with e, "" for nothing.
func (e *entry) alarm(c clock) string {
	if !e.wanted {
		return "" // the credential provider fetches it when it needs it
	}
	good := e.held.good(c)
	why := "the renewal is still running"
	switch {
	case e.err != nil:
		why = e.err.Error()
	case good || e.held.isZero():
		// No call has failed yet.
		return ""
	}
	until := e.held.ends.wall.UTC().Format(time.RFC3339)
	switch {
	case good && !e.held.warn.reached(c):
		return ""
	case good:
		return fmt.Sprintf("the token for %s is served until %s and cannot be renewed: %s", e.scope, until, why)
	case e.held.isZero():
		return fmt.Sprintf("there is no token for %s: %s", e.scope, why)
	}
	return fmt.Sprintf("there is no token for %s since %s: %s", e.scope, until, why)
}

// String is for people: "us-east-1", or "us-east-1 (ecr-public)".
func (s scope) String() string {
	if s.service == ecr.Private || s.service == credprovider.HelperService {
		return s.region
	}
	return s.region + " (" + string(s.service) + ")"
}
