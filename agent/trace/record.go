package trace

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptrace"
	"sync/atomic"
)

// exchange is one request and its answer.
type exchange struct {
	host    string
	token   bool // the question went to a token server
	status  int
	err     error // without the address, which may hold a secret
	header  http.Header
	written bool // the request was sent, so there was a connection
}

// tape is what happens while one question is asked.
type tape struct {
	exchanges []exchange
	// passedOn says that containerd went on to the next host.
	passedOn bool
	redirect string // scheme and host of the last redirect
	layer    bool   // the question is for a layer, of which one byte is enough
	// carried says that Go would have sent the login along with it.
	carried bool
}

type tapeKey struct{}

func withTape(ctx context.Context, t *tape) context.Context {
	return context.WithValue(ctx, tapeKey{}, t)
}

// recorder is a transport that keeps what happens on the tape of the request.
// A question is asked by one goroutine alone.
type recorder struct {
	inner http.RoundTripper
	token bool
}

func (r recorder) RoundTrip(req *http.Request) (*http.Response, error) {
	t, ok := req.Context().Value(tapeKey{}).(*tape)
	if !ok {
		return nil, errors.New("a request that belongs to no question")
	}
	x := exchange{host: req.URL.Host, token: r.token}
	if t.layer && !r.token {
		req = req.Clone(req.Context())
		req.Header.Set("Range", "bytes=0-0")
	}
	var written atomic.Bool // by a goroutine of the transport
	traced := httptrace.WithClientTrace(req.Context(), &httptrace.ClientTrace{
		WroteRequest: func(i httptrace.WroteRequestInfo) { written.Store(i.Err == nil) },
	})
	resp, err := r.inner.RoundTrip(req.WithContext(traced))
	x.err, x.written = err, written.Load()
	if err == nil {
		x.status, x.header = resp.StatusCode, resp.Header
	}
	t.exchanges = append(t.exchanges, x)
	return resp, err
}

// errNext is what the host says that stands for the next one.
var errNext = errors.New("the next host")

// next stands for the hosts that follow, so that containerd's resolver treats
// the one before it as one of several, and shows whether it would go on.
type next struct{}

func (next) RoundTrip(req *http.Request) (*http.Response, error) {
	if t, ok := req.Context().Value(tapeKey{}).(*tape); ok {
		t.passedOn = true
	}
	return nil, errNext
}
