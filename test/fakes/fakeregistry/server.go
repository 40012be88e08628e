// Package fakeregistry is an image registry for tests, over HTTP on loopback, as strict as the real
// ones: blobs belong to a repository and are mounted from another one, a manifest is refused while
// a part of it is missing, lists have pages, and a login may be required. It keeps everything in
// memory, records every request, and fails on demand.
//
// Start with [Start]; [Server.Requests] returns the requests.
package fakeregistry

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"time"
)

// Options choose the kind of registry. The zero value accepts every request and has no referrers
// API.
type Options struct {
	Referrers bool // has the referrers API
	NoMount   bool // mounts nothing: uploads begin instead
	// Fixed repositories are all that there are, as with ECR; nil: a push makes
	// its repository.
	Fixed []string
	// Username and Password are required for everything, as Basic; with Token they are exchanged
	// for a Bearer token at /token.
	Username, Password string
	Token              bool
	// Admit decides instead of Username and Password, for Basic.
	Admit func(username, password string) bool
	// Page is the number of tags or referrers in a page; 0 means no limit.
	Page int
	// TLS makes the server speak https, with a certificate that [Server.TLS] knows.
	TLS bool
	// Root is the path prefix of the API; "" is /v2.
	Root string
}

// Request is one request with its answer.
type Request struct {
	Method, Path, Query string
	Authorization       string
	Status              int // that was answered; 0 when the connection was dropped
	// Begin and End are when it came, and when it was answered.
	Begin, End time.Time
}

// String returns method, path with query, and status.
func (r Request) String() string {
	s := r.Method + " " + r.Path
	if r.Query != "" {
		s += "?" + r.Query
	}
	return fmt.Sprintf("%s %d", s, r.Status)
}

// Server is a running registry.
type Server struct {
	http    *httptest.Server
	options Options

	mu        sync.Mutex
	blobs     map[string][]byte
	repos     map[string]*repo
	uploads   int
	requests  []Request
	intercept func(http.ResponseWriter, *http.Request) bool
	open      map[string]bool // connections, by the address of the client
	seen      map[string]bool // connections that were accepted
}

type repo struct {
	blobs     map[string]bool // that it may give out
	manifests map[string]manifest
	tags      map[string]string // digest by tag
}

type manifest struct {
	mediaType string
	raw       []byte
}

// Start runs a server. The caller must call [Server.Close].
func Start(o Options) *Server { return StartTLS(o, nil) }

// StartTLS runs a server that speaks https as c says. Unless c has a certificate, it is one that
// [Server.TLS] knows.
func StartTLS(o Options, c *tls.Config) *Server {
	if o.Root == "" {
		o.Root = "/v2"
	}
	s := &Server{options: o, blobs: map[string][]byte{}, repos: map[string]*repo{}, open: map[string]bool{}, seen: map[string]bool{}}
	for _, name := range o.Fixed {
		s.repo(name, true)
	}
	s.http = httptest.NewUnstartedServer(http.HandlerFunc(s.serve))
	s.http.Config.ConnState = s.noteConnection
	s.http.Config.ErrorLog = log.New(io.Discard, "", 0) // failed handshakes
	switch {
	case c != nil:
		s.http.TLS = c
		s.http.StartTLS()
	case o.TLS:
		s.http.StartTLS()
	default:
		s.http.Start()
	}
	return s
}

// Close stops the server and drops its connections.
func (s *Server) Close() {
	s.http.CloseClientConnections()
	s.http.Close()
}

// Addr returns host:port.
func (s *Server) Addr() string { return s.http.Listener.Addr().String() }

// URL returns the address with its scheme.
func (s *Server) URL() string { return s.http.URL }

// Handler answers as the server does, for a proxy that has its own connections.
func (s *Server) Handler() http.Handler { return http.HandlerFunc(s.serve) }

// TLS returns the server, to read its certificate.
func (s *Server) TLS() *httptest.Server { return s.http }

// Intercept makes f see each request first. f returns true if it has answered. It is called from
// many goroutines at once.
func (s *Server) Intercept(f func(http.ResponseWriter, *http.Request) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.intercept = f
}

