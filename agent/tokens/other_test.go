package tokens

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/berth-registry/berth/credprovider/ecr"
)

// TestStoredTokenIsTaken: a token that another process stored costs no call.
func TestStoredTokenIsTaken(t *testing.T) {
	run(t, func(t *testing.T, b *bench) {
		b.cloud.issue(east(t))
		b.Set(b.cloud, []ecr.Registry{east(t)})
		if !b.has(east(t)) || b.cloud.count() != 0 {
			t.Fatalf("%d calls", b.cloud.count())
		}
		if s := b.one(t); s.Picked != 1 || s.Renewals != 0 || s.Identity != "profile" {
			t.Errorf("%+v", s)
		}
		// A newer stored token replaces the held one, and its times count.
		time.Sleep(5 * time.Hour)
		newer := b.cloud.issue(east(t))
		b.Rescan()
		time.Sleep(2 * time.Second)
		if got, _ := b.Token(east(t)); got.Password != newer.Password {
			t.Error("the newer one is not taken")
		}
		time.Sleep(5 * time.Hour)
		if b.cloud.count() != 0 {
			t.Error("renewed by the time of the older one")
		}
		time.Sleep(time.Hour + time.Minute)
		if b.cloud.count() != 1 {
			t.Error("not renewed by the time of the newer one")
		}
	})
}

