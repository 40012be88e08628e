package tokens

import (
	"context"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/berth-registry/berth/credprovider/ecr"
)

// TestOneTokenForARegion: registries of one service, partition and region
// share a token; others do not.
func TestOneTokenForARegion(t *testing.T) {
	run(t, func(t *testing.T, b *fixture) {
		want := []ecr.Registry{
			east(t), reg(t, "444455556666.dkr.ecr.us-east-1.amazonaws.com"), reg(t, "444455556666.dkr-ecr.us-east-1.on.aws"), east(t),
			reg(t, "111122223333.dkr.ecr.eu-west-1.amazonaws.com"), reg(t, "public.ecr.aws"), reg(t, "111122223333.dkr.ecr.cn-north-1.amazonaws.com.cn"),
		}
		b.Set(b.fake, want)
		tokens := map[string]bool{}
		for _, r := range want {
			if !b.has(r) {
				t.Fatalf("no token for %s", r.Host)
			}
			token, _ := b.Token(r)
			tokens[token.Password.Reveal()] = true
		}
		if len(tokens) != 4 || b.fake.count() != 4 {
			t.Errorf("%d tokens, %d calls, want 4", len(tokens), b.fake.count())
		}
		var names []string
		for _, s := range b.Status() {
			names = append(names, s.Service+" "+s.Partition+" "+s.Region+" "+strings.Join(s.Hosts, " "))
		}
		wantNames := []string{
			"ecr aws eu-west-1 111122223333.dkr.ecr.eu-west-1.amazonaws.com",
			"ecr aws us-east-1 111122223333.dkr.ecr.us-east-1.amazonaws.com 444455556666.dkr-ecr.us-east-1.on.aws 444455556666.dkr.ecr.us-east-1.amazonaws.com",
			"ecr aws-cn cn-north-1 111122223333.dkr.ecr.cn-north-1.amazonaws.com.cn",
			"ecr-public aws us-east-1 public.ecr.aws",
		}
		if !slices.Equal(names, wantNames) {
			t.Errorf("%q", names)
		}
		// The same set again is nothing new, in any order.
		b.changed()
		slices.Reverse(want)
		b.Set(b.fake, want)
		if n := b.changed(); n != 0 || b.fake.count() != 4 {
			t.Errorf("%d changes, %d calls after setting the same", n, b.fake.count())
		}
	})
}

// TestRenewal: a token is renewed at half of its life ±10 %.
func TestRenewal(t *testing.T) {
	for rnd, want := range map[float64]time.Duration{0: 324 * time.Minute, 0.5: 360 * time.Minute, 0.75: 378 * time.Minute} {
		run(t, func(t *testing.T, b *fixture) {
			b.draw(rnd)
			b.Set(b.fake, []ecr.Registry{east(t)})
			time.Sleep(13 * time.Hour)
			if got := b.fake.times(); !slices.Equal(got, []time.Duration{0, want, 2 * want}) {
				t.Errorf("with %g it was renewed at %v, want each %s", rnd, got, want)
			}
			s := b.one(t)
			if s.Renewals != 3 || s.Attempts != 3 || s.Alarm != "" || !s.Valid || !s.NextAttempt.Equal(time.Now().Add(3*want-13*time.Hour).Round(0)) {
				t.Errorf("%+v", s)
			}
		})
	}
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
		if !e.want(slices.Clone(c.want)) || e.registry != c.asked || len(e.hosts) != c.hosts || !e.wanted || !e.checkStored || e.gaveUp {
			t.Errorf("%s: %+v", name, e)
		}
		e.checkStored = false
		slices.Reverse(c.want)
		if e.want(slices.Clone(c.want)) || e.checkStored {
			t.Errorf("%s: the same again is new", name)
		}
		if !e.want([]ecr.Registry{reg(t, "999999999999.dkr.ecr.us-east-1.amazonaws.com")}) || e.checkStored {
			t.Errorf("%s: another host is nothing new, or it is looked up again", name)
		}
	}
}

