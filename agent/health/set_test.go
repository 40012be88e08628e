package health

import (
	"fmt"
	"net/http"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/berth-registry/berth/config"
	"github.com/berth-registry/berth/hostsconf"
	"github.com/berth-registry/berth/internal/redact"
)

func TestProbedAddress(t *testing.T) {
	for _, c := range []struct {
		url      string
		override bool
		want     string
	}{
		{"https://h", false, "https://h/v2/"},
		{"https://h/", false, "https://h/v2/"},
		{"https://h:443/v2", false, "https://h/v2/"},
		{"http://h:80", false, "http://h/v2/"},
		{"https://h/v2/team", false, "https://h/v2/"},
		{"https://h/team/app", false, "https://h/v2/"},
		{"https://h/root/v2", false, "https://h/root/v2/"},
		{"https://h/root/v2/team", true, "https://h/root/v2/"},
		{"https://h/root", true, "https://h/root/"},
		{"https://h/v2x/team", true, "https://h/v2x/team/"},
		{"https://h", true, "https://h/"},
		{"https://[::1]:5000", false, "https://[::1]:5000/v2/"},
	} {
		u, err := hostsconf.ParseURL(c.url, c.override)
		if err != nil {
			t.Fatal(err)
		}
		if got := keyOf(Endpoint{URL: u}).String(); got != c.want {
			t.Errorf("%s (override %v): %s, want %s", c.url, c.override, got, c.want)
		}
	}
}

// Endpoints on one API root with the same certificates share a probe.
func TestSharedTarget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &mirror{answer: alive}
		p := New(Options{Transport: m.transport})
		all := endpoints(t, "https://h/hub", "https://h/quay", "https://h", "https://h:443/ghcr", "https://h/root/v2")
		all = append(all, Endpoint{URL: mustURL(t, "https://h/own"), TLS: hostsconf.TLS{SkipVerify: true}})
		// http ignores the TLS settings.
		all = append(all, endpoint(t, "http://p/a"), Endpoint{URL: mustURL(t, "http://p/b"), TLS: hostsconf.TLS{SkipVerify: true}})
		p.Set(defaults(), all)
		stop := run(t, p)
		time.Sleep(time.Second)
		stop()
		if n := len(m.times()); n != 4 {
			t.Errorf("%d probes, want 4", n)
		}
		shared := 0
		for _, s := range p.Status() {
			if s.Target == "https://h/v2/" && len(s.URLs) == 4 || s.Target == "http://p/v2/" && len(s.URLs) == 2 {
				shared++
			}
		}
		if shared != 2 {
			t.Errorf("%+v", p.Status())
		}
		for _, e := range all {
			if up, known := p.Alive(e.URL); !up || !known {
				t.Errorf("%s: %v, %v", e.URL, up, known)
			}
		}
		if up, known := p.Alive(mustURL(t, "https://stranger")); !up || known {
			t.Errorf("a stranger: %v, %v", up, known)
		}
	})
}

// State survives new headers, new certificates and other settings, but not mode off, and not the
// absence of the endpoint.
func TestSetKeepsState(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &mirror{answer: hang}
		p := New(Options{Transport: m.transport})
		e, s := endpoint(t, "https://m.corp/hub"), defaults()
		p.Set(s, []Endpoint{e})
		run(t, p)
		time.Sleep(time.Minute)
		down := func(when string, want bool) {
			t.Helper()
			if up, known := p.Alive(e.URL); up == want || known != want {
				t.Errorf("%s: up %v, known %v", when, up, known)
			}
		}
		down("at first", true)
		since := p.Status()[0].Since

		e.Authorization, e.Header = redact.New("Basic x"), map[string][]string{"X": {"y"}}
		p.Set(s, []Endpoint{e})
		down("new headers", true)
		e.TLS.SkipVerify = true
		p.Set(s, []Endpoint{e})
		down("new certificates", true)
		time.Sleep(time.Minute)
		down("a minute later", true)
		s.Mode = config.HealthReport
		p.Set(s, []Endpoint{e, endpoint(t, "https://other.corp")})
		down("mode report", true)
		if st := p.Status()[0]; st.Since != since || st.Probes < 8 || st.Failed[Timeout] != st.Probes {
			t.Errorf("%+v, down since %v", st, since)
		}

		time.Sleep(time.Until(m.times()[len(m.times())-1].Add(s.Interval - 500*time.Millisecond))) // within a probe
		s.Mode = config.HealthOff
		p.Set(s, []Endpoint{e})
		down("mode off", false)
		counted := p.Status()[0]
		synctest.Wait()
		if st := p.Status()[0]; st.Probes != counted.Probes || st.Failures != 0 || st.LastError != "" || st.RequestsPerHour != 0 {
			t.Errorf("a probe that was called off counts: %+v", st)
		}
		before := len(m.times())
		time.Sleep(time.Hour)
		if n := len(m.times()); n != before {
			t.Errorf("%d requests with mode off", n-before)
		}
		s.Mode = config.HealthWithdraw
		p.Set(s, []Endpoint{e})
		down("on again", false)
		time.Sleep(time.Minute)
		down("a minute later", true)
		p.Set(s, nil)
		down("gone", false)
		p.Set(s, []Endpoint{e})
		down("back", false)
	})
}

