package health

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/berth-registry/berth/config"
)

// A registry with saved state is down from the start, is probed at once, and becomes up after as
// many answers as any other.
func TestSavedStateIsDownFromTheStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &mirror{answer: alive}
		p := New(Options{Rand: seeded(1), Transport: m.transport})
		e, other, s := endpoint(t, "https://m.corp/hub"), endpoint(t, "https://other.corp"), defaults()
		since := time.Now().Add(-time.Hour)
		p.RestoreHealth(map[string]SavedState{
			e.URL.String():                          {Since: since, Until: time.Now().Add(time.Minute)},
			mustURL(t, "https://old.corp").String(): {Since: since, Until: time.Now()},
		})
		if up, known := p.Alive(e.URL); up || !known {
			t.Errorf("before it is watched: up %v, known %v", up, known)
		}
		old := endpoint(t, "https://old.corp")
		for _, u := range []Endpoint{other, old} {
			if up, known := p.Alive(u.URL); !up || known {
				t.Errorf("%s: up %v, known %v", u.URL, up, known)
			}
		}
		start := time.Now()
		p.Set(s, []Endpoint{e, other, old})
		if up, known := p.Alive(e.URL); up || !known {
			t.Errorf("watched: up %v, known %v", up, known)
		}
		if up, known := p.Alive(old.URL); !up || known {
			t.Errorf("what is too old: up %v, known %v", up, known)
		}
		for _, st := range p.Status() {
			if st.URLs[0] == e.URL.String() && (!st.Since.Equal(since) || st.Probes != 0) {
				t.Errorf("%+v", st)
			}
		}
		run(t, p)
		synctest.Wait()
		if asked := m.times(); len(asked) != 3 || asked[2].After(start) {
			t.Errorf("asked at %v, begun at %v", asked, start)
		}
		if up, _ := p.Alive(e.URL); up {
			t.Error("up after one answer")
		}
		time.Sleep(time.Duration(s.Successes-1) * s.Interval)
		if up, known := p.Alive(e.URL); !up || !known {
			t.Errorf("after %d answers: up %v, known %v", s.Successes, up, known)
		}

		// A saved state is used once.
		p.Set(s, nil)
		p.Set(s, []Endpoint{e})
		if up, known := p.Alive(e.URL); !up || known {
			t.Errorf("gone and back: up %v, known %v", up, known)
		}
	})
}

// A registry that stays down is not reported again.
func TestSavedStateStaysDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &mirror{answer: hang}
		changes := 0
		p := New(Options{Rand: seeded(1), Transport: m.transport, Changed: func() { changes++ }})
		e := endpoint(t, "https://m.corp")
		p.RestoreHealth(map[string]SavedState{e.URL.String(): {Until: time.Now().Add(time.Minute)}})
		p.Set(defaults(), []Endpoint{e})
		stop := run(t, p)
		time.Sleep(10 * time.Minute)
		stop()
		if up, known := p.Alive(e.URL); up || !known || changes != 0 {
			t.Errorf("up %v, known %v, %d changes", up, known, changes)
		}
	})
}

func TestModeOffDropsSavedState(t *testing.T) {
	p := New(Options{})
	e, s := endpoint(t, "https://m.corp"), defaults()
	p.RestoreHealth(map[string]SavedState{e.URL.String(): {Until: time.Now().Add(time.Hour)}})
	s.Mode = config.HealthOff
	p.Set(s, nil)
	if up, known := p.Alive(e.URL); !up || known {
		t.Errorf("up %v, known %v", up, known)
	}
}
