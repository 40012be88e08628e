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
	token   bool // the question went to a token server
	status  int
	err     error // without the address, which may hold a secret
	header  http.Header
	length  int64 // of the body, -1 if that is not told
	written bool  // the request was sent, so there was a connection
}

// size is how long the whole content is of which the answer may be a part, -1 if
// that cannot be told.
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

// recording is what happens while one question is asked.
type recording struct {
	exchanges []exchange
	// passedOn says that containerd went on to the next host.
	passedOn bool
	redirect string // scheme and host of the last redirect
	layer    bool   // the question is for a layer, of which one byte is enough
	// dialed is how long the first attempt to connect took that its own limit
	// ended, the one of hosts.toml or containerd's; 0 for none.
	dialed time.Duration
	// carried says that Go would have sent the login along with it.
	carried bool
}

// last is the last exchange, a zero one when there was none.
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

// recorder is a transport that keeps what happens on the tape of the request.
// A question is asked by one goroutine alone.
type recorder struct {
	inner http.RoundTripper
	token bool
}

func (r recorder) RoundTrip(req *http.Request) (*http.Response, error) {
	t, ok := req.Context().Value(recordingKey{}).(*recording)
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

// errNext is what the host says that stands for the next one.
var errNext = errors.New("the next host")

// next stands for the hosts that follow, so that containerd's resolver treats
// the one before it as one of several, and shows whether it would go on.
type next struct{}

func (next) RoundTrip(req *http.Request) (*http.Response, error) {
	if t, ok := req.Context().Value(recordingKey{}).(*recording); ok {
		t.passedOn = true
	}
	return nil, errNext
}
