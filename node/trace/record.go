package trace

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptrace"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// exchange is one request and its answer.
type exchange struct {
	host    string
	token   bool // the request went to a token server
	status  int
	err     error // without the address, which may hold a secret
	header  http.Header
	length  int64 // of the body, -1 if unknown
	written bool  // the request was sent, so there was a connection
}

// size is the length of the whole content of which the answer may be a part; -1 if it is unknown.
func (x exchange) size() int64 {
	switch {
	case x.header.Get("Content-Encoding") != "":
		return -1
	case x.status == http.StatusPartialContent:
		_, total, _ := strings.Cut(x.header.Get("Content-Range"), "/")
		if n, err := strconv.ParseInt(total, 10, 64); err == nil {
			return n
		}
		return -1
	case x.status == http.StatusOK:
		return x.length
	}
	return -1
}

// recording collects the exchanges of one question.
type recording struct {
	exchanges []exchange
	// passedOn is true if containerd went on to the next host.
	passedOn bool
	redirect string // scheme and host of the last redirect
	layer    bool   // the question is for a layer; one byte is enough
	// dialed is how long the first connection attempt took that was ended by its own limit, of
	// hosts.toml or of containerd; 0 if there was none.
	dialed time.Duration
	// carried is true if Go would have sent the login along with the redirect.
	carried bool
}

// last is the last exchange, the zero value if there was none.
func (t *recording) last() exchange {
	if len(t.exchanges) == 0 {
		return exchange{}
	}
	return t.exchanges[len(t.exchanges)-1]
}

type recordingKey struct{}

func withRecording(ctx context.Context, t *recording) context.Context {
	return context.WithValue(ctx, recordingKey{}, t)
}

// recorder is a transport that keeps each exchange in the recording of its request. Each question
// is asked by a single goroutine.
type recorder struct {
	inner http.RoundTripper
	token bool
}

func (r recorder) RoundTrip(req *http.Request) (*http.Response, error) {
	t, ok := req.Context().Value(recordingKey{}).(*recording)
	if !ok {
		return nil, errors.New("a request without a recording")
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
	began := time.Now()
	resp, err := r.inner.RoundTrip(req.WithContext(traced))
	x.err, x.written = err, written.Load()
	if err == nil {
		x.status, x.header, x.length = resp.StatusCode, resp.Header, resp.ContentLength
	}
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() && !x.written && req.Context().Err() == nil && t.dialed == 0 {
		t.dialed = time.Since(began).Round(100 * time.Millisecond)
	}
	t.exchanges = append(t.exchanges, x)
	return resp, err
}

// errNext is the error of the host that stands for the next one.
var errNext = errors.New("the next host")

// next stands for the hosts that follow: containerd's resolver then treats the host before it as
// one of several, and shows whether it would go on.
type next struct{}

func (next) RoundTrip(req *http.Request) (*http.Response, error) {
	if t, ok := req.Context().Value(recordingKey{}).(*recording); ok {
		t.passedOn = true
	}
	return nil, errNext
}
