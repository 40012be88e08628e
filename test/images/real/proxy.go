package real

import (
	"context"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/berth-registry/berth/test/fakes/fakeregistry"
)

// Proxy passes requests to a registry, records them, and disturbs them on demand.
type Proxy struct {
	http *httptest.Server
	to   string
	out  *http.Transport

	mu       sync.Mutex
	requests []fakeregistry.Request
	rnd      *rand.Rand
	failures float64
	failed   int
	on       func(n int) // called at request n of this process
	n        int
}

// StartProxy listens in front of a registry. The caller must call Close.
func StartProxy(to string) *Proxy {
	p := &Proxy{to: to, out: &http.Transport{MaxIdleConnsPerHost: 64, DisableCompression: true}}
	p.http = httptest.NewUnstartedServer(http.HandlerFunc(p.serve))
	p.http.Start()
	return p
}

// Close stops it.
func (p *Proxy) Close() {
	p.http.CloseClientConnections()
	p.http.Close()
	p.out.CloseIdleConnections()
}

// Addr returns host:port.
func (p *Proxy) Addr() string { return strings.TrimPrefix(p.http.URL, "http://") }

// Requests returns the requests with the registry's answers.
func (p *Proxy) Requests() []fakeregistry.Request {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]fakeregistry.Request(nil), p.requests...)
}

// Fail makes this share of the requests fail, as registries and networks do: 500, 502, 503,
// sometimes 429, and a connection that is cut before the request is executed, inside it or its
// answer, or after it.
func (p *Proxy) Fail(share float64, seed uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.failures, p.rnd = share, rand.New(rand.NewPCG(seed, 2))
}

// Failed returns the number of requests that were made to fail.
func (p *Proxy) Failed() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.failed
}

// On counts requests from now on, and calls f with each number before the request is passed on.
func (p *Proxy) On(f func(n int)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.on, p.n = f, 0
}

type failure int

const (
	fine failure = iota
	status
	limited
	cutBefore
	cutInside
	cutAfter
)

func (p *Proxy) draw() (failure, int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.rnd == nil || p.rnd.Float64() >= p.failures {
		return fine, 0
	}
	p.failed++
	switch k := p.rnd.IntN(200); {
	case k < 1:
		return limited, 0
	case k < 100:
		return status, []int{500, 502, 503}[k%3]
	case k < 130:
		return cutBefore, 0
	case k < 165:
		return cutInside, 0
	}
	return cutAfter, 0
}

func (p *Proxy) serve(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	p.n++
	n, on := p.n, p.on
	p.mu.Unlock()
	if on != nil {
		on(n)
	}
	how, code := p.draw()
	switch how {
	case status:
		w.WriteHeader(code)
		return
	case limited:
		w.Header().Set("Retry-After", "1")
		w.WriteHeader(http.StatusTooManyRequests)
		return
	case cutBefore:
		fakeregistry.Drop(w)
		return
	}
	if how == cutInside && r.ContentLength > 1 {
		r.Body = half{io.LimitReader(r.Body, r.ContentLength/2), r.Body}
	}
	seen := fakeregistry.Request{Method: r.Method, Path: r.URL.Path, Query: r.URL.RawQuery, Begin: time.Now()}
	resp, err := p.pass(r)
	seen.End = time.Now()
	if err == nil {
		seen.Status = resp.StatusCode
	}
	p.mu.Lock()
	p.requests = append(p.requests, seen)
	p.mu.Unlock()
	if err != nil && how != cutInside {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	if err != nil {
		fakeregistry.Drop(w)
		return
	}
	defer resp.Body.Close()
	switch {
	case how == cutAfter:
		fakeregistry.Drop(w)
	case how == cutInside && resp.ContentLength > 1:
		resp.Body = half{io.LimitReader(resp.Body, resp.ContentLength/2), resp.Body}
		p.answer(w, resp)
		panic(http.ErrAbortHandler) // so the Content-Length is wrong
	case how == cutInside:
		fakeregistry.Drop(w)
	default:
		p.answer(w, resp)
	}
}

// half is a body that ends too early.
type half struct {
	io.Reader
	io.Closer
}

// Read implements io.Reader.
func (h half) Read(b []byte) (int, error) {
	n, err := h.Reader.Read(b)
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

// pass sends the request to the registry. It continues if the client disconnects: the result at the
// registry must be known.
func (p *Proxy) pass(r *http.Request) (*http.Response, error) {
	out := r.Clone(context.WithoutCancel(r.Context()))
	out.URL.Scheme, out.URL.Host, out.Host, out.RequestURI = "http", p.to, p.to, ""
	return p.out.RoundTrip(out)
}

func (p *Proxy) answer(w http.ResponseWriter, resp *http.Response) {
	for name, values := range resp.Header {
		w.Header()[name] = values
	}
	// The registry's Location has its own address.
	if location, err := url.Parse(resp.Header.Get("Location")); err == nil && location.Host == p.to {
		location.Host = p.Addr()
		w.Header().Set("Location", location.String())
	}
	w.WriteHeader(resp.StatusCode)
	_, _ = io.Copy(w, resp.Body) // the client may have disconnected
}