func TestOldStoredTokenIsTakenAndRenewed(t *testing.T) {
	run(t, func(t *testing.T, b *bench) {
		b.cloud.issue(east(t))
		time.Sleep(8 * time.Hour)
		b.cloud.wait = 10 * time.Second
		b.Set(b.cloud, []ecr.Registry{east(t)})
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
	run(t, func(t *testing.T, b *bench) {
		b.draw(0.999)
		b.cloud.err = fail(ecr.Denied, 0)
		b.Set(b.cloud, []ecr.Registry{east(t)})
		time.Sleep(time.Minute)
		b.cloud.issue(east(t))
		calls := b.cloud.count()
		b.Rescan()
		if !b.has(east(t)) || b.cloud.count() != calls {
			t.Errorf("%d calls more", b.cloud.count()-calls)
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
	run(t, func(t *testing.T, b *bench) {
		older := b.cloud.issue(east(t))
		time.Sleep(time.Minute)
		b.cloud.issue(east(t))
		b.Set(b.cloud, []ecr.Registry{east(t)})
		synctest.Wait()
		b.cloud.set(func() { b.cloud.stored[key(east(t))] = older })
		time.Sleep(20 * time.Minute)
		if got, _ := b.Token(east(t)); got.Password == older.Password {
			t.Error("the older token is taken")
		}
	})
}

// TestBetterSource: Get is asked for a better token every five minutes, however often Rescan is
// called.
func TestBetterSource(t *testing.T) {
	run(t, func(t *testing.T, b *bench) {
		b.cloud.better = time.Hour
		b.Set(b.cloud, []ecr.Registry{east(t)})
		for range 3599 {
			time.Sleep(time.Second)
			b.Rescan()
		}
		before, _ := b.Token(east(t))
		if looks, _ := b.cloud.looked(); looks < 9 || looks > 12 {
			t.Errorf("%d looks in an hour", looks)
		}
		time.Sleep(6 * time.Minute)
		if after, _ := b.Token(east(t)); after.Password == before.Password || b.cloud.count() != 1 {
			t.Errorf("the better source is not used; %d calls", b.cloud.count())
		}
	})
}

func region(n int) ecr.Registry {
	r, _ := ecr.InRegion(ecr.Private, fmt.Sprintf("us-east-%d", n))
	return r
}

// TestAdoption: a token that the credential provider fetched is kept fresh.
func TestAdoption(t *testing.T) {
	run(t, func(t *testing.T, b *bench) {
		b.Set(b.cloud, nil)
		time.Sleep(time.Minute)
		b.cloud.issue(region(7))
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
		b.Set(b.cloud, []ecr.Registry{east(t)})
		synctest.Wait()
		b.Set(b.cloud, nil)
		synctest.Wait()
		if all := b.Status(); len(all) != 2 || !all[0].Adopted || !all[1].Adopted {
			t.Errorf("%+v", all)
		}
	})
}

// TestAdoptedRegionsGo: an adopted region that AWS denies is not asked for again. It is dropped
// when its token ends, and adopted again with a new one.
func TestAdoptedRegionsGo(t *testing.T) {
	for _, outcome := range []ecr.Outcome{ecr.Denied, ecr.Busy} {
		run(t, func(t *testing.T, b *bench) {
			b.cloud.issue(region(7))
			b.Set(b.cloud, nil)
			synctest.Wait()
			b.cloud.set(func() { b.cloud.err = fail(outcome, 0) })
			time.Sleep(12*time.Hour - 5*time.Minute - time.Second)
			calls := b.cloud.count()
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
			if b.cloud.count() != calls {
				t.Errorf("%s: asked for after it went", outcome)
			}
			if log := b.logged(); strings.Contains(log, "level=WARN") || strings.Contains(log, "level=ERROR") {
				t.Errorf("%s: logged as an alarm: %s", outcome, log)
			}
			b.cloud.issue(region(7))
			b.Rescan()
			synctest.Wait()
			b.one(t)
		})
	}
}

// TestPausesOutliveARegion: a region that is dropped and adopted again keeps its backoff.
func TestPausesOutliveARegion(t *testing.T) {
	run(t, func(t *testing.T, b *bench) {
		b.draw(0)
		b.cloud.life = 10 * time.Minute
		b.cloud.issue(region(7))
		b.Set(b.cloud, nil)
		b.cloud.set(func() { b.cloud.err = fail(ecr.Busy, time.Minute) })
		time.Sleep(9*time.Minute + 5*time.Second)
		got := b.cloud.times()
		last := 8*time.Minute + 32*time.Second // 4:30, then a minute and half a second after each call
		if len(b.Status()) != 0 || len(got) != 5 || got[4] != last {
			t.Fatalf("asked at %v, then %+v", got, b.Status())
		}
		b.cloud.set(func() { b.cloud.life = 50 * time.Second })
		b.cloud.issue(region(7)) // due for renewal at 9:27.5
		b.Rescan()
		time.Sleep(40 * time.Second)
		if got := b.cloud.times(); len(got) != 1 || got[0] != last+time.Minute+500*time.Millisecond {
			t.Errorf("asked at %v", got)
		}
		// The same holds for a wanted region.
		b.Set(b.cloud, []ecr.Registry{region(8)})
		synctest.Wait()
		b.Set(b.cloud, nil)
		synctest.Wait()
		b.Set(b.cloud, []ecr.Registry{region(8)})
		synctest.Wait()
		if got := b.cloud.times(); len(got) != 1 {
			t.Errorf("asked at %v", got)
		}
	})
}

// TestAdoptionIsBounded: at most maxAdopted regions are adopted.
func TestAdoptionIsBounded(t *testing.T) {
	run(t, func(t *testing.T, b *bench) {
		for n := range 200 {
			b.cloud.issue(region(n))
		}
		b.Set(b.cloud, []ecr.Registry{east(t)})
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
		b.Set(b.cloud, many)
		synctest.Wait()
		b.Set(b.cloud, nil)
		synctest.Wait()
		if n := len(b.Status()); n != maxAdopted {
			t.Errorf("%d entries of what was wanted", n)
		}
		if _, most := b.cloud.looked(); most > maxInFlight {
			t.Errorf("%d calls at once", most)
		}
	})
}

func TestUnreadableStore(t *testing.T) {
	run(t, func(t *testing.T, b *bench) {
		b.cloud.listErr = errors.New("open /run/berth/tokens: permission denied")
		b.Set(b.cloud, []ecr.Registry{east(t)})
		time.Sleep(time.Hour)
		if log := b.logged(); strings.Count(log, "permission denied") != 1 {
			t.Errorf("logged: %s", log)
		}
		if !b.has(east(t)) {
			t.Error("no token")
		}
	})
}

// TestNewSource: new credentials are tried at once, whatever backoff or hanging call the old ones
// have; the old token is served until then.
func TestNewSource(t *testing.T) {
	run(t, func(t *testing.T, b *bench) {
		b.cloud.err = fail(ecr.Denied, time.Minute)
		b.Set(b.cloud, []ecr.Registry{east(t)})
		time.Sleep(10 * time.Minute)
		if b.has(east(t)) {
			t.Fatal("a token out of nothing")
		}
		second := newCloud()
		second.wait = time.Second
		b.Set(second, []ecr.Registry{east(t)})
		time.Sleep(time.Second)
		if !b.has(east(t)) || second.count() != 1 {
			t.Fatalf("%d calls with the new credentials", second.count())
		}
		old, _ := b.Token(east(t))
		// A source that hangs, and one after it.
		hanging := newCloud()
		hanging.hangs[key(east(t))] = true
		b.Set(hanging, []ecr.Registry{east(t)})
		time.Sleep(5 * time.Second)
		if got, ok := b.Token(east(t)); !ok || got.Password != old.Password {
			t.Error("the old token is gone before there is a new one")
		}
		third := newCloud()
		third.serial = 1000
		b.Set(third, []ecr.Registry{east(t)})
		synctest.Wait()
		if got, ok := b.Token(east(t)); !ok || got.Password == old.Password || third.count() != 1 {
			t.Errorf("%d calls with the third credentials", third.count())
		}
		if s := b.one(t); s.LastError != "" || s.Renewals != 2 {
			t.Errorf("%+v", s)
		}
	})
}

// With new credentials an adopted region is kept only if they have a token for it, and a call with
// the old ones ends.
func TestNewSourceForgetsAdoptedRegions(t *testing.T) {
	run(t, func(t *testing.T, b *bench) {
		b.cloud.issue(region(7))
		b.cloud.hangs[key(region(7))] = true
		b.Set(b.cloud, nil)
		time.Sleep(7 * time.Hour) // its renewal hangs
		if s := b.one(t); !s.Adopted || b.cloud.calling() != 1 {
			t.Fatalf("%d calls, %+v", b.cloud.calling(), s)
		}
		b.Set(newCloud(), nil)
		synctest.Wait()
		if all := b.Status(); len(all) != 0 || b.has(region(7)) {
			t.Errorf("kept: %+v", all)
		}
		if n := b.cloud.calling(); n != 0 {
			t.Errorf("%d calls with the old credentials go on", n)
		}
	})
}

// A FIPS endpoint is asked if any registry of the scope needs one, in any order. A newly wanted
// entry checks the stored token.
func TestWant(t *testing.T) {
	plain, other := east(t), reg(t, "444455556666.dkr.ecr.us-east-1.amazonaws.com")
	fips := reg(t, "444455556666.dkr.ecr-fips.us-east-1.amazonaws.com")
	for name, c := range map[string]struct {
		want  []ecr.Registry
		asked ecr.Registry
		hosts int
	}{
		"one":        {[]ecr.Registry{plain}, plain, 1},
		"two":        {[]ecr.Registry{other, plain}, plain, 2},
		"twice":      {[]ecr.Registry{other, plain, other}, plain, 2},
		"FIPS":       {[]ecr.Registry{plain, fips}, fips, 2},
		"FIPS first": {[]ecr.Registry{fips, plain}, fips, 2},
	} {
		e := newEntry(scopeOf(plain))
		e.gaveUp = true
		if !e.want(slices.Clone(c.want)) || e.registry != c.asked || len(e.hosts) != c.hosts || !e.wanted || !e.peek || e.gaveUp {
			t.Errorf("%s: %+v", name, e)
		}
		e.peek = false
		slices.Reverse(c.want)
		if e.want(slices.Clone(c.want)) || e.peek {
			t.Errorf("%s: the same again is new", name)
		}
		if !e.want([]ecr.Registry{reg(t, "999999999999.dkr.ecr.us-east-1.amazonaws.com")}) || e.peek {
			t.Errorf("%s: another host is nothing new, or it is looked up again", name)
		}
	}
}

// TestNewSourceThatFails: new credentials that fail are tried again, although the old token is
// valid for hours.
func TestNewSourceThatFails(t *testing.T) {
	run(t, func(t *testing.T, b *bench) {
		b.Set(b.cloud, []ecr.Registry{east(t)})
		synctest.Wait()
		old, _ := b.Token(east(t))
		second := newCloud()
		second.serial = 1000
		second.err = fail(ecr.Busy, 0)
		b.Set(second, []ecr.Registry{east(t)})
		time.Sleep(10 * time.Second)
		if second.count() < 3 || !b.has(east(t)) {
			t.Errorf("%d calls with the new credentials", second.count())
		}
		second.set(func() { second.err = nil })
		time.Sleep(limitWithToken)
		if got, ok := b.Token(east(t)); !ok || got.Password == old.Password {
			t.Error("the new credentials are not used")
		}
		calls := second.count()
		time.Sleep(5 * time.Hour)
		if second.count() != calls {
			t.Errorf("%d calls more", second.count()-calls)
		}
	})
}

// TestNewSourceWithTheSameToken: a config change that keeps the credentials costs no call of AWS.
func TestNewSourceWithTheSameToken(t *testing.T) {
	run(t, func(t *testing.T, b *bench) {
		b.Set(b.cloud, []ecr.Registry{east(t)})
		synctest.Wait()
		again := newCloud()
		again.stored = maps.Clone(b.cloud.stored)
		b.Set(again, []ecr.Registry{east(t)})
		time.Sleep(time.Hour)
		if again.count() != 0 || !b.has(east(t)) {
			t.Errorf("%d calls", again.count())
		}
		time.Sleep(6 * time.Hour)
		if again.count() != 1 {
			t.Errorf("%d calls at half of the life", again.count())
		}
	})
}

// TestSlowRegionsDelayNoOther: regions that hang delay no other, up to maxInFlight calls.
func TestSlowRegionsDelayNoOther(t *testing.T) {
	run(t, func(t *testing.T, b *bench) {
		var want []ecr.Registry
		for n := range maxInFlight - 1 {
			want = append(want, region(n))
			b.cloud.hangs[key(region(n))] = true
		}
		want = append(want, region(100), region(101), region(102))
		b.Set(b.cloud, want)
		synctest.Wait()
		for _, r := range want[maxInFlight-1:] {
			if !b.has(r) {
				t.Errorf("%s waits for those that hang", r.Region)
			}
		}
		// If all hang, each still gets its turn.
		want = nil
		for n := range 3 * maxInFlight {
			want = append(want, region(n))
			b.cloud.set(func() { b.cloud.hangs[key(region(n))] = true })
		}
		b.Set(b.cloud, want)
		time.Sleep(5 * (callLimit + limitTemporary))
		seen := map[string]bool{}
		b.cloud.set(func() {
			for _, c := range b.cloud.calls {
				seen[c] = true
			}
		})
		if len(seen) < len(want) {
			t.Errorf("only %d of %d had a turn", len(seen), len(want))
		}
		if _, most := b.cloud.looked(); most != maxInFlight {
			t.Errorf("%d calls at once, want %d", most, maxInFlight)
		}
	})
}

// TestNobodyWaits: no method waits while every call hangs.
func TestNobodyWaits(t *testing.T) {
	run(t, func(t *testing.T, b *bench) {
		b.cloud.wait = 25 * time.Second
		begin := time.Now()
		b.Set(b.cloud, []ecr.Registry{east(t)})
		synctest.Wait()
		b.Set(b.cloud, []ecr.Registry{region(3)})
		b.Rescan()
		b.Token(east(t))
		b.Status()
		if waited := time.Since(begin); waited != 0 {
			t.Errorf("waited for %s", waited)
		}
	})
}

// TestLog: a reason is logged once, and again after ten minutes.
func TestLog(t *testing.T) {
	run(t, func(t *testing.T, b *bench) {
		b.cloud.err = fail(ecr.Denied, 0)
		b.Set(b.cloud, []ecr.Registry{east(t)})
		time.Sleep(9 * time.Minute)
		if log := b.logged(); strings.Count(log, "\n") != 1 || !strings.Contains(log, "reason=access_denied") {
			t.Errorf("logged: %s", log)
		}
		b.cloud.set(func() { b.cloud.err = fail(ecr.Busy, 0) })
		time.Sleep(30 * time.Second)
		b.cloud.set(func() { b.cloud.err = fail(ecr.Denied, 0) })
		time.Sleep(20 * time.Second)
		if log := b.logged(); strings.Count(log, "\n") != 1 || !strings.Contains(log, "reason=temporary") {
			t.Errorf("logged: %s", log)
		}
		time.Sleep(time.Minute)
		if log := b.logged(); strings.Count(log, "reason=access_denied") != 1 || b.cloud.count() < 20 {
			t.Errorf("no reminder: %s", log)
		}
	})
}

// TestEnd: Run gives up hanging calls and returns after everything has ended.
func TestEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCloud()
		c.hangs[key(east(t))] = true
		k := New(Options{})
		k.Set(c, []ecr.Registry{east(t)}) // before Run
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := k.Run(ctx); err != nil || time.Since(c.start) != time.Second || c.inFlight != 0 {
			t.Errorf("%v after %s, %d in flight", err, time.Since(c.start), c.inFlight)
		}
		if err := k.Run(ctx); err == nil {
			t.Error("Run can be used twice")
		}
	})
}

// TestNothingWanted: nothing happens without a source, or without registries.
func TestNothingWanted(t *testing.T) {
	run(t, func(t *testing.T, b *bench) {
		b.Set(nil, []ecr.Registry{east(t)})
		time.Sleep(time.Hour)
		if s := b.one(t); s.Valid || s.Attempts != 0 {
			t.Errorf("%+v", s)
		}
		b.Set(b.cloud, nil)
		time.Sleep(time.Hour)
		if len(b.Status()) != 0 || b.cloud.count() != 0 {
			t.Errorf("%+v", b.Status())
		}
	})
}
