package tokens

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/berth-registry/berth/credprovider/ecr"
)

// TestStoredTokenIsTaken: a token that another process stored costs no call.
func TestStoredTokenIsTaken(t *testing.T) {
	run(t, func(t *testing.T, b *fixture) {
		b.fake.issue(east(t))
		b.Set(b.fake, []ecr.Registry{east(t)})
		if !b.has(east(t)) || b.fake.count() != 0 {
			t.Fatalf("%d calls", b.fake.count())
		}
		if s := b.one(t); s.Picked != 1 || s.Renewals != 0 || s.Identity != "profile" {
			t.Errorf("%+v", s)
		}
		// A newer stored token replaces the held one, and its times count.
		time.Sleep(5 * time.Hour)
		newer := b.fake.issue(east(t))
		b.Rescan()
		time.Sleep(2 * time.Second)
		if got, _ := b.Token(east(t)); got.Password != newer.Password {
			t.Error("the newer one is not taken")
		}
		time.Sleep(5 * time.Hour)
		if b.fake.count() != 0 {
			t.Error("renewed by the time of the older one")
		}
		time.Sleep(time.Hour + time.Minute)
		if b.fake.count() != 1 {
			t.Error("not renewed by the time of the newer one")
		}
	})
}

func TestOldStoredTokenIsTakenAndRenewed(t *testing.T) {
	run(t, func(t *testing.T, b *fixture) {
		b.fake.issue(east(t))
		time.Sleep(8 * time.Hour)
		b.fake.wait = 10 * time.Second
		b.Set(b.fake, []ecr.Registry{east(t)})
		if !b.has(east(t)) {
			t.Error("it waits for a new token though there is one")
		}
		time.Sleep(11 * time.Second)
		if s := b.one(t); s.Renewals != 1 || s.Picked != 1 {
			t.Errorf("%+v", s)
		}
	})
}

// TestStoredTokenEndsTheWait: a stored token is used during a backoff too.
func TestStoredTokenEndsTheWait(t *testing.T) {
	run(t, func(t *testing.T, b *fixture) {
		b.draw(0.999)
		b.fake.err = fail(ecr.Denied, 0)
		b.Set(b.fake, []ecr.Registry{east(t)})
		time.Sleep(time.Minute)
		b.fake.issue(east(t))
		calls := b.fake.count()
		b.Rescan()
		if !b.has(east(t)) || b.fake.count() != calls {
			t.Errorf("%d calls more", b.fake.count()-calls)
		}
		if s := b.one(t); s.Alarm != "" || s.LastError != "" {
			t.Errorf("%+v", s)
		}
		if log := b.logged(); !strings.Contains(log, "taken from another process") {
			t.Errorf("the end of it is not logged: %s", log)
		}
	})
}

// TestOlderStoredTokenIsLeft: an older token is stored because the newer one could not be; it is
// the last resort.
func TestOlderStoredTokenIsLeft(t *testing.T) {
	run(t, func(t *testing.T, b *fixture) {
		older := b.fake.issue(east(t))
		time.Sleep(time.Minute)
		b.fake.issue(east(t))
		b.Set(b.fake, []ecr.Registry{east(t)})
		synctest.Wait()
		b.fake.set(func() { b.fake.stored[key(east(t))] = older })
		time.Sleep(20 * time.Minute)
		if got, _ := b.Token(east(t)); got.Password == older.Password {
			t.Error("the older token is taken")
		}
	})
}

// TestBetterSource: Get is asked for a better token every five minutes, however often Rescan is
// called.
func TestBetterSource(t *testing.T) {
	run(t, func(t *testing.T, b *fixture) {
		b.fake.better = time.Hour
		b.Set(b.fake, []ecr.Registry{east(t)})
		for range 719 {
			time.Sleep(5 * time.Second)
			b.Rescan()
		}
		before, _ := b.Token(east(t))
		if looks, _ := b.fake.looked(); looks < 9 || looks > 12 {
			t.Errorf("%d looks in an hour", looks)
		}
		time.Sleep(6 * time.Minute)
		if after, _ := b.Token(east(t)); after.Password == before.Password || b.fake.count() != 1 {
			t.Errorf("the better source is not used; %d calls", b.fake.count())
		}
	})
}

