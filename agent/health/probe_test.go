package health

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/berth-registry/berth/config"
	"github.com/berth-registry/berth/internal/redact"
)

// A probe sends no credentials, follows no redirect, reads little of a long body and uses a
// connection of its own.
func TestProbeCarriesNoCredentials(t *testing.T) {
	var elsewhere, written, connections atomic.Int64
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { elsewhere.Add(1) }))
	defer other.Close()
	var seen http.Header
	var path string
	var mu sync.Mutex
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		seen, path = r.Header.Clone(), r.Method+" "+r.RequestURI
		mu.Unlock()
		w.Header().Set("Location", other.URL)
		w.WriteHeader(http.StatusFound)
		chunk := make([]byte, 32<<10)
		for range 320 {
			n, err := w.Write(chunk)
			written.Add(int64(n))
			if err != nil {
				return
			}
		}
	}))
	server.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			connections.Add(1)
		}
	}
	server.Start()
	e := endpoint(t, server.URL+"/v2/team")
	e.Authorization = redact.New("Basic c2VjcmV0")
	e.Header = map[string][]string{"X-Key": {"secret"}}
	p := New(Options{Getenv: noEnvironment})
	s := longTimeout()
	s.Interval = 20 * time.Millisecond
	p.Set(s, []Endpoint{e})
	stop := run(t, p)
	eventually(t, "five probes", func() bool { return p.Status()[0].Probes >= 5 })
	stop()
	server.Close()

	st := p.Status()[0]
	if !st.Up || st.HTTPStatus != http.StatusFound || st.LastError != "" {
		t.Errorf("%+v", st)
	}
	if n := elsewhere.Load(); n != 0 {
		t.Errorf("%d redirects followed", n)
	}
	if path != "GET /v2/" {
		t.Errorf("asked %s", path)
	}
	if ua := seen.Get("User-Agent"); !strings.Contains(ua, "berth") {
		t.Errorf("User-Agent %q", ua)
	}
	if seen.Get("Authorization") != "" || seen.Get("X-Key") != "" {
		t.Errorf("a probe carries credentials: %v", seen)
	}
	if c := connections.Load(); c < int64(st.Probes) {
		t.Errorf("%d connections for %d probes", c, st.Probes)
	}
	// Kernel buffers take a part of it.
	if per := written.Load() / int64(st.Probes); per >= 10<<20 {
		t.Errorf("%d bytes of a body of 10 MiB were taken", per)
	}
}

// A registry without a listener is down, even if it still serves open connections.
func TestListenerGone(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}), ErrorLog: discard}
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	keep := &http.Client{Transport: &http.Transport{}}
	get := func() error {
		resp, err := keep.Get("http://" + l.Addr().String())
		if err == nil {
			_, _ = io.Copy(io.Discard, resp.Body)
			_ = resp.Body.Close()
		}
		return err
	}
	defer keep.CloseIdleConnections()
	if err := get(); err != nil {
		t.Fatal(err)
	}
	p := New(Options{Getenv: noEnvironment})
	e := endpoint(t, "http://"+l.Addr().String())
	s := longTimeout()
	s.Interval = 10 * time.Millisecond
	p.Set(s, []Endpoint{e})
	stop := run(t, p)
	eventually(t, "it is up", func() bool { up, known := p.Alive(e.URL); return up && known })
	_ = l.Close()
	<-served
	eventually(t, "it is down", func() bool { up, _ := p.Alive(e.URL); return !up })
	if err := get(); err != nil {
		t.Errorf("the control does not work: a kept connection fails too: %v", err)
	}
	stop()
	_ = server.Close()
	if st := p.Status()[0]; st.Reason != Dial {
		t.Errorf("%+v", st)
	}
}

// A probe that is given up closes its connection.
func TestTimedOutProbeClosesConnection(t *testing.T) {
	ended := make(chan struct{}, 1)
	address := rawServer(t, func(_ context.Context, c net.Conn) {
		_, _ = io.Copy(io.Discard, c)
		ended <- struct{}{}
	})
	if r := timeoutAt(t, Options{}, inHandshake, endpoint(t, "https://"+address)); r.reason != Timeout {
		t.Fatalf("%+v", r)
	}
	select {
	case <-ended:
	case <-time.After(30 * time.Second):
		t.Error("the connection is still open")
	}
}

func TestModeOffSendsNothing(t *testing.T) {
	var requests atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { requests.Add(1) }))
	defer server.Close()
	e := endpoint(t, server.URL)
	e.Learn, e.Authorization = true, redact.New("Basic x")
	p := New(Options{Getenv: noEnvironment})
	s := longTimeout()
	s.Interval = 10 * time.Millisecond
	s.Mode = config.HealthOff
	p.Set(s, []Endpoint{e})
	stop := run(t, p)
	time.Sleep(100 * time.Millisecond)
	if up, known := p.Alive(e.URL); !up || known {
		t.Errorf("alive %v, known %v", up, known)
	}
	if n := requests.Load(); n != 0 {
		t.Errorf("%d requests", n)
	}
	s.Mode = config.HealthReport
	p.Set(s, []Endpoint{e})
	eventually(t, "the control is asked", func() bool { return requests.Load() > 0 })
	stop()
}

// Hundreds of probes of hosts that fail in every way leave no goroutine and no socket behind.
func TestNoLeakOverSockets(t *testing.T) {
	ca := newAuthority(t)
	secure := serve(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}), issued(t)(ca.Server("127.0.0.1")), nil)
	endless := func(ctx context.Context, c net.Conn) { _, _ = io.Copy(io.Discard, c) }
	all := endpoints(t, "http://"+closedPort(t), "http://"+blackHole(t), "http://"+rawServer(t, endless), "https://"+rawServer(t, endless),
		"http://"+rawServer(t, says("")), secure.URL)
	good := endpoint(t, secure.URL)
	good.TLS.CA = ca.PEM()
	p := New(Options{Getenv: noEnvironment})
	s := longTimeout()
	s.Interval, s.Timeout = 10*time.Millisecond, 5*time.Millisecond
	p.Set(s, append(all, good))
	stop := run(t, p)
	probes := func() (n uint64) {
		for _, st := range p.Status() {
			n += st.Probes
		}
		return n
	}
	measure := func() (goroutines, files int) {
		dir, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return runtime.NumGoroutine(), len(dir)
	}
	eventually(t, "the first probes", func() bool { return probes() > 100 })
	goroutines, files := measure()
	eventually(t, "500 more", func() bool { return probes() > 600 })
	// Some probes are always in flight.
	eventually(t, "as few goroutines and files as before", func() bool {
		g, f := measure()
		return g <= goroutines+10 && f <= files+5
	})
	stop()
}
