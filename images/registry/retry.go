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
)

const (
	// Attempts is how often something is tried that fails on the way, and
	// attemptsDial how often when nobody is there.
	Attempts     = 8
	AttemptsDial = 4
	// The pause before another attempt is random, and its bound doubles.
	pauseMin = 100 * time.Millisecond
	pauseMax = 5 * time.Second
	// waitMax is how long to wait after 429 when the registry does not say.
	waitMax = time.Minute
)

// action is what follows from an error.
type action int

const (
	actionGiveUp   action = iota
	actionRetry           // it may have been the way there
	actionRetryFew        // no answer at all, or wrong content
	actionWait            // the registry wants us to be slower
)

// exhaustedError is an error after which everything has been tried: who tries
// something larger again, would try it as often once more.
type exhaustedError struct{ error }

func (e exhaustedError) Unwrap() error { return e.error }

// exhausted marks an error, if there is one.
func exhausted(err error) error {
	if err == nil {
		return nil
	}
	return exhaustedError{err}
}

// classify says whether it may help to try again.
func classify(err error) action {
	if _, ok := errors.AsType[exhaustedError](err); ok {
		return actionGiveUp
	}
	if refusal, ok := errors.AsType[*statusError](err); ok {
		return refusal.classify()
	}
	if manifest.IsDamaged(err) {
		return actionGiveUp // a file does not change by itself
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

// IsDialError reports whether err says that there is no connection to the host.
func IsDialError(err error) bool {
	op, ok := errors.AsType[*net.OpError](err)
	return ok && op.Op == "dial"
}

// isTransient reports whether err comes from the network, and not from how we are
// set up.
func isTransient(err error) bool {
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return false
	}
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return false
	}
	if _, ok := errors.AsType[tls.RecordHeaderError](err); ok {
		return false // no TLS is spoken there
	}
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "remote error" || errors.Is(err, http.ErrSchemeMismatch) {
		return false // an alert of TLS; plain http
	}
	_, ok := errors.AsType[*transfer.NetError](err)
	return ok
}

// retrier tries again what may work then.
type retrier struct {
	maxWait time.Duration // how long one thing waits out 429, in all
	log     *slog.Logger
}

// do calls f until it works or there is no use in trying. what names the thing
// in the log.
func (r retrier) do(ctx context.Context, what string, f func() error) error {
	bound := pauseMin
	failures := 0
	var limited time.Time // when 429 came first
	for {
		err := f()
		if err == nil || ctx.Err() != nil {
			return err
		}
		v := classify(err)
		if v == actionWait {
			// The gate of the host makes the next attempt wait.
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
		if !sleep(ctx, pause) {
			return err
		}
	}
}

// rateLimiter holds back the requests to a host that has answered 429.
type rateLimiter struct {
	host    string
	maxWait time.Duration
	log     *slog.Logger

	mu          sync.Mutex
	until       time.Time
	consecutive int // of answers that said so
}

// wait waits until the host may be asked again.
func (g *rateLimiter) wait(ctx context.Context) error {
	for {
		g.mu.Lock()
		wait := time.Until(g.until)
		g.mu.Unlock()
		if wait <= 0 {
			return nil
		}
		if !sleep(ctx, wait) {
			return ctx.Err()
		}
	}
}

// observe learns from an answer of the host: its status, and what it says in
// Retry-After. A pause longer than we have patience for is none: whoever asked
// is told of the 429.
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
	// Those who had asked already get the same answer and say nothing new.
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

// requestedWait is how long the registry has asked to wait.
func requestedWait(err error) time.Duration {
	if refusal, ok := errors.AsType[*statusError](err); ok {
		return refusal.retryAfter
	}
	return 0
}

// retryAfter reads the header of that name, in either form:
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

// sleep waits; it reports false when ctx ended first.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
