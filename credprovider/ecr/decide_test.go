package ecr

import (
	"errors"
	"testing"
	"time"
)

func TestDecide(t *testing.T) {
	for o, want := range map[Outcome]Decision{
		Unreachable: {Remember: 10 * time.Minute},
		HopLimit:    {Remember: 10 * time.Minute},
		NotEC2:      {Remember: 10 * time.Minute},
		NoRole:      {Remember: 5 * time.Minute},
		Denied:      {Remember: 15 * time.Minute},
		Rejected:    {Again: true, Remember: 5 * time.Minute},
		Busy:        {Again: true, Stay: true, Remember: 10 * time.Second},
		NoKeys:      {Remember: time.Minute},
		Refused:     {Remember: 15 * time.Minute},
	} {
		if got := Decide(&Error{Outcome: o, Op: "x"}); got != want {
			t.Errorf("%s: %+v, want %+v", o, got, want)
		}
	}
	if got := Decide(errors.New("anything else")); !got.Stay {
		t.Errorf("an unknown error: %+v", got)
	}
	if got := Decide(&Error{Outcome: Busy, RetryAfter: time.Second}).Remember; got != 10*time.Second {
		t.Errorf("a short Retry-After: %s", got)
	}
}
