package tokens

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/berth-registry/berth/credprovider"
	"github.com/berth-registry/berth/credprovider/ecr"
	"github.com/berth-registry/berth/internal/redact"
	"go.uber.org/goleak"
)

// One P: the race detector of Go 1.26 crashes when two goroutines of a synctest bubble take an
// expired timer at the same moment, because the runtime has one race context for all timers of a
// bubble (unlockAndRun in time.go).
func TestMain(m *testing.M) {
	runtime.GOMAXPROCS(1)
	goleak.VerifyTestMain(m)
}

// cloud is a source that a test controls. Its tokens have the times of its own clock.
type cloud struct {
	mu     sync.Mutex
	life   time.Duration
	wait   time.Duration // of a call
	err    error
	hangs  map[string]bool // scopes whose calls end only with their context
	better time.Duration   // Get returns a better token from then on, since start; 0: never
	ahead  time.Duration   // of the wall clock

	serial   int
	stored   map[string]credprovider.Token // by key
	calls    []string                      // the key of each Renew
	at       []time.Duration               // the time of each Renew, since start
	looks    int
	inFlight int
	most     int
	listErr  error
	start    time.Time
}

func newCloud() *cloud {
	return &cloud{life: 12 * time.Hour, stored: map[string]credprovider.Token{}, hangs: map[string]bool{}, start: time.Now()}
}

func (c *cloud) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Add(c.ahead)
}

func key(r ecr.Registry) string { return string(r.Service()) + "/" + r.Region }

// issue stores a token as another process would.
func (c *cloud) issue(r ecr.Registry) credprovider.Token {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.issueLocked(r)
}

func (c *cloud) issueLocked(r ecr.Registry) credprovider.Token {
	c.serial++
	now := time.Now().Add(c.ahead)
	t := credprovider.Token{Token: ecr.Token{
		Username: "AWS", Password: redact.New(fmt.Sprintf("canary-%d", c.serial)), Issued: now, Expires: now.Add(c.life),
	}, Source: "instance profile", Identity: "profile"}
	c.stored[key(r)] = t
	return t
}

func (c *cloud) Cached(r ecr.Registry) (credprovider.Token, bool) {
	now := c.now()
	c.mu.Lock()
	defer c.mu.Unlock()
	t, ok := c.stored[key(r)]
	return t, ok && t.Usable(now)
}

func (c *cloud) Get(_ context.Context, r ecr.Registry) (credprovider.Token, error) {
	c.mu.Lock()
	c.looks++
	better := c.better > 0 && time.Since(c.start) >= c.better
	c.mu.Unlock()
	if better {
		return c.issue(r), nil
	}
	t, ok := c.Cached(r)
	if !ok {
		return t, errors.New("nothing is stored")
	}
	return t, nil
}

func (c *cloud) Renew(ctx context.Context, r ecr.Registry) (credprovider.Token, error) {
	c.mu.Lock()
	c.calls = append(c.calls, key(r))
	c.at = append(c.at, time.Since(c.start))
	c.inFlight++
	c.most = max(c.most, c.inFlight)
	wait := c.wait
	if c.hangs[key(r)] {
		wait = 1000 * time.Hour
	}
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.inFlight--
	}()
	if wait > 0 {
		timer := time.NewTimer(wait)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
			return credprovider.Token{}, ctx.Err()
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return credprovider.Token{}, c.err
	}
	return c.issueLocked(r), nil
}

func (c *cloud) Scopes() ([]ecr.Registry, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var found []ecr.Registry
	for k := range c.stored {
		service, region, _ := strings.Cut(k, "/")
		if r, ok := ecr.InRegion(ecr.Service(service), region); ok {
			found = append(found, r)
		}
	}
	return found, c.listErr
}

// set changes the cloud.
func (c *cloud) set(f func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f()
}

func (c *cloud) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.calls)
}

// calling returns the number of calls of Renew in flight.
func (c *cloud) calling() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.inFlight
}

