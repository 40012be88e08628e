package agent

import (
	"net"
	"net/http"
	"slices"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// maxConnections is how many clients of the status page are served at once. A connection costs
// about 20 KB.
const maxConnections = 64

// boundedListener bounds the number of open connections and still serves new ones. When the limit is
// reached, it closes one connection for each new one. Half of the connections are for clients that
// have not sent a whole header yet, so requests whose answers are not read cannot keep a health check
// of kubelet out before its header is there; the other half is for clients that are being answered.
// In the half that is full the oldest connection is closed, so a new client has the time until that
// many others have come after it.
type boundedListener struct {
	net.Listener
	max int

	mu      sync.Mutex
	changed *sync.Cond // signalled when a connection's stage or open changes
	open    []*boundedConn
}

// stage is how far a connection has come.
type stage int

const (
	arrived   stage = iota // accepted; its goroutine has not read yet
	waiting                // read from, without a whole header
	requested              // header complete; being answered
)

func newBoundedListener(l net.Listener, limit int) *boundedListener {
	b := &boundedListener{Listener: l, max: limit}
	b.changed = sync.NewCond(&b.mu)
	return b
}

// Accept implements [net.Listener].
func (l *boundedListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	c := &boundedConn{Conn: conn, l: l}
	l.mu.Lock()
	defer l.mu.Unlock()
	for len(l.open) >= l.max {
		if victim := l.victim(); victim != nil {
			l.forget(victim)
			victim.Conn.Close()
		} else {
			l.changed.Wait()
		}
	}
	l.open = append(l.open, c)
	return c, nil
}

// victim returns the connection to close for a new one: the oldest without a whole header if these are
// more than half of the limit, else the oldest with one. It is nil while the halves are not known,
// because the goroutine of some connection has not read yet.
func (l *boundedListener) victim() *boundedConn {
	var oldest [requested + 1]*boundedConn
	var n [requested + 1]int
	for _, c := range l.open {
		if n[c.stage]++; n[c.stage] == 1 {
			oldest[c.stage] = c
		}
	}
	switch {
	case n[waiting] > l.max/2:
		return oldest[waiting]
	case n[arrived] > 0:
		return nil
	default:
		return oldest[requested]
	}
}

// forget removes a connection from open. The caller holds mu.
func (l *boundedListener) forget(c *boundedConn) {
	if i := slices.Index(l.open, c); i >= 0 {
		l.open = slices.Delete(l.open, i, i+1)
		l.changed.Signal()
	}
}

// connState is the [http.Server.ConnState] of the server that accepts from l.
func connState(conn net.Conn, s http.ConnState) {
	if c, ok := conn.(*boundedConn); ok && s == http.StateActive { // the header is complete
		c.become(requested)
	}
}

// boundedConn is a connection of a [boundedListener].
type boundedConn struct {
	net.Conn
	l     *boundedListener
	stage stage // guarded by the listener's mu
	read  bool  // the first read was tried; used by the reading goroutine alone
}

func (c *boundedConn) become(s stage) {
	c.l.mu.Lock()
	defer c.l.mu.Unlock()
	if c.stage < s {
		c.stage = s
		c.l.changed.Signal()
	}
}

// Read implements [net.Conn]. A connection becomes waiting when its first read finds no data,
// or when a second read is needed.
func (c *boundedConn) Read(p []byte) (int, error) {
	if !c.read && len(p) > 0 {
		c.read = true
		if n := c.readNow(p); n > 0 {
			return n, nil
		}
	}
	c.become(waiting)
	return c.Conn.Read(p)
}

// readNow reads the data that has arrived, without waiting. It returns 0 for an error too; the
// next read gets that error.
func (c *boundedConn) readNow(p []byte) (n int) {
	sc, ok := c.Conn.(syscall.Conn)
	if !ok {
		return 0
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return 0
	}
	_ = raw.Read(func(fd uintptr) bool {
		n, _ = unix.Read(int(fd), p)
		return true
	})
	return n
}

// Close implements [net.Conn].
func (c *boundedConn) Close() error {
	c.l.mu.Lock()
	c.l.forget(c)
	c.l.mu.Unlock()
	return c.Conn.Close()
}

// CloseWrite ends the goroutine of the connection. [http.Server] calls it after an answer to a client
// that may still send, and would then sleep for half a second, also if the connection was closed to
// make room: with it, the number of goroutines would be without a bound.
func (*boundedConn) CloseWrite() error { panic(http.ErrAbortHandler) }
