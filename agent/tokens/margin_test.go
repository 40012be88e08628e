package tokens

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/berth-registry/berth/credprovider/ecr"
)

// TestMargin: a token is served until exactly five minutes before its expiry, also while a renewal
// hangs; then Changed is called and there is an alarm.
func TestMargin(t *testing.T) {
	run(t, func(t *testing.T, b *fixture) {
		b.Set(b.fake, []ecr.Registry{east(t)})
		synctest.Wait()
		b.fake.set(func() { b.fake.hangs[key(east(t))] = true })
		time.Sleep(12*time.Hour - 5*time.Minute - 1)
		if !b.has(east(t)) {
			t.Fatal("gone too early")
		}
		s := b.one(t)
		if !strings.Contains(s.Alarm, "cannot be renewed") || !s.Valid {
			t.Errorf("no alarm before: %+v", s)
		}
		b.changed()
		b.logged()
		time.Sleep(time.Nanosecond)
		if _, ok := b.Token(east(t)); ok {
			t.Error("served within the margin")
		}
		if b.changed() == 0 {
			t.Error("Changed was not called")
		}
		if s = b.one(t); s.Valid || !strings.Contains(s.Alarm, "there is no token for us-east-1 since 2000-01-01T11:55:00Z") {
			t.Errorf("%+v", s)
		}
		if log := b.logged(); strings.Count(log, "is no longer served") != 1 || !strings.Contains(log, "level=ERROR") {
			t.Errorf("logged: %s", log)
		}
		// From now on retries come sooner than every five minutes.
		b.fake.set(func() { b.fake.hangs = map[string]bool{} })
		time.Sleep(callLimit + limitWithout)
		if s = b.one(t); !s.Valid || s.Alarm != "" {
			t.Errorf("%+v", s)
		}
		if log := b.logged(); !strings.Contains(log, "renewed") {
			t.Errorf("the end of it is not logged: %s", log)
		}
	})
}

// TestMarginWhileTheFirstRenewalHangs: there is an alarm although nothing has failed yet.
func TestMarginWhileTheFirstRenewalHangs(t *testing.T) {
	run(t, func(t *testing.T, b *fixture) {
		b.fake.life = 40 * time.Second
		b.Set(b.fake, []ecr.Registry{east(t)})
		synctest.Wait()
		b.fake.set(func() { b.fake.wait = 25 * time.Second })
		time.Sleep(36*time.Second - 1)
		if !b.has(east(t)) || b.one(t).Alarm != "" {
			t.Fatalf("%+v", b.one(t))
		}
		time.Sleep(time.Nanosecond)
		if s := b.one(t); s.Valid || !s.Calling || !strings.Contains(s.Alarm, "the renewal is still running") {
			t.Errorf("%+v", s)
		}
		time.Sleep(9 * time.Second)
		if s := b.one(t); !s.Valid || s.Alarm != "" {
			t.Errorf("once it has ended: %+v", s)
		}
	})
}

// TestPauseShortensAtTheMargin: the pause of up to five minutes becomes one of at most twenty
// seconds when the token reaches its margin.
func TestPauseShortensAtTheMargin(t *testing.T) {
	run(t, func(t *testing.T, b *fixture) {
		b.draw(0.999)
		b.Set(b.fake, []ecr.Registry{east(t)})
		synctest.Wait()
		b.fake.set(func() { b.fake.err = fail(ecr.Denied, 0) })
		time.Sleep(12*time.Hour - 5*time.Minute)
		b.fake.times()
		time.Sleep(20 * time.Second)
		if got := b.fake.times(); len(got) != 1 {
			t.Errorf("tried at %v", got)
		}
	})
}

// TestRetryAfterOutlivesTheToken: a Retry-After is obeyed after the margin too, but for a shorter
// time.
func TestRetryAfterOutlivesTheToken(t *testing.T) {
	run(t, func(t *testing.T, b *fixture) {
		b.fake.life = 10 * time.Minute
		b.draw(0)
		b.Set(b.fake, []ecr.Registry{east(t)})
		synctest.Wait()
		b.fake.set(func() { b.fake.err = fail(ecr.Busy, 5*time.Minute) })
		time.Sleep(9*time.Minute - time.Second)
		b.fake.times()
		// The token ends in a second. AWS was asked at 4:30, and the next call is at 9:30.5.
		time.Sleep(32 * time.Second)
		if got := b.fake.times(); len(got) != 1 || got[0] != 9*time.Minute+30*time.Second+500*time.Millisecond {
			t.Errorf("tried at %v", got)
		}
	})
}

// TestClockForward: a token that is expired by the wall clock is not served, and is renewed within
// a minute.
func TestClockForward(t *testing.T) {
	run(t, func(t *testing.T, b *fixture) {
		b.Set(b.fake, []ecr.Registry{east(t)})
		synctest.Wait()
		time.Sleep(time.Hour + time.Second)
		b.changed()
		b.fake.set(func() { b.fake.ahead = 24 * time.Hour })
		if _, ok := b.Token(east(t)); ok {
			t.Error("an expired token is served")
		}
		time.Sleep(time.Minute)
		if !b.has(east(t)) || b.changed() == 0 || b.fake.count() != 2 {
			t.Errorf("not renewed: %+v", b.one(t))
		}
		// After the clock is set right again, the token comes from the future.
		b.fake.set(func() { b.fake.ahead = 0 })
		if _, ok := b.Token(east(t)); ok {
			t.Error("a token from the future is served")
		}
		time.Sleep(time.Minute)
		if !b.has(east(t)) || b.fake.count() != 3 {
			t.Errorf("not renewed: %+v", b.one(t))
		}
		if log := b.logged(); strings.Count(log, "the clock was set back") != 1 {
			t.Errorf("logged: %s", log)
		}
	})
}

// TestClockBack: setting the clock back does not lengthen the life of a token.
func TestClockBack(t *testing.T) {
	run(t, func(t *testing.T, b *fixture) {
		b.Set(b.fake, []ecr.Registry{east(t)})
		time.Sleep(5 * time.Hour)
		b.fake.set(func() { b.fake.ahead, b.fake.err = -4*time.Hour, fail(ecr.Busy, 0) })
		time.Sleep(time.Minute)
		if b.fake.count() < 2 {
			t.Error("nothing is renewed though the clock was put back")
		}
		time.Sleep(7*time.Hour - 6*time.Minute - 1)
		if !b.has(east(t)) {
			t.Error("gone too early")
		}
		time.Sleep(time.Nanosecond)
		if b.has(east(t)) {
			t.Error("served within the margin by the monotonic clock")
		}
	})
}