// looked returns how often Get was called, and the most calls of Renew at the same time.
func (c *cloud) looked() (looks, most int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.looks, c.most
}

// times returns the times of the calls since it was last called.
func (c *cloud) times() []time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	at := c.at
	c.at = nil
	return at
}

// bench is a refresher in a synctest bubble.
type bench struct {
	*Refresher
	cloud *cloud

	mu      sync.Mutex
	log     bytes.Buffer
	rnd     float64
	changes int
}

// Write takes the log.
func (b *bench) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.log.Write(p)
}

// run starts a refresher in a bubble, and waits for its end.
func run(t *testing.T, f func(t *testing.T, b *bench)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		b := &bench{cloud: newCloud(), rnd: 0.5}
		b.Refresher = New(Options{
			Log:     slog.New(slog.NewTextHandler(b, &slog.HandlerOptions{Level: slog.LevelInfo})),
			Changed: func() { b.mu.Lock(); defer b.mu.Unlock(); b.changes++ },
			Rand:    func() float64 { b.mu.Lock(); defer b.mu.Unlock(); return b.rnd },
			Now:     b.cloud.now,
		})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- b.Run(ctx) }()
		defer func() {
			cancel()
			if err := <-done; err != nil {
				t.Error(err)
			}
			if log := b.logged(); strings.Contains(log, "canary") {
				t.Errorf("a secret was logged:\n%s", log)
			}
		}()
		f(t, b)
	})
}

// changed returns how often Changed was called since the last time.
func (b *bench) changed() int {
	synctest.Wait()
	b.mu.Lock()
	defer b.mu.Unlock()
	n := b.changes
	b.changes = 0
	return n
}

func (b *bench) draw(x float64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.rnd = x
}

// logged returns the log since the last time.
func (b *bench) logged() string {
	synctest.Wait()
	b.mu.Lock()
	defer b.mu.Unlock()
	s := b.log.String()
	b.log.Reset()
	return s
}

func (b *bench) has(r ecr.Registry) bool {
	synctest.Wait()
	_, ok := b.Token(r)
	return ok
}

// one returns the status of the only entry.
func (b *bench) one(t *testing.T) Status {
	t.Helper()
	synctest.Wait()
	all := b.Status()
	if len(all) != 1 {
		t.Fatalf("%d entries: %+v", len(all), all)
	}
	return all[0]
}

func reg(t *testing.T, host string) ecr.Registry {
	t.Helper()
	r, ok := ecr.ParseHost(host)
	if !ok {
		t.Fatalf("%s is no ECR host", host)
	}
	return r
}

func east(t *testing.T) ecr.Registry { return reg(t, "111122223333.dkr.ecr.us-east-1.amazonaws.com") }

func fail(o ecr.Outcome, after time.Duration) error {
	return &ecr.ChainError{Region: "us-east-1", Errs: []ecr.SourceError{
		{Source: "instance profile", Err: &ecr.Error{Outcome: o, Op: "get a token", RetryAfter: after}},
		{Source: "static keys", Err: &ecr.Error{Outcome: ecr.NoKeys, Op: "find static keys"}},
	}}
}

