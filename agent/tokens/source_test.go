package tokens

import (
	"maps"
	"testing"
	"testing/synctest"
	"time"

	"github.com/berth-registry/berth/credprovider/ecr"
)

// TestNewSource: new credentials are tried at once, whatever backoff or hanging call the old ones
// have; the old token is served until then.
func TestNewSource(t *testing.T) {
	run(t, func(t *testing.T, b *fixture) {
		b.fake.err = fail(ecr.Denied, time.Minute)
		b.Set(b.fake, []ecr.Registry{east(t)})
		time.Sleep(10 * time.Minute)
		if b.has(east(t)) {
			t.Fatal("a token out of nothing")
		}
		second := newFakeSource()
		second.wait = time.Second
		b.Set(second, []ecr.Registry{east(t)})
		time.Sleep(time.Second)
		if !b.has(east(t)) || second.count() != 1 {
			t.Fatalf("%d calls with the new credentials", second.count())
		}
		old, _ := b.Token(east(t))
		// A source that hangs, and one after it.
		hanging := newFakeSource()
		hanging.hangs[key(east(t))] = true
		b.Set(hanging, []ecr.Registry{east(t)})
		time.Sleep(5 * time.Second)
		if got, ok := b.Token(east(t)); !ok || got.Password != old.Password {
			t.Error("the old token is gone before there is a new one")
		}
		third := newFakeSource()
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
	run(t, func(t *testing.T, b *fixture) {
		b.fake.issue(region(7))
		b.fake.hangs[key(region(7))] = true
		b.Set(b.fake, nil)
		time.Sleep(7 * time.Hour) // its renewal hangs
		if s := b.one(t); !s.Adopted || b.fake.calling() != 1 {
			t.Fatalf("%d calls, %+v", b.fake.calling(), s)
		}
		b.Set(newFakeSource(), nil)
		synctest.Wait()
		if all := b.Status(); len(all) != 0 || b.has(region(7)) {
			t.Errorf("kept: %+v", all)
		}
		if n := b.fake.calling(); n != 0 {
			t.Errorf("%d calls with the old credentials go on", n)
		}
	})
}

// TestNewSourceThatFails: new credentials that fail are tried again, although the old token is
// valid for hours.
func TestNewSourceThatFails(t *testing.T) {
	run(t, func(t *testing.T, b *fixture) {
		b.Set(b.fake, []ecr.Registry{east(t)})
		synctest.Wait()
		old, _ := b.Token(east(t))
		second := newFakeSource()
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
	run(t, func(t *testing.T, b *fixture) {
		b.Set(b.fake, []ecr.Registry{east(t)})
		synctest.Wait()
		again := newFakeSource()
		again.stored = maps.Clone(b.fake.stored)
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
