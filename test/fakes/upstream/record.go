// Package upstream provides stand-ins for the registries of the Internet and for broken mirrors:
// servers on loopback that answer as a test says and record every request, so that the test can
// compare which host was asked for what.
//
// A [Decoy] listens on a port of its own. A [Proxy] puts decoys behind names such as
// registry-1.docker.io: containerd uses it as its HTTPS proxy, speaks real TLS with the decoy
// through it, and resolves no name itself. A request for any other name is refused and recorded, so
// nothing leaves loopback.
package upstream

import (
	"net/http"
	"slices"
	"sync"
)

// Request is one request as it arrived.
type Request struct {
	Host   string // what the client asked for, host[:port]
	Method string
	Path   string
	Query  string // raw, without the question mark
	Header http.Header
}

// String returns the method and the path with its query, the form in which tests state what they
// expect.
func (r Request) String() string {
	if r.Query == "" {
		return r.Method + " " + r.Path
	}
	return r.Method + " " + r.Path + "?" + r.Query
}

// recorder keeps requests in the order of arrival.
type recorder struct {
	mu       sync.Mutex
	requests []Request
}

func (r *recorder) add(req *http.Request) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.requests = append(r.requests, Request{
		Host:   req.Host,
		Method: req.Method,
		Path:   req.URL.Path,
		Query:  req.URL.RawQuery,
		Header: req.Header.Clone(),
	})
}

func (r *recorder) all() []Request {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.requests)
}

// Lines returns the String of each request, sorted: blobs are fetched in parallel, so the order of
// arrival has no meaning.
func Lines(requests []Request) []string {
	lines := make([]string, 0, len(requests))
	for _, r := range requests {
		lines = append(lines, r.String())
	}
	slices.Sort(lines)
	return lines
}
