// Package fakeaws is a small AWS for tests: the instance metadata service (version 2), ECR, ECR
// Public and STS, over HTTP on loopback.
//
// It is as strict as AWS: a request needs a Signature Version 4 that verifies, of a known key, at a
// time close to the server's. It records every call, so that a test can count them by key, and it
// fails on demand (see [Fault]).
//
// Start with [Start]. [Server.Env] returns the environment that sends a program here, the metadata
// service included, so that no test reaches a real one.
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

// A Point is one kind of request.
type Point string

// The points. MetadataV1 is a request to the metadata service without a session token; it is always
// refused.
const (
	MetadataToken       Point = "metadata token"
	MetadataRole        Point = "metadata role"
	MetadataCredentials Point = "metadata credentials"
	MetadataDocument    Point = "metadata document"
	MetadataV1          Point = "metadata v1"
	ECR                 Point = "ecr"
	ECRPublic           Point = "ecr-public"
	STS                 Point = "sts" // AssumeRole
	WebIdentity         Point = "sts web identity"
	CallerIdentity      Point = "sts caller identity"
	Container           Point = "container credentials"
	Unknown             Point = "unknown"
)

// Key is a pair of AWS keys that the server accepts.
type Key struct {
	ID, Secret string
	// Session is the session token that a request must send with the key, "" for keys of a user.
	Session string
	// Expires is when the key ends; zero means never.
	Expires time.Time
	// ARN is whose key it is; "" is a user of the account 111122223333.
	ARN string
}

// Call is one request as the server saw it.
type Call struct {
	Point  Point
	KeyID  string // of the signature, "" for the metadata service
	Region string // of the signature
	Status int    // what was answered; 0 when the connection was dropped
	At     time.Time
}

// Issued is a registry token that the server issued.
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

	// verifyToken checks a web identity token for a role, nil for none.
	verifyToken  func(token, roleARN string) error
	containerKey Key
	container    string // the value of Authorization that the container endpoint wants
}

// endpoint is one listener and its server.
type endpoint struct {
	addr string
	http *http.Server
	done chan struct{}
}

// Start runs a server without keys and without a role. The caller must call [Server.Close].
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
		// Serve always returns an error; after Close it has no meaning.
		_ = e.http.Serve(l)
	}()
	return e, nil
}

func (e *endpoint) close() error {
	err := e.http.Close()
	<-e.done
	return err
}

// Close stops the server and drops its connections.
func (s *Server) Close() error { return errors.Join(s.meta.close(), s.api.close()) }

// MetadataURL returns the base of the metadata service, without a slash at the end.
func (s *Server) MetadataURL() string { return "http://" + s.meta.addr }

// ContainerURL returns the endpoint of container credentials.
func (s *Server) ContainerURL() string { return s.MetadataURL() + containerPath }

// APIURL returns the base of ECR, ECR Public and STS.
func (s *Server) APIURL() string { return "http://" + s.api.addr }

// Env returns the environment that sends a program here, in the form of os/exec. It empties the AWS
// keys of the surrounding environment.
func (s *Server) Env() []string {
	return []string{
		"AWS_EC2_METADATA_SERVICE_ENDPOINT=" + s.MetadataURL(),
		"AWS_ENDPOINT_URL_ECR=" + s.APIURL(),
		"AWS_ENDPOINT_URL_ECR_PUBLIC=" + s.APIURL(),
		"AWS_ENDPOINT_URL_STS=" + s.APIURL(),
		"AWS_ACCESS_KEY_ID=", "AWS_SECRET_ACCESS_KEY=", "AWS_SESSION_TOKEN=",
		"AWS_SHARED_CREDENTIALS_FILE=", "AWS_CONFIG_FILE=", "AWS_PROFILE=", "AWS_ROLE_ARN=",
		"AWS_WEB_IDENTITY_TOKEN_FILE=", "AWS_CONTAINER_CREDENTIALS_FULL_URI=", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI=",
	}
}

// AddKey makes the server accept key.
func (s *Server) AddKey(key Key) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keys[key.ID] = key
}

// SetRole gives the instance a role; the metadata service returns key for it. An empty name removes
// the role.
func (s *Server) SetRole(name string, key Key) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.role, s.roleKey = name, key
	if name != "" {
		s.keys[key.ID] = key
	}
}

// SetWebIdentity makes STS exchange the web identity tokens for which verify returns nil.
func (s *Server) SetWebIdentity(verify func(token, roleARN string) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.verifyToken = verify
}

// SetContainer makes the endpoint of [Server.ContainerURL] return key for requests with this value
// of Authorization, as EKS Pod Identity does.
func (s *Server) SetContainer(authorization string, key Key) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.container, s.containerKey = authorization, key
	s.keys[key.ID] = key
}

// SetNotEC2 makes the metadata service that of another cloud: it issues session tokens, but has no
// identity document and no roles.
func (s *Server) SetNotEC2(b bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.notEC2 = b
}

// SetTokenLife sets how long new registry tokens live. It may be negative.
func (s *Server) SetTokenLife(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.life = d
}

// SetPassword makes f choose the password of each new registry token, for tests that must know it
// in advance.
func (s *Server) SetPassword(f func(service Point, region string) string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.password = f
}

// SetClock replaces the server's clock. A signature must be within five minutes of it; the Date
// header has it.
func (s *Server) SetClock(now func() time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now = now
}

// SetLatency delays each answer of a point.
func (s *Server) SetLatency(p Point, d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.latency[p] = d
}

// Calls returns the calls so far, oldest first.
func (s *Server) Calls() []Call {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Call(nil), s.calls...)
}

// Count returns the number of calls of a point, and of one key unless keyID is "".
func (s *Server) Count(p Point, keyID string) int {
	n := 0
	for _, c := range s.Calls() {
		if c.Point == p && (keyID == "" || c.KeyID == keyID) {
			n++
		}
	}
	return n
}

// ForgetCalls resets every counter.
func (s *Server) ForgetCalls() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls = nil
}

// Token returns what a password (the part after "AWS:") was issued for. A fake registry accepts
// these passwords and no others.
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
