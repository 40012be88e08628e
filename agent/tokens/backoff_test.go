package tokens

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/berth-registry/berth/credprovider/ecr"
)

func TestReason(t *testing.T) {
	chain := func(errs ...error) error {
		c := &ecr.ChainError{}
		for _, e := range errs {
			c.Errs = append(c.Errs, ecr.SourceError{Err: e})
		}
		return c
	}
	for _, c := range []struct {
		err       error
		want      string
		temporary bool
	}{
		{chain(ecr.Denied, ecr.NoKeys), "access_denied", false},
		{chain(ecr.Unreachable, ecr.Denied), "access_denied", false},
		{chain(ecr.Busy, ecr.Denied), "access_denied", true}, // the first may pass
		{chain(ecr.Unreachable, ecr.NoKeys), "metadata_unreachable", false},
		{chain(ecr.HopLimit, ecr.NoKeys), "metadata_hop_limit", false},
		{chain(ecr.NotEC2, ecr.Rejected), "credentials_rejected", false},
		{chain(ecr.NotEC2, ecr.NoKeys), "no_ec2_metadata", false},
		{chain(ecr.NoRole, ecr.NoKeys), "no_role", false},
		{chain(ecr.NoKeys), "no_keys", false},
		{chain(ecr.NoRole, ecr.Busy), "temporary", true},
		{chain(), "temporary", true},
		{errors.New("anything"), "temporary", true},
		{errNotGood, "temporary", true},
	} {
		got := reason(c.err)
		if got != c.want {
			t.Errorf("%v: %s, want %s", c.err, got, c.want)
		}
		if !slices.Contains(Reasons(), got) {
			t.Errorf("%s is not listed", got)
		}
		if temporary := limit(c.err, false) == limitTemporary; temporary != c.temporary {
			t.Errorf("%v: temporary is %t", c.err, temporary)
		}
	}
	if !slices.IsSorted(Reasons()) {
		t.Error("the reasons are not sorted")
	}
}

func TestPause(t *testing.T) {
	for _, l := range []time.Duration{limitTemporary, limitWithout, limitWithToken} {
		last := time.Duration(0)
		for n := 1; n < 100; n++ {
			least, most := pause(n, l, 0), pause(n, l, 0.999999)
			if least != leastPause || most <= least || most > l || most < last {
				t.Errorf("failure %d of at most %s: %s to %s", n, l, least, most)
			}
			last = most
		}
		if last < l-time.Second {
			t.Errorf("the longest pause is %s, want nearly %s", last, l)
		}
	}
}

func TestAfterSuccess(t *testing.T) {
	for life, want := range map[time.Duration]time.Duration{
		12 * time.Hour: 10 * time.Second, time.Minute: 10 * time.Second, 20 * time.Second: 5 * time.Second, time.Second: time.Second, 0: time.Second, -time.Hour: time.Second,
	} {
		if got := afterSuccess(life); got != want {
			t.Errorf("a life of %s: %s, want %s", life, got, want)
		}
	}
}

// TestClocks: a moment is reached as soon as either clock reaches it.
func TestClocks(t *testing.T) {
	now := time.Now()
	c := clock{wall: now.Round(0), mono: now}
	m := c.at(c.wall.Add(time.Hour))
	for _, x := range []struct {
		wall, mono time.Duration
		want       time.Duration
	}{
		{0, 0, time.Hour},
		{30 * time.Minute, 30 * time.Minute, 30 * time.Minute},
		{2 * time.Hour, time.Minute, -time.Hour},        // set forward, or suspended
		{-2 * time.Hour, time.Hour, 0},                  // set back
		{-2 * time.Hour, time.Minute, 59 * time.Minute}, // set back
	} {
		later := clock{wall: c.wall.Add(x.wall), mono: c.mono.Add(x.mono)}
		if got := m.in(later); got != x.want || m.reached(later) != (got <= 0) {
			t.Errorf("%s by the wall clock, %s by the other: in %s, want %s", x.wall, x.mono, got, x.want)
		}
		if jump := later.jump(c); jump != x.wall-x.mono {
			t.Errorf("a jump of %s, want %s", jump, x.wall-x.mono)
		}
	}
}
