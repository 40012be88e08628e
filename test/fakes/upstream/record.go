// Package upstream stands in for the registries of the Internet and for broken
// mirrors: servers on loopback that answer as told and write down every request
// that reaches them, so that a test can say exactly what was asked, and of whom.
//
// A [Decoy] listens on a port of its own. A [Proxy] puts decoys behind names
// such as registry-1.docker.io: containerd is told to use it as its HTTPS proxy,
// speaks real TLS with the decoy through it, and resolves no name itself. A
// request for any other name is refused and recorded, so nothing leaves loopback.
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

// String is the method and the path with its query, the form in which tests
// state what they expect.
func (r Request) String() string {
	if r.Query == "" {
		return r.Method + " " + r.Path
	}
	return r.Method + " " + r.Path + "?" + r.Query
}

// recorder keeps requests in the order of their arrival.
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

// Lines gives each request's String, sorted: blobs are fetched side by side, so
// the order of arrival says nothing.
func Lines(requests []Request) []string {
	lines := make([]string, 0, len(requests))
	for _, r := range requests {
		lines = append(lines, r.String())
	}
	slices.Sort(lines)
	return lines
}
