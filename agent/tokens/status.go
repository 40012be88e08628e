package tokens

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/berth-registry/berth/credprovider/ecr"
)

// Status is what there is to know about one token, without its secret. Times
// are those of the wall clock, zero when there is none.
type Status struct {
	Service, Partition, Region string
	// Hosts are the registries that want it, sorted; none when it is adopted.
	Hosts []string
	// Adopted: nobody wants it but the credential provider, which got it.
	Adopted bool

	// Source and Identity say whose the token is, "" without one.
	Source, Identity string
	Issued, Expires  time.Time
	// Valid: the token is served at this moment.
	Valid bool
	// NextAttempt is when it will be renewed, as things are; zero when a call
	// is under way or none is intended.
	NextAttempt time.Time
	Calling     bool

	// Renewals counts the tokens that AWS gave, Picked those that another
	// process had stored, Attempts the times that the sources were asked.
	Renewals, Picked, Attempts uint64
	// Failures counts the attempts that brought no token, by one of
	// [Reasons].
	Failures map[string]uint64
	// LastError is why the last attempt failed, "" once one has succeeded.
	LastError     string
	LastErrorTime time.Time
	// FailingSince is when the first of the failures in a row was.
	FailingSince time.Time
	// Alarm says that pulls go without this token, or will, and why; "" when
	// all is well.
	Alarm string
}

// Status tells about every token: the wanted ones first, then by service,
// partition and region.
func (k *Refresher) Status() []Status {
	k.mu.Lock()
	defer k.mu.Unlock()
	c := k.clock()
	all := make([]Status, 0, len(k.order))
	for _, e := range k.order {
		s := Status{
			Service: string(e.scope.service), Partition: e.scope.partition, Region: e.scope.region,
			Hosts: slices.Clone(e.hosts), Adopted: !e.wanted,
			Valid: e.held.good(c), Calling: e.calling,
			Renewals: e.renewals, Picked: e.picked, Attempts: e.calls, Failures: maps.Clone(e.failed),
			Alarm: e.alarm(c),
		}
		if t := e.held.token; !e.held.none() {
			s.Source, s.Identity, s.Issued, s.Expires = t.Source, t.Identity, t.Issued, t.Expires
		}
		if e.err != nil {
			s.LastError, s.LastErrorTime, s.FailingSince = e.err.Error(), e.errAt, e.since
		}
		if !e.calling && !e.gaveUp && k.source != nil {
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

// alarm says what is wrong with e, for a person.
func (e *entry) alarm(c clock) string {
	if !e.wanted {
		return "" // the credential provider gets it when it needs it
	}
	good := e.held.good(c)
	why := "the renewal has not ended yet"
	switch {
	case e.err != nil:
		why = e.err.Error()
	case good || e.held.none():
		// It has not failed yet.
		return ""
	}
	until := e.held.token.UsableUntil().UTC().Format(time.RFC3339)
	switch {
	case good && !e.held.warn.reached(c):
		return ""
	case good:
		return fmt.Sprintf("the token for %s is served until %s and cannot be renewed: %s", e.scope, until, why)
	case e.held.none():
		return fmt.Sprintf("there is no token for %s: %s", e.scope, why)
	}
	return fmt.Sprintf("there is no token for %s since %s: %s", e.scope, until, why)
}

// String is for people: "us-east-1", or "us-east-1 (ecr-public)".
func (s scope) String() string {
	if s.service == ecr.Private {
		return s.region
	}
	return s.region + " (" + string(s.service) + ")"
}
