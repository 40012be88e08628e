package health

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/berth-registry/berth/hostsconf"
)

// mirror is one host with changing behaviour that records when it is asked.
type mirror struct {
	mu     sync.Mutex
	answer answers
	asked  []time.Time
}

func (m *mirror) RoundTrip(r *http.Request) (*http.Response, error) {
	m.mu.Lock()
	m.asked = append(m.asked, time.Now())
	answer := m.answer
	m.mu.Unlock()
	return answer(r)
}

func (m *mirror) transport(hostsconf.TLS) (http.RoundTripper, error) { return m, nil }

func (m *mirror) becomes(a answers) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.answer = a
}

func (m *mirror) times() []time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]time.Time(nil), m.asked...)
}

func alive(*http.Request) (*http.Response, error) { return status(http.StatusUnauthorized), nil }

// transitions records when a registry went up or down.
type transitions struct {
	p  *Prober
	u  hostsconf.URL
	mu sync.Mutex
	at []time.Time
	up []bool
}

func (o *transitions) note() {
	alive, _ := o.p.Alive(o.u)
	o.mu.Lock()
	defer o.mu.Unlock()
	o.at, o.up = append(o.at, time.Now()), append(o.up, alive)
}

// last returns the time and the direction of the last transition, and their number.
func (o *transitions) last() (time.Time, bool, int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.at) == 0 {
		return time.Time{}, true, 0
	}
	return o.at[len(o.at)-1], o.up[len(o.up)-1], len(o.at)
}

// waysToFail are the ways in which a registry can fail.
func waysToFail(r *rand.Rand) (string, answers) {
	switch r.IntN(4) {
	case 0:
		return "refuses", func(*http.Request) (*http.Response, error) { return nil, errRefused }
	case 1:
		return "hangs", hang
	case 2:
		return "says 503", func(*http.Request) (*http.Response, error) { return status(503), nil }
	}
	return "hangs, then refuses", func(r *http.Request) (*http.Response, error) {
		if time.Now().UnixNano()%2 == 0 {
			return nil, errRefused
		}
		return hang(r)
	}
}

func anySettings(r *rand.Rand) Settings {
	s := defaults()
	s.Interval = time.Second + time.Duration(r.Int64N(int64(time.Minute)))
	s.Timeout = 100*time.Millisecond + time.Duration(r.Int64N(int64(s.Interval-100*time.Millisecond)+1))
	s.Failures, s.Successes = 1+r.IntN(4), 1+r.IntN(4)
	if r.IntN(3) == 0 {
		s = defaults()
	}
	return s
}

// A thousand mirrors die at any moment, in any way, and come back.
func TestDownAndUpInTime(t *testing.T) {
	for seed := range uint64(1000) {
		synctest.Test(t, func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 7))
			s := anySettings(r)
			latency := time.Duration(r.Int64N(int64(s.Timeout) / 2))
			m := &mirror{}
			var dead answers // nil while the mirror lives
			m.answer = func(r *http.Request) (*http.Response, error) {
				m.mu.Lock()
				before := dead != nil
				m.mu.Unlock()
				if !before {
					time.Sleep(latency)
				}
				// A dead mirror does not answer requests of before its death either.
				m.mu.Lock()
				after := dead
				m.mu.Unlock()
				if after != nil {
					return after(r)
				}
				return status(200), nil
			}
			set := func(a answers) {
				m.mu.Lock()
				defer m.mu.Unlock()
				dead = a
			}
			turns := &transitions{u: mustURL(t, "https://m.corp")}
			turns.p = New(Options{Rand: seeded(seed), Transport: m.transport, Changed: turns.note})
			turns.p.Set(s, []Endpoint{{URL: turns.u}})
			stop := run(t, turns.p)

			time.Sleep(time.Duration(r.Int64N(int64(10*s.Interval))) + latency + 1)
			if _, up, n := turns.last(); n != 1 || !up {
				t.Fatalf("seed %d: %d turns while it lived", seed, n)
			}
			how, death := waysToFail(r)
			set(death)
			died := time.Now()
			limit := time.Duration(s.Failures)*s.Interval + grace
			time.Sleep(limit + 1)
			at, up, n := turns.last()
			if n != 2 || up {
				t.Fatalf("seed %d: %s, %+v: not withdrawn within %s", seed, how, s, limit)
			}
			if took := at.Sub(died); took > limit {
				t.Fatalf("seed %d: %s: withdrawn after %s, limit %s", seed, how, took, limit)
			}
			time.Sleep(time.Duration(r.Int64N(int64(10 * s.Interval))))
			set(nil)
			// A probe from before may still hang; Successes more follow.
			time.Sleep(s.Timeout + time.Duration(s.Successes)*s.Interval + latency)
			if _, up, n := turns.last(); n != 3 || !up {
				t.Fatalf("seed %d: %+v: not back; %d turns", seed, s, n)
			}
			stop()
			if err := checkGaps(m.times(), s); err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
		})
	}
}

// checkGaps compares the pauses between probes with the interval.
func checkGaps(asked []time.Time, s Settings) error {
	for i, at := range asked[1:] {
		gap := at.Sub(asked[i])
		if gap < pause(s.Interval, 0) {
			return fmt.Errorf("two probes %s apart, interval %s", gap, s.Interval)
		}
		if gap > s.Interval {
			return fmt.Errorf("no probe for %s, interval %s", gap, s.Interval)
		}
	}
	return nil
}

