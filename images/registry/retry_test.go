package registry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/berth-registry/berth/images/manifest"
	"github.com/berth-registry/berth/images/transfer"
)

func TestClassify(t *testing.T) {
	dial := &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}
	for _, c := range []struct {
		err  error
		want action
	}{
		{&statusError{status: 429}, actionWait},
		{&statusError{status: 500}, actionRetry},
		{&statusError{status: 502}, actionRetry},
		{&statusError{status: 503}, actionRetry},
		{&statusError{status: 504}, actionRetry},
		{&statusError{status: 408}, actionRetry},
		{&statusError{status: 400}, actionGiveUp},
		{&statusError{status: 401}, actionGiveUp},
		{&statusError{status: 403}, actionGiveUp},
		{&statusError{status: 404}, actionGiveUp},
		{&statusError{status: 507}, actionGiveUp},
		{&statusError{status: 500, text: "write: no space left on device"}, actionGiveUp},
		{exhausted(&statusError{status: 500}), actionGiveUp},
		{&transfer.NetError{Err: io.ErrUnexpectedEOF}, actionRetry},
		{&transfer.NetError{Err: syscall.ECONNRESET}, actionRetry},
		{&transfer.NetError{Err: dial}, actionRetryFew},
		{&transfer.NetError{Err: &net.DNSError{Err: "no such host", IsNotFound: true}}, actionGiveUp},
		{fmt.Errorf("blob: %w", manifest.ErrContent), actionRetryFew},
		{&transfer.NetError{Err: ErrPlainHTTP}, actionGiveUp},
		{&transfer.NetError{Err: syscall.ENOSPC}, actionGiveUp},
		{context.Canceled, actionGiveUp},
		{errors.New("anything"), actionGiveUp},
	} {
		if got := classify(fmt.Errorf("image: %w", c.err)); got != c.want {
			t.Errorf("%v: %d, want %d", c.err, got, c.want)
		}
	}
}

// How often and how long an operation is retried.
func TestRetrier(t *testing.T) {
	for _, c := range []struct {
		name    string
		err     error
		maxWait time.Duration
		calls   int
		longest time.Duration
	}{
		{"the way there", &transfer.NetError{Err: io.EOF}, time.Hour, Attempts, time.Minute},
		{"no connection", &transfer.NetError{Err: &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}}, time.Hour, AttemptsDial, 2 * time.Second},
		{"denied", &statusError{status: 403}, time.Hour, 1, 0},
		{"429 that asks for too much", &statusError{status: 429, retryAfter: 2 * time.Hour}, time.Hour, 1, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := retrier{maxWait: c.maxWait, log: slog.New(slog.DiscardHandler)}
				begin, calls := time.Now(), 0
				err := r.do(t.Context(), "x", func() error { calls++; return c.err })
				if !errors.Is(err, c.err) || calls != c.calls {
					t.Errorf("%v after %d calls, want %d", err, calls, c.calls)
				}
				if took := time.Since(begin); took > c.longest {
					t.Errorf("it took %s, want %s at most", took, c.longest)
				}
			})
		})
	}
	synctest.Test(t, func(t *testing.T) {
		r := retrier{maxWait: time.Hour, log: slog.New(slog.DiscardHandler)}
		calls := 0
		if err := r.do(t.Context(), "x", func() error {
			if calls++; calls < 5 {
				return &transfer.NetError{Err: io.EOF}
			}
			return nil
		}); err != nil || calls != 5 {
			t.Errorf("%v after %d calls", err, calls)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		begin := time.Now()
		if err := r.do(ctx, "x", func() error { return &transfer.NetError{Err: io.EOF} }); err == nil || time.Since(begin) > time.Second {
			t.Errorf("%v after %s, want the end of the context to end it", err, time.Since(begin))
		}
	})
}

func answer429(after string) *http.Response {
	h := http.Header{}
	if after != "" {
		h.Set("Retry-After", after)
	}
	return &http.Response{StatusCode: http.StatusTooManyRequests, Header: h}
}

