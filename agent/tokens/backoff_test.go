package tokens

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
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
		{chain(ecr.NoKeys, ecr.Refused), "not_supported", false},
		{chain(ecr.NoRole, ecr.Busy), "temporary", true},
		{chain(), "temporary", true},
		{errors.New("anything"), "temporary", true},
		{errNotValid, "temporary", true},
	} {
		got := worstReason(c.err).key
		if got != c.want {
			t.Errorf("%v: %s, want %s", c.err, got, c.want)
		}
		if temporary := limit(c.err, false) == limitTemporary; temporary != c.temporary {
			t.Errorf("%v: temporary is %t", c.err, temporary)
		}
	}
}

func TestPause(t *testing.T) {
	for _, l := range []time.Duration{limitTemporary, limitWithout, limitWithToken} {
		last := time.Duration(0)
		for n := 1; n < 100; n++ {
			least, most := pause(n, l, 0), pause(n, l, 0.999999)
			if least != minPause || most <= least || most > l || most < last {
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

// TestBackoffWithoutToken: pauses grow from a second to at most ten while AWS is busy, and to
// twenty for errors that an operator must fix.
func TestBackoffWithoutToken(t *testing.T) {
	for _, c := range []struct {
		rnd  float64
		err  error
		want []float64 // seconds
	}{
		{0, fail(ecr.Busy, 0), []float64{0, 0.5, 1, 1.5, 2, 2.5, 3, 3.5}},
		{0.5, fail(ecr.Busy, 0), []float64{0, 0.75, 2, 4.25, 8.5, 13.75, 19, 24.25}},
		{0.5, fail(ecr.Denied, 0), []float64{0, 0.75, 2, 4.25, 8.5, 16.75, 27, 37.25}},
		{0.5, fail(ecr.NoRole, 0), []float64{0, 0.75, 2, 4.25, 8.5, 16.75, 27, 37.25}},
		{0.5, errors.New("something else"), []float64{0, 0.75, 2, 4.25, 8.5, 13.75, 19, 24.25}},
		{0, fail(ecr.Busy, 7*time.Second), []float64{0, 7.5, 15, 22.5, 30, 37.5, 45, 52.5}},
		{0, fail(ecr.Busy, time.Hour), []float64{0, 60.5, 121, 181.5, 242, 302.5, 363, 423.5}},
	} {
		run(t, func(t *testing.T, b *fixture) {
			b.draw(c.rnd)
			b.fake.err = c.err
			b.Set(b.fake, []ecr.Registry{east(t)})
			time.Sleep(time.Duration(c.want[7]*1000+100) * time.Millisecond)
			var got []float64
			for _, at := range b.fake.times()[:8] {
				got = append(got, at.Seconds())
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("%v with %g: tried at %v, want %v", c.err, c.rnd, got, c.want)
			}
			s := b.one(t)
			if s.Valid || s.Failures[worstReason(c.err).key] != s.Attempts || s.LastError != c.err.Error() || !strings.Contains(s.Alarm, c.err.Error()) {
				t.Errorf("%+v", s)
			}
		})
	}
}

// TestBackoffWithToken: pauses grow to five minutes, plus the Retry-After in full.
func TestBackoffWithToken(t *testing.T) {
	run(t, func(t *testing.T, b *fixture) {
		b.Set(b.fake, []ecr.Registry{east(t)})
		synctest.Wait()
		b.fake.set(func() { b.fake.err = fail(ecr.Busy, 0) })
		b.fake.times()
		time.Sleep(7 * time.Hour)
		got := b.fake.times()
		if len(got) < 12 || got[0] != 6*time.Hour || got[1] != 6*time.Hour+750*time.Millisecond {
			t.Fatalf("tried at %v", got)
		}
		for i, at := range got[11:] {
			if pause := at - got[10+i]; pause != 150*time.Second+250*time.Millisecond {
				t.Errorf("a pause of %s", pause)
			}
		}
		b.fake.set(func() { b.fake.err = fail(ecr.Busy, 4*time.Minute) })
		time.Sleep(time.Hour)
		b.fake.times()
		time.Sleep(time.Hour)
		got = b.fake.times()
		if pause := got[1] - got[0]; pause != 4*time.Minute+150*time.Second+250*time.Millisecond {
			t.Errorf("a pause of %s when asked for four minutes", pause)
		}
		if !b.has(east(t)) {
			t.Error("the token is gone, though it has hours to go")
		}
		b.fake.set(func() { b.fake.err = nil })
		time.Sleep(10 * time.Minute)
		if s := b.one(t); s.LastError != "" || s.Renewals != 2 || s.Alarm != "" {
			t.Errorf("after the end of it: %+v", s)
		}
	})
}

// TestPausesOutliveAScope: a region that is dropped and adopted again keeps its backoff.
func TestPausesOutliveAScope(t *testing.T) {
	run(t, func(t *testing.T, b *fixture) {
		b.draw(0)
		b.fake.life = 10 * time.Minute
		b.fake.issue(region(7))
		b.Set(b.fake, nil)
		b.fake.set(func() { b.fake.err = fail(ecr.Busy, time.Minute) })
		time.Sleep(9*time.Minute + 5*time.Second)
		got := b.fake.times()
		last := 8*time.Minute + 32*time.Second // 4:30, then a minute and half a second after each call
		if len(b.Status()) != 0 || len(got) != 5 || got[4] != last {
			t.Fatalf("asked at %v, then %+v", got, b.Status())
		}
		b.fake.set(func() { b.fake.life = 50 * time.Second })
		b.fake.issue(region(7)) // due for renewal at 9:27.5
		b.Rescan()
		time.Sleep(40 * time.Second)
		if got := b.fake.times(); len(got) != 1 || got[0] != last+time.Minute+500*time.Millisecond {
			t.Errorf("asked at %v", got)
		}
		// The same holds for a wanted region.
		b.Set(b.fake, []ecr.Registry{region(8)})
		synctest.Wait()
		b.Set(b.fake, nil)
		synctest.Wait()
		b.Set(b.fake, []ecr.Registry{region(8)})
		synctest.Wait()
		if got := b.fake.times(); len(got) != 1 {
			t.Errorf("asked at %v", got)
		}
	})
}
