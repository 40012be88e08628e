package health

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"sync/atomic"
	"time"

	"github.com/berth-registry/berth/internal/realm"
)

const (
	userAgent = "berth (mirror prober)"
	// maxBody limits how many bytes of an answer are read. A longer body counts as complete.
	maxBody = 64 << 10
)

// result is the outcome of one probe.
type result struct {
	status int // of the HTTP answer, 0 if there was none
	reason Reason
	err    string // for people; quotes nothing that the server sent
	realm  string // the token server that a 401 names, "" for none
	took   time.Duration
}

func (r result) healthy() bool { return r.reason == "" }

// ask makes one probe: a GET without credentials, on a connection of its own, that follows no
// redirect. limit bounds all of it, the body included.
func ask(ctx context.Context, rt http.RoundTripper, address string, limit time.Duration) result {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	var progress progress
	ctx = withOwner(httptrace.WithClientTrace(ctx, progress.trace()))
	fail := func(err error) result {
		reason, text := explain(err, ctx.Err(), progress.stage(), limit)
		return result{reason: reason, err: text}
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return fail(err)
	}
	req.Header.Set("User-Agent", userAgent)
	resp, err := rt.RoundTrip(req)
	if err != nil {
		return fail(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode >= http.StatusInternalServerError {
		return result{status: resp.StatusCode, reason: HTTP5xx, err: statusText(resp.StatusCode)}
	}
	// What follows a 101 is not a body.
	if resp.StatusCode != http.StatusSwitchingProtocols {
		progress.at.Store(int32(answering))
		if _, err := io.Copy(io.Discard, io.LimitReader(resp.Body, maxBody)); err != nil {
			r := fail(err)
			r.status = resp.StatusCode
			return r
		}
	}
	r := result{status: resp.StatusCode}
	if r.status == http.StatusUnauthorized {
		r.realm, _ = realm.Named(resp.Header)
	}
	return r
}

// namesRealm reports whether the answer tells which token server clients without a login are sent
// to, if any.
func (r result) namesRealm() bool {
	return r.status == http.StatusOK || r.status == http.StatusUnauthorized
}

func statusText(status int) string {
	if text := http.StatusText(status); text != "" {
		return fmt.Sprintf("the answer is %d %s", status, text)
	}
	return fmt.Sprintf("the answer is %d", status)
}

// stage is how far a request got.
type stage int32

const (
	starting stage = iota
	resolving
	dialing
	handshaking
	waiting   // for the answer of the registry or of the proxy
	answering // the answer has begun
)

// progress records the stage of a request. Its hooks may still run after the request was given up,
// hence the atomic.
type progress struct{ at atomic.Int32 }

func (p *progress) stage() stage { return stage(p.at.Load()) }

func (p *progress) trace() *httptrace.ClientTrace {
	set := func(s stage) { p.at.Store(int32(s)) }
	return &httptrace.ClientTrace{
		DNSStart:     func(httptrace.DNSStartInfo) { set(resolving) },
		ConnectStart: func(string, string) { set(dialing) },
		ConnectDone: func(_, _ string, err error) {
			if err == nil {
				set(waiting)
			}
		},
		TLSHandshakeStart: func() { set(handshaking) },
		TLSHandshakeDone: func(_ tls.ConnectionState, err error) {
			if err == nil {
				set(waiting)
			}
		},
		GotFirstResponseByte: func() { set(answering) },
	}
}

// failedTransport is the transport of a host whose certificates are unusable.
type failedTransport struct{ err error }

func (t failedTransport) RoundTrip(*http.Request) (*http.Response, error) { return nil, t.err }

// proxyError is the refusal of a proxy to connect.
type proxyError struct{ status int }

func (e *proxyError) Error() string { return "the proxy refuses to connect: " + statusText(e.status) }

// refuse gets the proxy's answer to CONNECT. It does not quote the answer, which could repeat our
// login.
func refuse(_ context.Context, _ *url.URL, _ *http.Request, answer *http.Response) error {
	if answer.StatusCode != http.StatusOK {
		return &proxyError{answer.StatusCode}
	}
	return nil
}
