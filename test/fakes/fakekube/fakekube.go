// Package fakekube is a stand-in for the API server of Kubernetes: nodes and pods over HTTPS, with
// lists in pages, watches, merge patches with a resource version, and faults.
//
// Connections are in memory, so that it works in a bubble of testing/synctest, or over a socket, for a
// process. Start reading at [Start]. It checks no right and no schema: test/cluster has a real API
// server.
package fakekube

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"encoding/pem"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Object is an object in the form of its JSON.
type Object = map[string]any

// Fault is what goes wrong with a request.
type Fault int

// The faults.
const (
	None      Fault = iota
	Dropped         // the connection is closed before the request is looked at
	Lost            // it is done, and the connection is closed before the answer
	TooMany         // 429, with Retry-After: 1
	Broken          // 500
	Conflict        // 409
	Gone            // 410
	Expired         // of a watch that began, an event ERROR with the code 410
	Slow            // the answer comes after 5 seconds
	Cut             // a watch ends after the next event, in the middle of a line
	numFaults       // how many there are
)

// Faults is how many faults there are: a random one is below it.
const Faults = int(numFaults)

// Server is a running API server.
type Server struct {
	dir  string
	http *httptest.Server
	pipe *listener // nil if it is on a port

	mu      sync.Mutex
	tokens  []string // valid ones
	version int
	objects map[string]Object // by path below /api/v1, such as nodes/a
	events  []event
	oldest  int           // a watch must begin at this version or later
	grown   chan struct{} // closed and replaced with each event
	fault   func(r *http.Request) Fault
	patched func(before, after Object)
	counts  map[string]int // requests by method and kind
}

type event struct {
	version int
	kind    string // ADDED, MODIFIED, DELETED
	path    string
	object  Object
}

// Start starts a server that Dial reaches and writes the files of a service account to dir.
func Start(dir string) (*Server, error) {
	s := newServer(dir)
	s.pipe = &listener{conns: make(chan net.Conn), closed: make(chan struct{})}
	_ = s.http.Listener.Close()
	s.http.Listener = s.pipe
	return s, s.start()
}

// Listen is [Start] for a server on a port of 127.0.0.1.
func Listen(dir string) (*Server, error) {
	s := newServer(dir)
	return s, s.start()
}

func newServer(dir string) *Server {
	s := &Server{
		dir: dir, objects: map[string]Object{}, version: 1, grown: make(chan struct{}), counts: map[string]int{},
		fault: func(*http.Request) Fault { return None }, patched: func(Object, Object) {},
	}
	s.http = httptest.NewUnstartedServer(http.HandlerFunc(s.serve))
	return s
}

func (s *Server) start() error {
	s.http.EnableHTTP2 = true
	s.http.StartTLS()
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.http.Certificate().Raw})
	for name, content := range map[string][]byte{"ca.crt": ca, "namespace": []byte(namespace)} {
		if err := os.WriteFile(filepath.Join(s.dir, name), content, 0o600); err != nil {
			return err
		}
	}
	return s.Rotate()
}

// Close ends the server.
func (s *Server) Close() {
	s.http.CloseClientConnections()
	s.http.Close()
}

// Address is the server's address, 127.0.0.1:PORT; the certificate is for it.
func (s *Server) Address() string { return s.http.Listener.Addr().String() }

// Dial opens a connection to the server.
func (s *Server) Dial(ctx context.Context, _, _ string) (net.Conn, error) {
	ours, theirs := net.Pipe()
	select {
	case s.pipe.conns <- theirs:
		return ours, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-s.pipe.closed:
		return nil, net.ErrClosed
	}
}

// Disconnect closes all connections.
func (s *Server) Disconnect() { s.http.CloseClientConnections() }

// Rotate writes another token and refuses the one before the last.
func (s *Server) Rotate() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tokens = append(s.tokens[max(0, len(s.tokens)-1):], "token-"+rand.Text())
	return os.WriteFile(filepath.Join(s.dir, "token"), []byte(s.tokens[len(s.tokens)-1]), 0o600)
}

// Tokens returns the valid tokens.
func (s *Server) Tokens() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.tokens)
}

// SetFaults makes fault decide what goes wrong with each request.
func (s *Server) SetFaults(fault func(r *http.Request) Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fault = fault
}

// OnPatch calls patched for each patch that is accepted, while nothing else can change.
func (s *Server) OnPatch(patched func(before, after Object)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.patched = patched
}

// Count returns how many requests with a method there were for a kind, nodes or pods; a watch has
// the method WATCH.
func (s *Server) Count(method, kind string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.counts[method+" "+kind]
}

// Change calls change with an object, nil if there is none, and keeps the result; nil removes it.
// path is nodes/NAME or namespaces/NAMESPACE/pods/NAME. A new object gets a uid and a
// creationTimestamp, unless it has one.
func (s *Server) Change(path string, change func(Object) Object) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.change(path, change)
}

func (s *Server) change(path string, change func(Object) Object) Object {
	old, existed := s.objects[path]
	object := change(clone(old))
	s.version++
	kind := "MODIFIED"
	switch {
	case object == nil && !existed:
		return nil
	case object == nil:
		kind, object = "DELETED", clone(old)
		delete(s.objects, path)
	case !existed:
		kind = "ADDED"
		meta := Metadata(object)
		meta["uid"] = rand.Text()
		if meta["creationTimestamp"] == nil {
			meta["creationTimestamp"] = time.Now().UTC().Format(time.RFC3339)
		}
	}
	Metadata(object)["name"] = path[strings.LastIndex(path, "/")+1:]
	Metadata(object)["resourceVersion"] = strconv.Itoa(s.version)
	if kind != "DELETED" {
		s.objects[path] = object
	}
	s.events = append(s.events, event{s.version, kind, path, clone(object)})
	close(s.grown)
	s.grown = make(chan struct{})
	return clone(object)
}

// Get returns a copy of an object, nil if there is none.
func (s *Server) Get(path string) Object {
	s.mu.Lock()
	defer s.mu.Unlock()
	return clone(s.objects[path])
}

// Compact forgets all events: a watch from before gets 410.
func (s *Server) Compact() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.events, s.oldest = nil, s.version
}

// Metadata returns the metadata of an object, which it makes if there is none.
func Metadata(o Object) Object {
	meta, ok := o["metadata"].(Object)
	if !ok {
		meta = Object{}
		o["metadata"] = meta
	}
	return meta
}

func clone(o Object) Object {
	if o == nil {
		return nil
	}
	raw, err := json.Marshal(o)
	if err != nil {
		panic(err)
	}
	var c Object
	if err := json.Unmarshal(raw, &c); err != nil {
		panic(err)
	}
	return c
}

// listener accepts connections in memory.
type listener struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func (l *listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *listener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

func (l *listener) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 443} }
