package agent

import (
	"bufio"
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/berth-registry/berth/node/reconcile"
)

// pipes is a listener whose connections are in memory, so that a test knows when the server has done
// all that it can.
type pipes struct {
	conns chan net.Conn
	done  chan struct{}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	close(p.done)
	return nil
}

func (*pipes) Addr() net.Addr { return &net.TCPAddr{} }

// pipeClient is a connection to the page.
type pipeClient struct{ net.Conn }

// connect makes a connection, sends something and reads nothing.
func (p *pipes) connect(send string) pipeClient {
	near, far := net.Pipe()
	p.conns <- far
	if send != "" {
		go func() { _, _ = io.WriteString(near, send) }() // it fails if the server closes the connection
	}
	synctest.Wait()
	return pipeClient{near}
}

// asks sends the request of a health check and checks the answer.
func (c pipeClient) asks(t *testing.T, path string) {
	t.Helper()
	defer c.Close()
	if _, err := io.WriteString(c, "GET "+path+" HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		t.Errorf("%s: %v", path, err)
		return
	}
	response, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Errorf("%s: %v", path, err)
		return
	}
	if response.StatusCode != http.StatusOK {
		t.Errorf("%s: %s", path, response.Status)
	}
}

// floods are requests of clients that do not read their answers.
var floods = map[string]string{
	"nothing":           "",
	"half a header":     "GET /status HTTP/1.1\r\nX",
	"a request":         "GET /status HTTP/1.1\r\nHost: x\r\n\r\n",
	"a large header":    "GET / HTTP/1.1\r\nX: " + strings.Repeat("x", 64<<10),
	"a body":            "GET /status HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\n",
	"a large body":      "GET /livez HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n",
	"something strange": "\r\n\r\n",
}

// serveInMemory runs the page in a bubble.
func serveInMemory(t *testing.T, then func(*pipes)) {
	m, err := reconcile.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		p := &pipes{conns: make(chan net.Conn), done: make(chan struct{})}
		a := New(m, Options{Log: slog.New(slog.DiscardHandler)})
		ctx, stop := context.WithCancel(t.Context())
		served := make(chan error)
		go func() { served <- a.serveOn(ctx, p) }()
		then(p)
		stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
}

// A health check whose request comes some time after its connection is answered, although other
// clients have used all connections before, and go on to connect: as many as may be without a whole
// header, or any number with one.
func TestHealthCheckInAFlood(t *testing.T) {
	for name, send := range floods {
		t.Run(name, func(t *testing.T) {
			serveInMemory(t, func(p *pipes) {
				for range 2 * maxConnections {
					defer p.connect(send).Close()
				}
				check := p.connect("")
				more := 4 * maxConnections
				if name == "nothing" || name == "half a header" {
					more = maxConnections / 2
				}
				for range more {
					defer p.connect(send).Close()
				}
				check.asks(t, "/livez")
				p.connect("").asks(t, "/livez") // the flood is over: at once
			})
		})
	}
}

// A connection that was closed to make room leaves no goroutine.
func TestFloodLeavesNoGoroutine(t *testing.T) {
	for name, send := range floods {
		t.Run(name, func(t *testing.T) {
			serveInMemory(t, func(p *pipes) {
				synctest.Wait()
				before := runtime.NumGoroutine()
				for range 8 * maxConnections {
					defer p.connect(send).Close()
				}
				// Two for each connection, and the client that sends.
				if n := runtime.NumGoroutine() - before; n > 3*maxConnections {
					t.Errorf("%d goroutines for %d connections", n, maxConnections)
				}
			})
		})
	}
}
