package e2e

import (
	"crypto/tls"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/berth-registry/berth/test/e2e/registry"
	"github.com/berth-registry/berth/test/fakes/blackhole"
	"github.com/berth-registry/berth/test/pki"
)

// outage is a way in which a mirror fails.
type outage string

const (
	blackHole outage = "black hole" // every SYN is dropped
	hanging   outage = "hangs"      // accepts, completes the TLS handshake, reads the request, and never answers
)

// failingMirror is a mirror with TLS in front of a registry. It fails and returns on the same port.
type failingMirror struct {
	fixture *fixture
	port    *blackhole.Port
	serve   http.Handler // the registry

	mu    sync.Mutex
	how   outage        // "" while it answers
	hung  chan struct{} // closed when it no longer hangs
	pulls int           // requests of containerd that it has answered
}

func (s *fixture) failingMirror(ca *pki.CA, backend *registry.Registry) *failingMirror {
	s.Helper()
	to, err := url.Parse(backend.URL())
	if err != nil {
		s.Fatal(err)
	}
	pair, err := ca.Server("127.0.0.1")
	if err != nil {
		s.Fatal(err)
	}
	cert, err := pair.TLS()
	if err != nil {
		s.Fatal(err)
	}
	port, err := blackhole.Listen()
	if err != nil {
		s.Fatal(err)
	}
	quiet := log.New(io.Discard, "", 0) // a client that disconnects is not an error
	m := &failingMirror{fixture: s, port: port, serve: &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(to) }, ErrorLog: quiet,
	}}
	server := &http.Server{
		Handler: m, ErrorLog: quiet,
		TLSConfig: &tls.Config{Certificates: []tls.Certificate{cert}},
	}
	served := make(chan error, 1)
	go func() { served <- server.ServeTLS(port, "", "") }()
	s.Cleanup(func() {
		must(s.T, server.Close())
		if err := <-served; !errors.Is(err, http.ErrServerClosed) {
			s.Error(err)
		}
	})
	return m
}

// url returns the address with its scheme.
func (m *failingMirror) url() string { return m.port.URL("https") }

// addr returns host:port.
func (m *failingMirror) addr() string { return m.port.Addr().String() }

// ServeHTTP answers as the registry, or never.
func (m *failingMirror) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	m.mu.Lock()
	hung := m.hung
	if hung == nil && strings.HasPrefix(r.UserAgent(), "containerd/") {
		m.pulls++
	}
	m.mu.Unlock()
	if hung == nil {
		m.serve.ServeHTTP(w, r)
		return
	}
	select {
	case <-hung:
	case <-r.Context().Done():
	}
	panic(http.ErrAbortHandler) // not even an empty answer
}

// answered returns the number of requests of containerd that were answered.
func (m *failingMirror) answered() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.pulls
}

// fail makes the mirror fail, and returns when it did.
func (m *failingMirror) fail(how outage) time.Time {
	m.fixture.Helper()
	m.how = how
	if how == blackHole {
		died, err := m.port.Swallow()
		if err != nil {
			m.fixture.Fatal(err)
		}
		return died
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.hung = make(chan struct{})
	return time.Now()
}

// restore undoes fail, and returns when it did.
func (m *failingMirror) restore() time.Time {
	m.fixture.Helper()
	if m.how == blackHole {
		if err := m.port.Open(); err != nil {
			m.fixture.Fatal(err)
		}
	} else {
		m.mu.Lock()
		close(m.hung)
		m.hung = nil
		m.mu.Unlock()
	}
	m.how = ""
	return time.Now()
}
