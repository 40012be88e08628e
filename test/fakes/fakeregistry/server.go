// Package fakeregistry is a registry for tests, over HTTP on loopback, that is
// as strict as the real ones are: blobs belong to a repository and are mounted
// from another one, a manifest is refused while something that it names is
// missing, lists come in pages, and a login may be needed. It keeps everything
// in memory, writes down every request, and misbehaves on demand.
//
// Start with [Start]; [Server.Requests] is what was asked.
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

// Options say what kind of registry it is. The zero value takes everything from
// everybody and has no referrers API.
type Options struct {
	Referrers bool // has the referrers API
	NoMount   bool // mounts nothing: uploads begin instead
	// Fixed repositories are all that there are, as with ECR; nil: a push makes
	// its repository.
	Fixed []string
	// Username and Password are needed for everything, as Basic; with Token
	// they get a Bearer token from the service at /token.
	Username, Password string
	Token              bool
	// Admit decides instead of Username and Password, for Basic.
	Admit func(username, password string) bool
	// Page is how many tags or referrers a page has; 0: all of them.
	Page int
	// TLS makes it speak https, with a certificate that [Server.TLS] knows.
	TLS bool
	// Root is the path below which the API lies; "" is /v2.
	Root string
}

// Request is one request as the server saw it.
type Request struct {
	Method, Path, Query string
	Authorization       string
	Status              int // that was answered; 0 when the connection was dropped
	// Begin and End are when it came, and when it was answered.
	Begin, End time.Time
}

// String is method, path with query, and status.
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

// Start runs a server. [Server.Close] ends it.
func Start(o Options) *Server { return StartTLS(o, nil) }

// StartTLS runs a server that speaks https in the way of c, with a certificate
// that [Server.TLS] knows unless c has one.
func StartTLS(o Options, c *tls.Config) *Server {
	if o.Root == "" {
		o.Root = "/v2"
	}
	s := &Server{options: o, blobs: map[string][]byte{}, repos: map[string]*repo{}}
	for _, name := range o.Fixed {
		s.repo(name, true)
	}
	s.http = httptest.NewUnstartedServer(http.HandlerFunc(s.serve))
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

// Close ends the server and drops its connections.
func (s *Server) Close() {
	s.http.CloseClientConnections()
	s.http.Close()
}

// Addr is host:port.
func (s *Server) Addr() string { return s.http.Listener.Addr().String() }

// URL is the address with its scheme.
func (s *Server) URL() string { return s.http.URL }

// Handler answers as the server does, for those who have a connection of their
// own: a proxy.
func (s *Server) Handler() http.Handler { return http.HandlerFunc(s.serve) }

// TLS gives the server, to read its certificate.
func (s *Server) TLS() *httptest.Server { return s.http }

// Intercept has f look at each request first; it reports whether it has
// answered. It runs on many goroutines at once.
func (s *Server) Intercept(f func(http.ResponseWriter, *http.Request) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.intercept = f
}

// Requests lists what was answered, oldest first.
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

// Count counts requests of a method whose path contains part.
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

// Serve answers a request properly, for those who intercept them. It is not
// written down.
func (s *Server) Serve(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/token" {
		s.token(w, r)
		return
	}
	if s.admitted(w, r) {
		s.api(w, r)
	}
}

// token answers at the token service.
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

// refuse answers with an error in the form of the specification.
func refuse(w http.ResponseWriter, status int, code, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	fmt.Fprintf(w, `{"errors":[{"code":%q,"message":%q}]}`, code, message)
}

// repo finds a repository, and makes it if it may.
func (s *Server) repo(name string, create bool) *repo {
	p := s.repos[name]
	if p == nil && create {
		p = &repo{blobs: map[string]bool{}, manifests: map[string]manifest{}, tags: map[string]string{}}
		s.repos[name] = p
	}
	return p
}

// AddRepository makes a repository, where a push does not.
func (s *Server) AddRepository(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.repo(name, true)
}

// Refused is an address of this machine where nobody listens.
func Refused() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	addr := l.Addr().String()
	return addr, errors.Join(l.Close())
}