// TestSlowRegionsDelayNoOther: regions that hang delay no other, up to maxInFlight calls.
func TestSlowRegionsDelayNoOther(t *testing.T) {
	run(t, func(t *testing.T, b *fixture) {
		var want []ecr.Registry
		for n := range maxInFlight - 1 {
			want = append(want, region(n))
			b.fake.hangs[key(region(n))] = true
		}
		want = append(want, region(100), region(101), region(102))
		b.Set(b.fake, want)
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
			b.fake.set(func() { b.fake.hangs[key(region(n))] = true })
		}
		b.Set(b.fake, want)
		time.Sleep(5 * (callLimit + limitTemporary))
		seen := map[string]bool{}
		b.fake.set(func() {
			for _, c := range b.fake.calls {
				seen[c] = true
			}
		})
		if len(seen) < len(want) {
			t.Errorf("only %d of %d had a turn", len(seen), len(want))
		}
		if _, most := b.fake.looked(); most != maxInFlight {
			t.Errorf("%d calls at once, want %d", most, maxInFlight)
		}
	})
}

// TestNoMethodWaits: no method waits while every call hangs.
func TestNoMethodWaits(t *testing.T) {
	run(t, func(t *testing.T, b *fixture) {
		b.fake.wait = 25 * time.Second
		begin := time.Now()
		b.Set(b.fake, []ecr.Registry{east(t)})
		synctest.Wait()
		b.Set(b.fake, []ecr.Registry{region(3)})
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
	run(t, func(t *testing.T, b *fixture) {
		b.fake.err = fail(ecr.Denied, 0)
		b.Set(b.fake, []ecr.Registry{east(t)})
		time.Sleep(9 * time.Minute)
		if log := b.logged(); strings.Count(log, "\n") != 1 || !strings.Contains(log, "reason=access_denied") {
			t.Errorf("logged: %s", log)
		}
		b.fake.set(func() { b.fake.err = fail(ecr.Busy, 0) })
		time.Sleep(30 * time.Second)
		b.fake.set(func() { b.fake.err = fail(ecr.Denied, 0) })
		time.Sleep(20 * time.Second)
		if log := b.logged(); strings.Count(log, "\n") != 1 || !strings.Contains(log, "reason=temporary") {
			t.Errorf("logged: %s", log)
		}
		time.Sleep(time.Minute)
		if log := b.logged(); strings.Count(log, "reason=access_denied") != 1 || b.fake.count() < 20 {
			t.Errorf("no reminder: %s", log)
		}
	})
}

// TestLogNamesTheIdentity: two identities of one region have lines of their own.
func TestLogNamesTheIdentity(t *testing.T) {
	run(t, func(t *testing.T, b *fixture) {
		b.fake.err = fail(ecr.Denied, 0)
		own := reg(t, "444455556666.dkr.ecr.us-east-1.amazonaws.com")
		own.Chain = own.Host
		b.Set(b.fake, []ecr.Registry{east(t), own})
		time.Sleep(time.Minute)
		if log := b.logged(); strings.Count(log, "\n") != 2 || strings.Count(log, "registry="+own.Host) != 1 {
			t.Errorf("logged: %s", log)
		}
	})
}

// TestRunEnds: Run gives up hanging calls and returns after everything has ended.
func TestRunEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newFakeSource()
		c.hangs[key(east(t))] = true
		rf := New(Options{})
		rf.Set(c, []ecr.Registry{east(t)}) // before Run
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := rf.Run(ctx); err != nil || time.Since(c.start) != time.Second || c.inFlight != 0 {
			t.Errorf("%v after %s, %d in flight", err, time.Since(c.start), c.inFlight)
		}
		if err := rf.Run(ctx); err == nil {
			t.Error("Run can be used twice")
		}
	})
}

// TestNothingWanted: nothing happens without a source, or without registries.
func TestNothingWanted(t *testing.T) {
	run(t, func(t *testing.T, b *fixture) {
		b.Set(nil, []ecr.Registry{east(t)})
		time.Sleep(time.Hour)
		if s := b.one(t); s.Valid || s.Attempts != 0 {
			t.Errorf("%+v", s)
		}
		b.Set(b.fake, nil)
		time.Sleep(time.Hour)
		if len(b.Status()) != 0 || b.fake.count() != 0 {
			t.Errorf("%+v", b.Status())
		}
	})
}
