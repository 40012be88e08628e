package agent

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// flood opens connections and sends the beginning of a request on each. They stay open until
// the test ends.
type flood struct {
	t    *testing.T
	addr string
	open []net.Conn
}

func (f *flood) add(n int, begin string) {
	f.t.Helper()
	for range n {
		conn, err := net.Dial("tcp", f.addr)
		if err != nil {
			f.t.Fatal(err)
		}
		f.open = append(f.open, conn)
		if _, err := io.WriteString(conn, begin); err != nil && !closedByPeer(err) {
			f.t.Fatal(err)
		}
	}
}

// closedByPeer reports an error of writing to a connection that the agent has closed.
func closedByPeer(err error) bool {
	op := (*net.OpError)(nil)
	return errors.As(err, &op) && !op.Timeout()
}

func (f *flood) end() {
	for _, conn := range f.open {
		conn.Close()
	}
	f.open = nil
}

// answers sends a request on its own connection and checks the answer.
func answers(t *testing.T, addr, path string) {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: x\r\n\r\n", path); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK || string(body) != "ok" {
		t.Fatalf("%s: %s %q %v", path, resp.Status, body, err)
	}
}

// The number of connections that send no whole request, or do not read their answer, is
// bounded, and a health check is answered among them.
func TestFlood(t *testing.T) {
	for name, begin := range map[string]string{
		"nothing is sent":        "",
		"half a header":          "GET /status HTTP/1.1\r\nHost: x\r\nX-A: ",
		"a header without end":   "GET / HTTP/1.1\r\nHost: x\r\n" + strings.Repeat("X-A: "+strings.Repeat("a", 100)+"\r\n", 50),
		"the answer is not read": "GET /status HTTP/1.1\r\nHost: x\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			n := newNode(t)
			n.start()
			addr := strings.TrimPrefix(n.page(), "http://")
			n.converged()
			before := runtime.NumGoroutine()
			f := &flood{t: t, addr: addr}
			defer f.end()
			for range 8 {
				f.add(100, begin)
				answers(t, addr, "/livez")
				answers(t, addr, "/readyz")
			}
			// One goroutine for each connection, one more while a request is answered.
			n.eventually("few goroutines", func() bool { return runtime.NumGoroutine() <= before+2*maxConnections+2 })
			f.end()
			n.eventually("none is left", func() bool { return runtime.NumGoroutine() <= before+2 })
		})
	}
}

// Which connection is closed for a new one depends on how far each has come.
func TestVictim(t *testing.T) {
	for _, c := range []struct {
		open []stage
		want int // -1: none yet
	}{
		{nil, -1},
		{[]stage{arrived, arrived}, -1},
		{[]stage{arrived, waiting, waiting}, 1},
		{[]stage{requested, waiting, waiting, arrived}, -1}, // the last one may become the third that waits
		{[]stage{waiting, requested, requested, requested}, 1},
		{[]stage{waiting, waiting, requested, requested}, 2},
		{[]stage{requested, waiting, waiting, waiting}, 1},
		{[]stage{requested, requested}, 0},
		{[]stage{requested, arrived}, -1},
	} {
		l := newBoundedListener(nil, len(c.open))
		for _, s := range c.open {
			l.open = append(l.open, &boundedConn{stage: s})
		}
		if got := slices.Index(l.open, l.victim()); got != c.want {
			t.Errorf("%v: %d, want %d", c.open, got, c.want)
		}
	}
}

// Data that was sent before the server accepted is read, even when the limit is reached.
func TestArrivedIsRead(t *testing.T) {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := newBoundedListener(inner, 1)
	defer l.Close()
	f := &flood{t: t, addr: inner.Addr().String()}
	defer f.end()
	f.add(2, "x")
	first, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	second := make(chan net.Conn)
	go func() {
		conn, _ := l.Accept()
		second <- conn
	}()
	b := make([]byte, 10)
	if n, err := first.Read(b); n != 1 || err != nil {
		t.Fatalf("%d, %v", n, err)
	}
	connState(first, http.StateActive)
	(<-second).Close()
	if _, err := first.Read(b); !errors.Is(err, net.ErrClosed) {
		t.Errorf("the first connection made no room: %v", err)
	}
}