// TestOneTokenForARegion: registries of one service, partition and region
// share a token; others do not.
func TestOneTokenForARegion(t *testing.T) {
	run(t, func(t *testing.T, b *bench) {
		want := []ecr.Registry{
			east(t), reg(t, "444455556666.dkr.ecr.us-east-1.amazonaws.com"), reg(t, "444455556666.dkr-ecr.us-east-1.on.aws"), east(t),
			reg(t, "111122223333.dkr.ecr.eu-west-1.amazonaws.com"), reg(t, "public.ecr.aws"), reg(t, "111122223333.dkr.ecr.cn-north-1.amazonaws.com.cn"),
		}
		b.Set(b.cloud, want)
		tokens := map[string]bool{}
		for _, r := range want {
			if !b.has(r) {
				t.Fatalf("no token for %s", r.Host)
			}
			token, _ := b.Token(r)
			tokens[token.Password.Reveal()] = true
		}
		if len(tokens) != 4 || b.cloud.count() != 4 {
			t.Errorf("%d tokens, %d calls, want 4", len(tokens), b.cloud.count())
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
		b.Set(b.cloud, want)
		if n := b.changed(); n != 0 || b.cloud.count() != 4 {
			t.Errorf("%d changes, %d calls after setting the same", n, b.cloud.count())
		}
	})
}

// TestRenewal: a token is renewed at half of its life ±10 %.
func TestRenewal(t *testing.T) {
	for rnd, want := range map[float64]time.Duration{0: 324 * time.Minute, 0.5: 360 * time.Minute, 0.75: 378 * time.Minute} {
		run(t, func(t *testing.T, b *bench) {
			b.draw(rnd)
			b.Set(b.cloud, []ecr.Registry{east(t)})
			time.Sleep(13 * time.Hour)
			if got := b.cloud.times(); !slices.Equal(got, []time.Duration{0, want, 2 * want}) {
				t.Errorf("with %g it was renewed at %v, want each %s", rnd, got, want)
			}
			s := b.one(t)
			if s.Renewals != 3 || s.Attempts != 3 || s.Alarm != "" || !s.Valid || !s.NextAttempt.Equal(time.Now().Add(3*want-13*time.Hour).Round(0)) {
				t.Errorf("%+v", s)
			}
		})
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
		run(t, func(t *testing.T, b *bench) {
			b.draw(c.rnd)
			b.cloud.err = c.err
			b.Set(b.cloud, []ecr.Registry{east(t)})
			time.Sleep(time.Duration(c.want[7]*1000+100) * time.Millisecond)
			var got []float64
			for _, at := range b.cloud.times()[:8] {
				got = append(got, at.Seconds())
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("%v with %g: tried at %v, want %v", c.err, c.rnd, got, c.want)
			}
			s := b.one(t)
			if s.Valid || s.Failures[reason(c.err)] != s.Attempts || s.LastError != c.err.Error() || !strings.Contains(s.Alarm, c.err.Error()) {
				t.Errorf("%+v", s)
			}
		})
	}
}

// TestBackoffWithToken: pauses grow to five minutes, plus the Retry-After in full.
func TestBackoffWithToken(t *testing.T) {
	run(t, func(t *testing.T, b *bench) {
		b.Set(b.cloud, []ecr.Registry{east(t)})
		synctest.Wait()
		b.cloud.set(func() { b.cloud.err = fail(ecr.Busy, 0) })
		b.cloud.times()
		time.Sleep(7 * time.Hour)
		got := b.cloud.times()
		if len(got) < 12 || got[0] != 6*time.Hour || got[1] != 6*time.Hour+750*time.Millisecond {
			t.Fatalf("tried at %v", got)
		}
		for i, at := range got[11:] {
			if pause := at - got[10+i]; pause != 150*time.Second+250*time.Millisecond {
				t.Errorf("a pause of %s", pause)
			}
		}
		b.cloud.set(func() { b.cloud.err = fail(ecr.Busy, 4*time.Minute) })
		time.Sleep(time.Hour)
		b.cloud.times()
		time.Sleep(time.Hour)
		got = b.cloud.times()
		if pause := got[1] - got[0]; pause != 4*time.Minute+150*time.Second+250*time.Millisecond {
			t.Errorf("a pause of %s when asked for four minutes", pause)
		}
		if !b.has(east(t)) {
			t.Error("the token is gone, though it has hours to go")
		}
		b.cloud.set(func() { b.cloud.err = nil })
		time.Sleep(10 * time.Minute)
		if s := b.one(t); s.LastError != "" || s.Renewals != 2 || s.Alarm != "" {
			t.Errorf("after the end of it: %+v", s)
		}
	})
}