// The control: a common schedule, which waits after each probe for the interval ±10 %, breaks the
// bound.
func TestNaiveScheduleIsLate(t *testing.T) {
	s := defaults()
	limit := time.Duration(s.Failures)*s.Interval + grace
	late := 0
	for seed := range uint64(1000) {
		r := rand.New(rand.NewPCG(seed, 7))
		var at time.Duration // the last answer was at 0, just before the death
		for range s.Failures {
			at += time.Duration(float64(s.Interval)*(0.9+0.2*r.Float64())) + s.Timeout
		}
		if at > limit {
			late++
		}
	}
	if late < 100 {
		t.Errorf("only %d of 1000 late: the bound would prove nothing", late)
	}
	start := time.Unix(0, 0)
	if checkGaps([]time.Time{start, start.Add(s.Interval / 2)}, s) == nil || checkGaps([]time.Time{start, start.Add(2 * s.Interval)}, s) == nil {
		t.Error("checkGaps lets anything pass")
	}
}

// A registry that answers every other probe keeps its state.
func TestFlappingRegistryKeepsState(t *testing.T) {
	for seed := range uint64(50) {
		synctest.Test(t, func(t *testing.T) {
			n := 0
			m := &mirror{}
			m.answer = func(*http.Request) (*http.Response, error) {
				m.mu.Lock()
				defer m.mu.Unlock()
				if n++; n%2 == 0 {
					return nil, errRefused
				}
				return status(200), nil
			}
			turns := &transitions{u: mustURL(t, "https://m.corp")}
			turns.p = New(Options{Rand: seeded(seed), Transport: m.transport, Changed: turns.note})
			turns.p.Set(defaults(), []Endpoint{{URL: turns.u}})
			stop := run(t, turns.p)
			time.Sleep(time.Hour)
			stop()
			if _, up, n := turns.last(); n != 1 || !up {
				t.Errorf("seed %d: %d turns", seed, n)
			}
			if n < 200 {
				t.Errorf("seed %d: %d probes in an hour", seed, n)
			}
		})
	}
}

// Two hundred hosts that hang delay no probe of another: a death among them is detected in time.
func TestDeadHostsDelayNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &mirror{answer: alive}
		network := answers(func(r *http.Request) (*http.Response, error) {
			if r.URL.Host == "m.corp" {
				return m.RoundTrip(r)
			}
			return hang(r)
		})
		turns := &transitions{u: mustURL(t, "https://m.corp")}
		turns.p = New(Options{Rand: seeded(1), Transport: network.transport, Changed: turns.note})
		all := []Endpoint{{URL: turns.u}}
		for i := range 200 {
			all = append(all, endpoint(t, fmt.Sprintf("https://dead-%d.corp", i)))
		}
		s := defaults()
		s.Timeout = s.Interval // so that each of them hangs all the time
		turns.p.Set(s, all)
		stop := run(t, turns.p)
		time.Sleep(3 * time.Minute)
		died := time.Now()
		m.becomes(hang)
		time.Sleep(time.Duration(s.Failures)*s.Interval + grace)
		if at, up, _ := turns.last(); up || at.Before(died) {
			t.Error("not withdrawn in time")
		}
		stop()
		if err := checkGaps(m.times(), s); err != nil {
			t.Error(err)
		}
		down := 0
		for _, st := range turns.p.Status() {
			if !st.Up && st.Known {
				down++
			}
		}
		if down != 201 {
			t.Errorf("%d of 201 down", down)
		}
	})
}

// The first probes are made at once; those of many targets within a second.
func TestFirstProbes(t *testing.T) {
	for _, n := range []int{1, manyTargets, 100} {
		synctest.Test(t, func(t *testing.T) {
			m := &mirror{answer: alive}
			p := New(Options{Rand: seeded(3), Transport: m.transport})
			var all []Endpoint
			for i := range n {
				all = append(all, endpoint(t, fmt.Sprintf("https://m-%d.corp", i)))
			}
			p.Set(defaults(), all)
			start := time.Now()
			stop := run(t, p)
			time.Sleep(2 * time.Second)
			stop()
			asked := m.times()
			if len(asked) != n {
				t.Fatalf("%d probes of %d targets", len(asked), n)
			}
			within := time.Duration(0)
			if n > manyTargets {
				within = spread
			}
			if last := asked[n-1].Sub(start); last > within {
				t.Errorf("%d targets: the last one after %s", n, last)
			}
			if n > manyTargets && asked[n/2] == start {
				t.Error("all of many targets in the same moment")
			}
		})
	}
}

// A registry that is slow, but within the timeout, stays up: the deciding probe is not cut too
// short.
func TestSlowRegistryStaysUp(t *testing.T) {
	for _, latency := range []time.Duration{3 * time.Second, 8 * time.Second, 12 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			n := 0
			m := &mirror{}
			m.answer = func(r *http.Request) (*http.Response, error) {
				m.mu.Lock()
				n++
				fail := n%5 == 0 // the next probe decides
				m.mu.Unlock()
				if fail {
					return nil, errRefused
				}
				select {
				case <-time.After(latency):
					return status(200), nil
				case <-r.Context().Done():
					return nil, r.Context().Err()
				}
			}
			s := defaults()
			s.Timeout = 13 * time.Second
			turns := &transitions{u: mustURL(t, "https://m.corp")}
			turns.p = New(Options{Rand: seeded(1), Transport: m.transport, Changed: turns.note})
			turns.p.Set(s, []Endpoint{{URL: turns.u}})
			stop := run(t, turns.p)
			time.Sleep(6 * time.Hour)
			stop()
			st := turns.p.Status()[0]
			if _, up, n := turns.last(); n != 1 || !up {
				t.Errorf("%s: %d turns, %v", latency, n, st.Failed)
			}
			if st.Probes < 1000 {
				t.Errorf("%d probes", st.Probes)
			}
		})
	}
}