// TestAdoption: a token that the credential provider fetched is kept fresh.
func TestAdoption(t *testing.T) {
	run(t, func(t *testing.T, b *fixture) {
		b.Set(b.fake, nil)
		time.Sleep(time.Minute)
		b.fake.issue(region(7))
		b.changed()
		time.Sleep(5 * time.Minute)
		s := b.one(t)
		if !s.Adopted || !s.Valid || s.Region != "us-east-7" || len(s.Hosts) != 0 || b.changed() == 0 {
			t.Fatalf("%+v", s)
		}
		time.Sleep(12 * time.Hour)
		if s = b.one(t); s.Renewals != 2 || !s.Valid {
			t.Errorf("not renewed: %+v", s)
		}
		// So is the token of a region that is no longer wanted.
		b.Set(b.fake, []ecr.Registry{east(t)})
		synctest.Wait()
		b.Set(b.fake, nil)
		synctest.Wait()
		if all := b.Status(); len(all) != 2 || !all[0].Adopted || !all[1].Adopted {
			t.Errorf("%+v", all)
		}
	})
}

// TestAdoptedRegionsAreDropped: an adopted region that AWS denies is not asked for again. It is
// dropped when its token ends, and adopted again with a new one.
func TestAdoptedRegionsAreDropped(t *testing.T) {
	for _, outcome := range []ecr.Outcome{ecr.Denied, ecr.Busy} {
		run(t, func(t *testing.T, b *fixture) {
			b.fake.issue(region(7))
			b.Set(b.fake, nil)
			synctest.Wait()
			b.fake.set(func() { b.fake.err = fail(outcome, 0) })
			time.Sleep(12*time.Hour - 5*time.Minute - time.Second)
			calls := b.fake.count()
			if outcome == ecr.Denied && calls != 1 || outcome == ecr.Busy && calls < 10 {
				t.Errorf("%s: %d calls", outcome, calls)
			}
			if s := b.one(t); s.Alarm != "" || !s.Valid || outcome == ecr.Denied && !s.NextAttempt.IsZero() {
				t.Errorf("%s: %+v", outcome, s)
			}
			b.changed()
			time.Sleep(2 * time.Second)
			if all := b.Status(); len(all) != 0 || b.changed() == 0 {
				t.Errorf("%s: %+v", outcome, all)
			}
			time.Sleep(time.Hour)
			if b.fake.count() != calls {
				t.Errorf("%s: asked for after it went", outcome)
			}
			if log := b.logged(); strings.Contains(log, "level=WARN") || strings.Contains(log, "level=ERROR") {
				t.Errorf("%s: logged as an alarm: %s", outcome, log)
			}
			b.fake.issue(region(7))
			b.Rescan()
			synctest.Wait()
			b.one(t)
		})
	}
}

// TestAdoptionIsBounded: at most maxAdopted regions are adopted.
func TestAdoptionIsBounded(t *testing.T) {
	run(t, func(t *testing.T, b *fixture) {
		for n := range 200 {
			b.fake.issue(region(n))
		}
		b.Set(b.fake, []ecr.Registry{east(t)})
		for range 10 {
			time.Sleep(time.Minute)
			b.Rescan()
		}
		if n := len(b.Status()); n != maxAdopted+1 {
			t.Errorf("%d entries", n)
		}
		var many []ecr.Registry
		for n := range 60 {
			many = append(many, region(1000+n))
		}
		b.Set(b.fake, many)
		synctest.Wait()
		b.Set(b.fake, nil)
		synctest.Wait()
		if n := len(b.Status()); n != maxAdopted {
			t.Errorf("%d entries of what was wanted", n)
		}
		if _, most := b.fake.looked(); most > maxInFlight {
			t.Errorf("%d calls at once", most)
		}
	})
}

func TestUnreadableStore(t *testing.T) {
	run(t, func(t *testing.T, b *fixture) {
		b.fake.listErr = errors.New("open /run/berth/tokens: permission denied")
		b.Set(b.fake, []ecr.Registry{east(t)})
		time.Sleep(time.Hour)
		if log := b.logged(); strings.Count(log, "permission denied") != 1 {
			t.Errorf("logged: %s", log)
		}
		if !b.has(east(t)) {
			t.Error("no token")
		}
	})
}