// Status shows the cost of learning.
func TestCost(t *testing.T) {
	p := New(Options{})
	s := defaults()
	login := redact.New("Basic x")
	p.Set(s, []Endpoint{
		{URL: mustURL(t, "https://a/x"), Authorization: login, Learn: true}, {URL: mustURL(t, "https://a/x"), Authorization: login, Learn: true},
		{URL: mustURL(t, "https://a/y"), Authorization: login}, {URL: mustURL(t, "https://a/z"), Learn: true},
		{URL: mustURL(t, "https://111122223333.dkr.ecr.us-east-1.amazonaws.com"), Authorization: login, Learn: true}, {URL: mustURL(t, "https://b")},
	})
	var got []float64
	for _, st := range p.Status() {
		got = append(got, st.RequestsPerHour-perHour(s.Interval))
	}
	want := []float64{float64(redirectRequests) / 6, float64(basicRequests+redirectRequests) / 6, 0}
	for i := range want {
		if len(got) != len(want) || got[i] < want[i]-1e-9 || got[i] > want[i]+1e-9 {
			t.Errorf("learning costs %v an hour, want %v", got, want)
			break
		}
	}
}

// Set with the same values sends nothing, however often; another interval or proxy is used at once.
func TestSetIsLevelTriggered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &mirror{answer: alive}
		p := New(Options{Rand: seeded(5), Transport: m.transport})
		s, all := defaults(), endpoints(t, "https://m.corp")
		p.Set(s, all)
		run(t, p)
		for range 10000 {
			p.Set(s, all)
			time.Sleep(20 * time.Millisecond)
		}
		if err := checkGaps(m.times(), s); err != nil {
			t.Error(err)
		}
		s.Interval = time.Hour
		p.Set(s, all)
		time.Sleep(30 * time.Minute)
		before := len(m.times())
		s.Interval = time.Minute
		p.Set(s, all)
		time.Sleep(time.Second)
		if n := len(m.times()); n != before+1 {
			t.Errorf("%d probes when the interval got shorter than the last pause", n-before)
		}
		s.Proxy.HTTPSProxy = redact.New("http://p.corp")
		p.Set(s, all)
		time.Sleep(time.Second)
		if n := len(m.times()); n != before+2 {
			t.Errorf("%d probes after a new proxy", n-before-1)
		}
	})
}

// All methods may be called while Run runs, and Run ends.
func TestConcurrentUse(t *testing.T) {
	m := &mirror{answer: alive}
	var p *Prober
	p = New(Options{Transport: m.transport, Changed: func() { p.Status(); p.Learned() }})
	stop := run(t, p)
	p.Set(defaults(), endpoints(t, "https://h"))
	eventually(t, "the first probe", func() bool { return p.Status()[0].Probes > 0 })
	if err := p.Run(t.Context()); err == nil {
		t.Error("Run runs twice")
	}
	var tasks sync.WaitGroup
	for i := range 8 {
		tasks.Go(func() {
			s := defaults()
			for n := range 200 {
				s.Interval = time.Duration(1+n%3) * time.Millisecond
				s.Mode = []config.HealthMode{config.HealthWithdraw, config.HealthReport, config.HealthOff}[n%3]
				e := Endpoint{URL: mustURL(t, fmt.Sprintf("https://h-%d.corp", n%5)), Learn: true, Authorization: redact.New(fmt.Sprint(n % 4))}
				e.TLS.SkipVerify = n%2 == 0
				p.Set(s, []Endpoint{e, endpoint(t, "https://h")})
				p.SetHub(n%2 == 0, fmt.Sprint(i), redact.Secret{})
				p.Alive(e.URL)
				p.Status()
				p.RestoreFacts(p.Learned())
				p.Hub()
			}
		})
	}
	tasks.Wait()
	stop()
}

// 12,000 probes, half of them failing, leave nothing behind: not even one small object per probe.
func TestNoLeak(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		n := 0
		network := answers(func(r *http.Request) (*http.Response, error) {
			mu.Lock()
			defer mu.Unlock()
			if n++; n%2 == 0 {
				return nil, errRefused
			}
			return status(200), nil
		})
		p := New(Options{Rand: seeded(2), Transport: network.transport})
		var all []Endpoint
		for i := range 100 {
			all = append(all, endpoint(t, fmt.Sprintf("https://m-%d.corp", i)))
		}
		p.Set(defaults(), all)
		stop := run(t, p)
		probes := func() int {
			mu.Lock()
			defer mu.Unlock()
			return n
		}
		measure := func() (goroutines int, heap uint64) {
			synctest.Wait()
			runtime.GC()
			runtime.GC()
			var stats runtime.MemStats
			runtime.ReadMemStats(&stats)
			return runtime.NumGoroutine(), stats.HeapAlloc
		}
		time.Sleep(10 * time.Minute)
		goroutines, heap := measure()
		for start := probes(); probes() < start+12_000; {
			time.Sleep(time.Minute)
		}
		goroutinesAfter, heapAfter := measure()
		stop()
		t.Logf("%d probes: %d → %d goroutines, %d → %d KiB", probes(), goroutines, goroutinesAfter, heap>>10, heapAfter>>10)
		if goroutinesAfter > goroutines+2 {
			t.Errorf("%d goroutines became %d", goroutines, goroutinesAfter)
		}
		if heapAfter > heap+128<<10 {
			t.Errorf("%d bytes of heap became %d", heap, heapAfter)
		}
	})
}
