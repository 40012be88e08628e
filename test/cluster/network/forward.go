package network

import (
	"io"
	"net"
	"sync"
)

// Forward makes addresses of this machine, such as 127.0.0.1:5000, reachable at the same address in
// the namespace.
func (n *Namespace) Forward(addresses ...string) error {
	return n.inside(func() error {
		for _, address := range addresses {
			l, err := net.Listen("tcp", address)
			if err != nil {
				return err
			}
			if !n.keep(l) {
				return net.ErrClosed
			}
			n.tasks.Go(func() { n.serve(l, address) })
		}
		return nil
	})
}

// serve forwards each connection until the listener is closed.
func (n *Namespace) serve(l net.Listener, address string) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		n.tasks.Go(func() {
			defer n.drop(conn)
			if !n.keep(conn) {
				return
			}
			// The thread of this goroutine is in this machine's network.
			to, err := net.Dial("tcp", address)
			if err != nil {
				return // the client sees the end of its connection
			}
			defer n.drop(to)
			if n.keep(to) {
				join(conn, to)
			}
		})
	}
}

// join copies between two connections until both directions have ended.
func join(a, b net.Conn) {
	var both sync.WaitGroup
	for _, way := range [][2]net.Conn{{a, b}, {b, a}} {
		both.Go(func() {
			_, _ = io.Copy(way[0], way[1]) // an error ends this direction as well
			if half, ok := way[0].(*net.TCPConn); ok {
				_ = half.CloseWrite()
			}
		})
	}
	both.Wait()
}

// keep makes Close close c too; it returns false after Close, and c is closed.
func (n *Namespace) keep(c io.Closer) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		_ = c.Close()
		return false
	}
	n.open[c] = struct{}{}
	return true
}

func (n *Namespace) drop(c io.Closer) {
	_ = c.Close() // nothing writes to it any more
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.open, c)
}
