package health

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/berth-registry/berth/config"
	"github.com/berth-registry/berth/hostsconf"
)

// answers is a network made of a function, for tests in simulated time.
type answers func(*http.Request) (*http.Response, error)

func (a answers) RoundTrip(r *http.Request) (*http.Response, error) { return a(r) }

func (a answers) transport(hostsconf.TLS) (http.RoundTripper, error) { return a, nil }

// status is an answer without a body.
func status(code int, header ...string) *http.Response {
	r := &http.Response{StatusCode: code, Header: http.Header{}, Body: http.NoBody}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	return r
}

func body(code int, text string) *http.Response {
	r := status(code)
	r.Body = io.NopCloser(strings.NewReader(text))
	return r
}

var errRefused = errors.New("connection refused")

// hang never answers.
func hang(r *http.Request) (*http.Response, error) {
	<-r.Context().Done()
	return nil, r.Context().Err()
}

// seeded is a source of random numbers for several goroutines.
func seeded(seed uint64) func() float64 {
	var mu sync.Mutex
	r := rand.New(rand.NewPCG(seed, 1))
	return func() float64 {
		mu.Lock()
		defer mu.Unlock()
		return r.Float64()
	}
}

func mustURL(t testing.TB, s string) hostsconf.URL {
	t.Helper()
	u, err := hostsconf.ParseURL(s, false)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func endpoint(t testing.TB, s string) Endpoint {
	t.Helper()
	return Endpoint{URL: mustURL(t, s)}
}

func endpoints(t testing.TB, urls ...string) []Endpoint {
	t.Helper()
	var all []Endpoint
	for _, u := range urls {
		all = append(all, endpoint(t, u))
	}
	return all
}

// defaults are the settings of a config without a health section.
func defaults() Settings {
	h := config.Default().Health
	return Settings{
		Mode: h.Mode, Interval: time.Duration(h.Interval), Timeout: time.Duration(h.Timeout), Failures: h.Failures, Successes: h.Successes,
	}
}

// run runs p until the test ends or calls stop.
func run(t testing.TB, p *Prober) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	t.Cleanup(stop)
	return stop
}

// eventually waits for a condition in real time.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within 30 s: %s", what)
		}
	}
}

func noEnvironment(string) string { return "" }

// logBuffer is a log that a test can read.
type logBuffer struct {
	mu   sync.Mutex
	text strings.Builder
}

func (j *logBuffer) Write(b []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(b)
}

func (j *logBuffer) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.String()
}

func (j *logBuffer) logger() *slog.Logger {
	return slog.New(slog.NewJSONHandler(j, &slog.HandlerOptions{Level: slog.LevelDebug}))
}
