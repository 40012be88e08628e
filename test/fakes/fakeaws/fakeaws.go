// Package fakeaws is a small AWS for tests: the instance metadata service
// (version 2), ECR, ECR Public and STS, over HTTP on loopback.
//
// It is strict where the real one is: a request must carry a Signature
// Version 4 that verifies, from a key that it knows, at a time that is close to
// its own. It remembers every call, so that a test can count them by key, and
// it misbehaves on demand (see [Fault]).
//
// Start with [Start]; [Server.Env] gives the environment that points a program
// at it, the metadata service included, so that no test can reach a real one.
package fakeaws

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"
)

// A Point is one thing that the server can be asked for.
type Point string

// The points. MetadataV1 is a request to the metadata service without a
// session token: it is always refused, and nobody should send one.
const (
	MetadataToken       Point = "metadata token"
	MetadataRole        Point = "metadata role"
	MetadataCredentials Point = "metadata credentials"
	MetadataDocument    Point = "metadata document"
	MetadataV1          Point = "metadata v1"
	ECR                 Point = "ecr"
	ECRPublic           Point = "ecr-public"
	STS                 Point = "sts"
	Unknown             Point = "unknown"
)

// Key is a pair of AWS keys that the server accepts.
type Key struct {
	ID, Secret string
	// Session is the session token that has to come with it, "" for keys of a
	// user.
	Session string
	// Expires is when it ends; zero means never.
	Expires time.Time
}

// Call is one request as the server saw it.
type Call struct {
	Point  Point
	KeyID  string // of the signature, "" for the metadata service
	Region string // of the signature
	Status int    // what was answered; 0 when the connection was dropped
	At     time.Time
}

// Issued is a registry token that the server gave out.
type Issued struct {
	Service Point // ECR or ECRPublic
	KeyID   string
	Region  string
	Expires time.Time
}

// Server is a running fake.
type Server struct {
	meta, api *endpoint

	mu       sync.Mutex
	now      func() time.Time
	life     time.Duration
	password func(service Point, region string) string // nil: a random one
	keys     map[string]Key
	role     string
	roleKey  Key
	notEC2   bool
	sessions map[string]bool
	issued   map[string]Issued
	calls    []Call
	faults   []*Fault
	latency  map[Point]time.Duration
	assumed  map[string]string // role ARN → key id last handed out
	repos    repositories
}

// endpoint is one listener and its server.
type endpoint struct {
	addr string
	http *http.Server
	done chan struct{}
}

// Start runs a server with no keys and no role. [Server.Close] ends it.
func Start() (*Server, error) {
	s := &Server{
		now:      time.Now,
		life:     12 * time.Hour,
		keys:     map[string]Key{},
		sessions: map[string]bool{},
		issued:   map[string]Issued{},
		latency:  map[Point]time.Duration{},
		assumed:  map[string]string{},
	}
	var err error
	if s.meta, err = serve(s.serveMetadata); err != nil {
		return nil, err
	}
	if s.api, err = serve(s.serveAPI); err != nil {
		return nil, errors.Join(err, s.meta.close())
	}
	return s, nil
}

func serve(h http.HandlerFunc) (*endpoint, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen for the fake AWS: %w", err)
	}
	e := &endpoint{addr: l.Addr().String(), http: &http.Server{Handler: h}, done: make(chan struct{})}
	go func() {
		defer close(e.done)
		// Serve always returns an error, and after Close it says nothing.
		_ = e.http.Serve(l)
	}()
	return e, nil
}

func (e *endpoint) close() error {
	err := e.http.Close()
	<-e.done
	return err
}

// Close ends the server and drops its connections.
func (s *Server) Close() error { return errors.Join(s.meta.close(), s.api.close()) }

// MetadataURL is the base of the metadata service, without a slash at the end.
func (s *Server) MetadataURL() string { return "http://" + s.meta.addr }

// APIURL is the base of ECR, ECR Public and STS.
func (s *Server) APIURL() string { return "http://" + s.api.addr }

// Env is the environment that sends a program here, in the form of os/exec.
// The AWS keys of the surrounding environment are emptied.
func (s *Server) Env() []string {
	return []string{
		"AWS_EC2_METADATA_SERVICE_ENDPOINT=" + s.MetadataURL(),
		"AWS_ENDPOINT_URL_ECR=" + s.APIURL(),
		"AWS_ENDPOINT_URL_ECR_PUBLIC=" + s.APIURL(),
		"AWS_ENDPOINT_URL_STS=" + s.APIURL(),
		"AWS_ACCESS_KEY_ID=", "AWS_SECRET_ACCESS_KEY=", "AWS_SESSION_TOKEN=",
		"AWS_SHARED_CREDENTIALS_FILE=", "AWS_PROFILE=",
	}
}

// AddKey makes the server accept key.
func (s *Server) AddKey(key Key) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keys[key.ID] = key
}

// SetRole gives the instance a role, and key to whoever asks the metadata
// service. An empty name takes the role away.
func (s *Server) SetRole(name string, key Key) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.role, s.roleKey = name, key
	if name != "" {
		s.keys[key.ID] = key
	}
}

// SetNotEC2 makes the metadata service one of another cloud: it gives session
// tokens, but has no identity document and no roles.
func (s *Server) SetNotEC2(b bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.notEC2 = b
}

// SetTokenLife says how long registry tokens live from now on. It may be
// negative.
func (s *Server) SetTokenLife(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.life = d
}

// SetPassword has f give the password of each registry token from now on, where a
// test wants to know it beforehand.
func (s *Server) SetPassword(f func(service Point, region string) string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.password = f
}

// SetClock replaces the server's clock: a signature must be within five
// minutes of it, and the Date header tells it.
func (s *Server) SetClock(now func() time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now = now
}

// SetLatency makes each answer of a point take this long.
func (s *Server) SetLatency(p Point, d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.latency[p] = d
}

// Calls lists what was asked, oldest first.
func (s *Server) Calls() []Call {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Call(nil), s.calls...)
}

// Count counts the calls of a point, and of one key unless keyID is "".
func (s *Server) Count(p Point, keyID string) int {
	n := 0
	for _, c := range s.Calls() {
		if c.Point == p && (keyID == "" || c.KeyID == keyID) {
			n++
		}
	}
	return n
}

// ForgetCalls sets every counter to zero.
func (s *Server) ForgetCalls() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls = nil
}

// Token says what a password (the part behind "AWS:") was issued for. A fake
// registry accepts these and nothing else.
func (s *Server) Token(password string) (Issued, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i, ok := s.issued[password]
	return i, ok
}

func (s *Server) clock() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now()
}

func (s *Server) record(c Call) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c.At = s.now()
	s.calls = append(s.calls, c)
}

func random(n int) string {
	b := make([]byte, n)
	// crypto/rand.Read never returns an error.
	_, _ = rand.Read(b)
	return hex.EncodeToString(b)
}