// Requests returns the requests that were answered, oldest first.
func (s *Server) Requests() []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Request(nil), s.requests...)
}

// Forget clears the list of requests.
func (s *Server) Forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests = nil
}

// Count returns the number of requests with a method and a path that contains part.
func (s *Server) Count(method, part string) int {
	n := 0
	for _, r := range s.Requests() {
		if r.Method == method && strings.Contains(r.Path, part) {
			n++
		}
	}
	return n
}

// Drop closes the connection of a request without an answer.
func Drop(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	_ = conn.Close() // the client notices
}

type recorder struct {
	http.ResponseWriter
	status int
}

func (r *recorder) WriteHeader(status int) {
	r.status = status
	r.ResponseWriter.WriteHeader(status)
}

func (r *recorder) Write(b []byte) (int, error) {
	if r.status == 0 {
		r.status = http.StatusOK
	}
	return r.ResponseWriter.Write(b)
}

func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	seen := Request{Method: r.Method, Path: r.URL.Path, Query: r.URL.RawQuery, Authorization: r.Header.Get("Authorization"), Begin: time.Now()}
	rec := &recorder{ResponseWriter: w}
	defer func() {
		seen.Status, seen.End = rec.status, time.Now()
		s.mu.Lock()
		s.requests = append(s.requests, seen)
		s.mu.Unlock()
	}()
	s.mu.Lock()
	intercept := s.intercept
	s.mu.Unlock()
	if intercept != nil && intercept(rec, r) {
		return
	}
	s.Serve(rec, r)
}

// Serve answers a request properly, for handlers given to Intercept. It does not record it.
func (s *Server) Serve(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/token" {
		s.token(w, r)
		return
	}
	if s.admitted(w, r) {
		s.api(w, r)
	}
}

// token serves the token service.
func (s *Server) token(w http.ResponseWriter, r *http.Request) {
	username, password, _ := r.BasicAuth()
	if username != s.options.Username || password != s.options.Password {
		refuse(w, http.StatusUnauthorized, "UNAUTHORIZED", "incorrect username or password")
		return
	}
	_, _ = w.Write([]byte(`{"token":"` + s.bearer() + `"}`))
}

func (s *Server) bearer() string { return "token-of-" + s.options.Username }

// admitted checks the login.
func (s *Server) admitted(w http.ResponseWriter, r *http.Request) bool {
	o := s.options
	username, password, _ := r.BasicAuth()
	switch {
	case o.Admit != nil && o.Admit(username, password):
		return true
	case o.Admit == nil && o.Username == "" && !o.Token:
		return true
	case o.Token && r.Header.Get("Authorization") == "Bearer "+s.bearer():
		return true
	case o.Admit == nil && !o.Token && username == o.Username && password == o.Password:
		return true
	}
	if o.Token {
		w.Header().Set("WWW-Authenticate", `Bearer realm="`+s.URL()+`/token",service="fake"`)
	} else {
		w.Header().Set("WWW-Authenticate", `Basic realm="fake"`)
	}
	refuse(w, http.StatusUnauthorized, "UNAUTHORIZED", "authentication required")
	return false
}

// refuse answers with an error in the form of the distribution specification.
func refuse(w http.ResponseWriter, status int, code, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	fmt.Fprintf(w, `{"errors":[{"code":%q,"message":%q}]}`, code, message)
}

// repo returns a repository, and creates it if create is set and Fixed allows it.
func (s *Server) repo(name string, create bool) *repo {
	p := s.repos[name]
	if p == nil && create {
		p = &repo{blobs: map[string]bool{}, manifests: map[string]manifest{}, tags: map[string]string{}}
		s.repos[name] = p
	}
	return p
}

// AddRepository creates a repository, for registries where a push does not.
func (s *Server) AddRepository(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.repo(name, true)
}

// Refused returns an address of this machine on which nothing listens.
func Refused() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	addr := l.Addr().String()
	return addr, errors.Join(l.Close())
}
