package tokens

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/berth-registry/berth/credprovider"
	"github.com/berth-registry/berth/credprovider/helper"
	"github.com/berth-registry/berth/internal/redact"
)

// fakeHelpers is a helper whose answers have a life of their own, 0 for none.
type fakeHelpers struct {
	b    *fixture
	mu   sync.Mutex
	asks []time.Time
	life time.Duration
	fail bool
}

func (h *fakeHelpers) Stored(credprovider.HelperSource) (credprovider.HelperLogin, bool) {
	return credprovider.HelperLogin{}, false
}

func (h *fakeHelpers) Ask(_ context.Context, s credprovider.HelperSource) (credprovider.HelperLogin, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := h.b.fake.now().Round(0)
	h.asks = append(h.asks, time.Now())
	if h.fail {
		return credprovider.HelperLogin{}, &helper.Error{Program: s.Program, Class: helper.ExitCode, Exit: 1}
	}
	l := credprovider.HelperLogin{
		Registry: s.Registry, Program: s.Program, Username: "u", Password: redact.New(fmt.Sprintf("canary-%d", len(h.asks))), Issued: now,
	}
	if h.life > 0 {
		l.Expires = now.Add(h.life)
	}
	return l, nil
}

func (h *fakeHelpers) failing(fail bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.fail = fail
}

func (h *fakeHelpers) count() int {
	synctest.Wait()
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.asks)
}

func acr(refresh, stale time.Duration) credprovider.HelperSource {
	return credprovider.HelperSource{Registry: "registry.corp", Program: "acr-env", Refresh: refresh, MaxStale: stale}
}

func (b *fixture) served() string {
	synctest.Wait()
	return b.HelperLogins()["registry.corp"].Password.Reveal()
}

// TestHelperSchedule: asked at refresh, up to a tenth sooner; the last good login stays until
// maxStale while the helper fails with growing pauses, and then ends with an alarm.
func TestHelperSchedule(t *testing.T) {
	run(t, func(t *testing.T, b *fixture) {
		h := &fakeHelpers{b: b}
		b.draw(0.999)
		b.SetHelpers(h, []credprovider.HelperSource{acr(30*time.Minute, 2*time.Hour)})
		if h.count() != 1 || b.served() != "canary-1" {
			t.Fatalf("%d calls, %q", h.count(), b.served())
		}
		time.Sleep(29 * time.Minute)
		if h.count() != 1 {
			t.Fatal("asked before refresh")
		}
		time.Sleep(2 * time.Minute)
		if h.count() != 2 || b.served() != "canary-2" {
			t.Fatalf("%d calls, %q", h.count(), b.served())
		}
		h.failing(true)
		time.Sleep(time.Hour + 57*time.Minute)
		if b.served() != "canary-2" {
			t.Fatal("the last good login is gone before maxStale")
		}
		if n := h.count(); n < 10 || n > 40 {
			t.Errorf("%d calls while it failed", n)
		}
		b.changed()
		time.Sleep(4 * time.Minute)
		if b.served() != "" || b.changed() == 0 {
			t.Error("served after maxStale, or Changed was not called")
		}
		if s := b.one(t); s.Valid || s.Alarm == "" || s.Failures[string(helper.ExitCode)] == 0 || s.LastError == "" {
			t.Errorf("%+v", s)
		}
		h.failing(false)
		time.Sleep(limitWithout + time.Second)
		if b.served() == "" || b.one(t).Alarm != "" {
			t.Error("not served again after a success")
		}
	})
}

// TestHelperJWT: an expiry of the secret's own is sooner than refresh and maxStale.
func TestHelperJWT(t *testing.T) {
	run(t, func(t *testing.T, b *fixture) {
		h := &fakeHelpers{b: b, life: 20 * time.Minute}
		b.draw(0.999)
		b.SetHelpers(h, []credprovider.HelperSource{acr(time.Hour, 12*time.Hour)})
		if h.count() != 1 {
			t.Fatal(h.count())
		}
		time.Sleep(15*time.Minute + time.Second)
		if h.count() != 2 {
			t.Fatalf("%d calls at three quarters of the life", h.count())
		}
		h.failing(true)
		time.Sleep(17*time.Minute + 55*time.Second) // the margin is 2 minutes
		if b.served() == "" {
			t.Fatal("gone before the margin")
		}
		time.Sleep(10 * time.Second)
		if b.served() != "" {
			t.Error("served in the margin before exp")
		}
	})
}

// TestHelperClockBack: asked at once, and the login stays.
func TestHelperClockBack(t *testing.T) {
	run(t, func(t *testing.T, b *fixture) {
		h := &fakeHelpers{b: b}
		b.SetHelpers(h, []credprovider.HelperSource{acr(30*time.Minute, time.Hour)})
		h.count()
		time.Sleep(15 * time.Second)
		h.failing(true)
		b.fake.set(func() { b.fake.ahead = -24 * time.Hour })
		time.Sleep(2 * time.Minute)
		if h.count() < 2 || b.served() != "canary-1" {
			t.Errorf("%d calls, %q", h.count(), b.served())
		}
		time.Sleep(time.Hour)
		if b.served() != "" {
			t.Error("the clock extended the life of the login")
		}
	})
}

// TestHelperChanges: the same set again changes nothing, another program is asked at once while the
// old login is served, and one that is no longer wanted is dropped.
func TestHelperChanges(t *testing.T) {
	run(t, func(t *testing.T, b *fixture) {
		h := &fakeHelpers{b: b}
		s := acr(30*time.Minute, time.Hour)
		b.SetHelpers(h, []credprovider.HelperSource{s})
		h.count()
		b.Set(b.fake, nil) // ECR's sources are another matter
		b.SetHelpers(h, []credprovider.HelperSource{s})
		if h.count() != 1 || b.served() != "canary-1" {
			t.Fatalf("%d calls, %q", h.count(), b.served())
		}
		time.Sleep(time.Minute)
		h.failing(true)
		s.Program = "other"
		b.SetHelpers(h, []credprovider.HelperSource{s})
		if h.count() != 2 || b.served() != "canary-1" {
			t.Errorf("%d calls, %q", h.count(), b.served())
		}
		b.SetHelpers(h, nil)
		if b.served() != "" || len(b.Status()) != 0 {
			t.Errorf("still there: %+v", b.Status())
		}
	})
}