// All requests to the host wait as long as the registry says, or longer and longer if it does not
// say.
func TestRateLimiter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log strings.Builder
		g := &rateLimiter{host: "hub", maxWait: time.Hour, log: slog.New(slog.NewTextHandler(&log, nil))}
		wait := func() time.Duration {
			begin := time.Now()
			if err := g.wait(t.Context()); err != nil {
				t.Fatal(err)
			}
			return time.Since(begin)
		}
		if got := wait(); got != 0 {
			t.Errorf("waits %s for nothing", got)
		}
		g.observe(t.Context(), answer429("30"))
		g.observe(t.Context(), answer429("30")) // sent before the pause
		if got := wait(); got != 30*time.Second {
			t.Errorf("waits %s, want 30s", got)
		}
		at := time.Now().Add(90 * time.Second).UTC().Format(http.TimeFormat)
		g.observe(t.Context(), answer429(at))
		if got := wait(); got < 89*time.Second || got > 91*time.Second {
			t.Errorf("waits %s until %s", got, at)
		}
		g.observe(t.Context(), &http.Response{StatusCode: 200, Header: http.Header{}})
		time.Sleep(time.Second)
		g.observe(t.Context(), &http.Response{StatusCode: 200, Header: http.Header{}})
		for _, want := range []time.Duration{1, 2, 4, 8, 16, 32, 60, 60} {
			g.observe(t.Context(), answer429(""))
			if got := wait(); got != want*time.Second {
				t.Errorf("waits %s, want %ds", got, want)
			}
		}
		g.observe(t.Context(), answer429("0"))
		if got := wait(); got == 0 {
			t.Error("no pause at all after 429")
		}
		g.observe(t.Context(), answer429("86400"))
		if got := wait(); got != 0 {
			t.Errorf("waits %s, which is longer than maxWait", got)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		g.observe(t.Context(), answer429("60"))
		if err := g.wait(ctx); err == nil {
			t.Error("passed although the context ended")
		}
		if n := strings.Count(log.String(), "\n"); n < 10 || !strings.Contains(log.String(), "registry=hub") {
			t.Errorf("%d lines in the log:\n%s", n, &log)
		}
	})
}

func FuzzRetryAfter(f *testing.F) {
	f.Add("120")
	f.Add("Fri, 31 Dec 1999 23:59:59 GMT")
	f.Add("-1")
	f.Fuzz(func(t *testing.T, s string) {
		d, ok := retryAfter(http.Header{"Retry-After": {s}}, time.Unix(1e9, 0))
		if d < 0 || !ok && d != 0 {
			t.Errorf("%q: %s %v", s, d, ok)
		}
	})
}

// An error of a registry is one printable line.
func TestRefusedError(t *testing.T) {
	reg := &Registry{name: "registry.corp"}
	for _, c := range []struct{ kind, body, want string }{
		{"application/json", `{"errors":[{"code":"DENIED","message":"requested access to the resource is denied"}]}`, "registry.corp: put: 403 Forbidden: requested access to the resource is denied"},
		{"application/json", `{"errors":[{"code":"DENIED","message":"denied"}]}`, "registry.corp: put: 403 Forbidden: denied"},
		{"text/html", "<html>\n<body>", "registry.corp: put: 403 Forbidden"},
		{"text/plain", "no\nway \x1b[31mred", "registry.corp: put: 403 Forbidden: no way ?[31mred"},
		{"text/plain", strings.Repeat("x", 1000), "registry.corp: put: 403 Forbidden: " + strings.Repeat("x", manifest.MaxForeign) + "…"},
		{"", "", "registry.corp: put: 403 Forbidden"},
	} {
		resp := &http.Response{StatusCode: 403, Header: http.Header{"Content-Type": {c.kind}}, Body: io.NopCloser(strings.NewReader(c.body))}
		if got := reg.checkStatus(resp, "put", 200).Error(); got != c.want {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
	resp := &http.Response{StatusCode: 200, Body: http.NoBody}
	if err := reg.checkStatus(resp, "put", 200); err != nil {
		t.Error(err)
	}
}
