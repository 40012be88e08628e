package tokens

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
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

// fakeSource is a source that a test controls. Its tokens have the times of its own clock.
type fakeSource struct {
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

func newFakeSource() *fakeSource {
	return &fakeSource{life: 12 * time.Hour, stored: map[string]credprovider.Token{}, hangs: map[string]bool{}, start: time.Now()}
}

func (c *fakeSource) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Add(c.ahead)
}

func key(r ecr.Registry) string { return string(r.Service()) + "/" + r.Region }

// issue stores a token as another process would.
func (c *fakeSource) issue(r ecr.Registry) credprovider.Token {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.issueLocked(r)
}

func (c *fakeSource) issueLocked(r ecr.Registry) credprovider.Token {
	c.serial++
	now := time.Now().Add(c.ahead)
	t := credprovider.Token{Token: ecr.Token{
		Username: "AWS", Password: redact.New(fmt.Sprintf("canary-%d", c.serial)), Issued: now, Expires: now.Add(c.life),
	}, Source: "instance profile", Identity: "profile"}
	c.stored[key(r)] = t
	return t
}

func (c *fakeSource) Cached(r ecr.Registry) (credprovider.Token, bool) {
	now := c.now()
	c.mu.Lock()
	defer c.mu.Unlock()
	t, ok := c.stored[key(r)]
	return t, ok && t.Usable(now)
}

func (c *fakeSource) Get(_ context.Context, r ecr.Registry) (credprovider.Token, error) {
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

func (c *fakeSource) Renew(ctx context.Context, r ecr.Registry) (credprovider.Token, error) {
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

func (c *fakeSource) Scopes() ([]ecr.Registry, error) {
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

// set changes the source.
func (c *fakeSource) set(f func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f()
}

func (c *fakeSource) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.calls)
}

// calling returns the number of calls of Renew in flight.
func (c *fakeSource) calling() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.inFlight
}

// looked returns how often Get was called, and the most calls of Renew at the same time.
func (c *fakeSource) looked() (looks, most int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.looks, c.most
}

// times returns the times of the calls since it was last called.
func (c *fakeSource) times() []time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	at := c.at
	c.at = nil
	return at
}

// fixture is a refresher in a synctest bubble.
type fixture struct {
	*Refresher
	fake *fakeSource

	mu      sync.Mutex
	log     bytes.Buffer
	rnd     float64
	changes int
}

// Write takes the log.
func (b *fixture) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.log.Write(p)
}

// run starts a refresher in a bubble, and waits for its end.
func run(t *testing.T, f func(t *testing.T, b *fixture)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		b := &fixture{fake: newFakeSource(), rnd: 0.5}
		b.Refresher = New(Options{
			Log:     slog.New(slog.NewTextHandler(b, &slog.HandlerOptions{Level: slog.LevelInfo})),
			Changed: func() { b.mu.Lock(); defer b.mu.Unlock(); b.changes++ },
			Rand:    func() float64 { b.mu.Lock(); defer b.mu.Unlock(); return b.rnd },
			Now:     b.fake.now,
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
func (b *fixture) changed() int {
	synctest.Wait()
	b.mu.Lock()
	defer b.mu.Unlock()
	n := b.changes
	b.changes = 0
	return n
}

func (b *fixture) draw(x float64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.rnd = x
}

// logged returns the log since the last time.
func (b *fixture) logged() string {
	synctest.Wait()
	b.mu.Lock()
	defer b.mu.Unlock()
	s := b.log.String()
	b.log.Reset()
	return s
}

func (b *fixture) has(r ecr.Registry) bool {
	synctest.Wait()
	_, ok := b.Token(r)
	return ok
}

// one returns the status of the only entry.
func (b *fixture) one(t *testing.T) Status {
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

func region(n int) ecr.Registry {
	r, _ := ecr.InRegion(ecr.Private, fmt.Sprintf("us-east-%d", n))
	return r
}

func fail(o ecr.Outcome, after time.Duration) error {
	return &ecr.ChainError{Region: "us-east-1", Errs: []ecr.SourceError{
		{Source: "instance profile", Err: &ecr.Error{Outcome: o, Op: "get a token", RetryAfter: after}},
		{Source: "static keys", Err: &ecr.Error{Outcome: ecr.NoKeys, Op: "find static keys"}},
	}}
}
