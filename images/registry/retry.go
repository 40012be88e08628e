package registry

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/berth-registry/berth/images/manifest"
	"github.com/berth-registry/berth/images/transfer"
	"github.com/berth-registry/berth/internal/sleep"
)

// The limits of retries.
const (
	// Attempts is the number of attempts after errors of the network, and AttemptsDial if there is
	// no connection.
	Attempts     = 8
	AttemptsDial = 4
	// The pause between attempts is random; its upper bound doubles.
	pauseMin = 100 * time.Millisecond
	pauseMax = 5 * time.Second
	// waitMax limits the pause after 429 without Retry-After.
	waitMax = time.Minute
)

// action is what to do after an error.
type action int

const (
	actionGiveUp   action = iota
	actionRetry           // an error of the network
	actionRetryFew        // no connection, or wrong content
	actionWait            // 429
)

// exhaustedError is an error after all attempts: a larger operation must not retry it again.
type exhaustedError struct{ error }

func (e exhaustedError) Unwrap() error { return e.error }

// exhausted wraps an error, nil stays nil.
func exhausted(err error) error {
	if err == nil {
		return nil
	}
	return exhaustedError{err}
}

// classify returns whether a retry may help.
func classify(err error) action {
	if _, ok := errors.AsType[exhaustedError](err); ok {
		return actionGiveUp
	}
	if refusal, ok := errors.AsType[*statusError](err); ok {
		return refusal.classify()
	}
	if manifest.IsDamaged(err) {
		return actionGiveUp // a file stays as it is
	}
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, ErrPlainHTTP), errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return actionGiveUp
	case errors.Is(err, manifest.ErrContent):
		return actionRetryFew
	}
	if dns, ok := errors.AsType[*net.DNSError](err); ok && dns.IsNotFound {
		return actionGiveUp
	}
	if IsDialError(err) {
		return actionRetryFew
	}
	if isTransient(err) {
		return actionRetry
	}
	return actionGiveUp
}

// IsDialError reports whether no connection came about.
func IsDialError(err error) bool {
	op, ok := errors.AsType[*net.OpError](err)
	return ok && op.Op == "dial"
}

// isTransient reports whether err comes from the network and not from the configuration.
func isTransient(err error) bool {
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return false
	}
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return false
	}
	if _, ok := errors.AsType[tls.RecordHeaderError](err); ok {
		return false // no TLS on this port
	}
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "remote error" || errors.Is(err, http.ErrSchemeMismatch) {
		return false // a TLS alert; plain http
	}
	_, ok := errors.AsType[*transfer.NetError](err)
	return ok
}

// retrier retries operations.
type retrier struct {
	maxWait time.Duration // limit for waiting out 429, in all
	log     *slog.Logger
}

// do calls f until it succeeds or a retry cannot help. what names the operation in the log.
func (r retrier) do(ctx context.Context, what string, f func() error) error {
	bound := pauseMin
	failures := 0
	var limited time.Time // time of the first 429
	for {
		err := f()
		if err == nil || ctx.Err() != nil {
			return err
		}
		v := classify(err)
		if v == actionWait {
			// The rate limiter of the host delays the next attempt.
			if limited.IsZero() {
				limited = time.Now()
			}
			if time.Since(limited)+requestedWait(err) > r.maxWait {
				return err
			}
			continue
		}
		failures++
		if v == actionGiveUp || failures >= Attempts || v == actionRetryFew && failures >= AttemptsDial {
			return err
		}
		pause := rand.N(bound) + bound/4
		bound = min(2*bound, pauseMax)
		r.log.DebugContext(ctx, "trying again", "what", what, "error", err, "pause", pause)
		if !sleep.For(ctx, pause) {
			return err
		}
	}
}

// rateLimiter delays the requests to a host that has answered 429.
type rateLimiter struct {
	host    string
	maxWait time.Duration
	log     *slog.Logger

	mu          sync.Mutex
	until       time.Time
	consecutive int // number of such answers in a row
}

// wait waits until requests to the host are allowed.
func (g *rateLimiter) wait(ctx context.Context) error {
	for {
		g.mu.Lock()
		wait := time.Until(g.until)
		g.mu.Unlock()
		if wait <= 0 {
			return nil
		}
		if !sleep.For(ctx, wait) {
			return ctx.Err()
		}
	}
}

// observe reads status and Retry-After of an answer. A pause longer than maxWait is ignored: the
// caller gets the 429.
func (g *rateLimiter) observe(ctx context.Context, resp *http.Response) {
	after, said := retryAfter(resp.Header, time.Now())
	limited := resp.StatusCode == http.StatusTooManyRequests ||
		resp.StatusCode == http.StatusServiceUnavailable && said
	g.mu.Lock()
	defer g.mu.Unlock()
	now := time.Now()
	if !limited {
		if now.After(g.until) {
			g.consecutive = 0
		}
		return
	}
	// Answers to requests that were sent before the pause began change nothing.
	if now.Before(g.until) {
		return
	}
	g.consecutive++
	if after < time.Second {
		after = min(time.Second<<min(g.consecutive-1, 10), waitMax)
	}
	if after > g.maxWait {
		return
	}
	g.until = now.Add(after)
	g.log.WarnContext(ctx, "the registry wants fewer requests; waiting", "registry", g.host, "status", resp.StatusCode, "wait", after)
}

// requestedWait is the Retry-After of err.
func requestedWait(err error) time.Duration {
	if refusal, ok := errors.AsType[*statusError](err); ok {
		return refusal.retryAfter
	}
	return 0
}

// retryAfter reads the header, in either form:
// https://www.rfc-editor.org/rfc/rfc9110#field.retry-after
func retryAfter(h http.Header, now time.Time) (time.Duration, bool) {
	s := h.Get("Retry-After")
	if seconds, err := strconv.ParseUint(s, 10, 31); err == nil {
		return time.Duration(seconds) * time.Second, true
	}
	at, err := http.ParseTime(s)
	if err != nil {
		return 0, false
	}
	return max(at.Sub(now), 0), true
}
