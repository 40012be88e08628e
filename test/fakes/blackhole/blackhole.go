// Package blackhole provides ports on loopback whose server can disappear and return. While a port
// swallows, the kernel drops every SYN sent to it, as if the machine had lost power, and a client
// that dials waits.
//
// The kernel drops a SYN when the queue of connections waiting to be accepted is full. So the port
// stays open: to swallow, it makes that queue as short as possible and fills it.
package blackhole

import (
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Port is a listener on a free port of 127.0.0.1. It is open at first.
type Port struct {
	*net.TCPListener

	mu         sync.Mutex
	changed    *sync.Cond
	swallowing bool
	closed     bool
	accepting  int
	conns      map[net.Conn]struct{} // accepted and not closed
	fillers    []net.Conn            // ours, in the queue that nobody accepts
}

const (
	// patience is how long a dial on loopback may take before it counts as swallowed. The first SYN
	// is sent again after a second.
	patience = 250 * time.Millisecond
	// proofs is how many dials in a row must be swallowed; tries is how many are made at most. A
	// queue of length 0 takes one or two.
	proofs, tries = 2, 32
	// queue is the length of the queue of an open port.
	queue = 128
)

// Listen opens a port. The caller must call Close.
func Listen() (*Port, error) {
	l, err := net.ListenTCP("tcp4", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return nil, err
	}
	p := &Port{TCPListener: l, conns: map[net.Conn]struct{}{}}
	p.changed = sync.NewCond(&p.mu)
	return p, nil
}

// Accept returns the next connection. While the port swallows, it waits.
func (p *Port) Accept() (net.Conn, error) {
	for {
		p.mu.Lock()
		for p.swallowing && !p.closed {
			p.changed.Wait()
		}
		p.accepting++
		p.mu.Unlock()

		c, err := p.TCPListener.Accept()

		p.mu.Lock()
		p.accepting--
		p.changed.Broadcast()
		swallowing := p.swallowing
		if err == nil && !swallowing {
			p.conns[c] = struct{}{}
		}
		p.mu.Unlock()
		switch {
		case err == nil && swallowing:
			c.Close() // accepted while Swallow was closing the port
		case err == nil:
			return &conn{Conn: c, port: p}, nil
		case !errors.Is(err, os.ErrDeadlineExceeded):
			return nil, err
		}
	}
}

// Swallow cuts every connection and drops every SYN from now on. It returns after two dials in a
// row were swallowed. died is the time at which the server became unreachable, shortly before.
func (p *Port) Swallow() (died time.Time, err error) {
	if err := p.stop(); err != nil {
		return time.Time{}, err
	}
	died = time.Now()
	if err := p.listen(0); err != nil {
		return died, err
	}
	swallowed := 0
	for range tries {
		c, err := net.DialTimeout("tcp4", p.Addr().String(), patience)
		var timeout net.Error
		switch {
		case err == nil:
			swallowed = 0
			p.mu.Lock()
			p.fillers = append(p.fillers, c)
			p.mu.Unlock()
		case errors.As(err, &timeout) && timeout.Timeout():
			if swallowed++; swallowed == proofs {
				return died, nil
			}
		default:
			return died, fmt.Errorf("fill the queue of %s: %w", p.Addr(), err)
		}
	}
	return died, fmt.Errorf("%s: still accepts connections after %d in its queue", p.Addr(), tries)
}

// stop ends accepting and closes all connections.
func (p *Port) stop() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.swallowing || p.closed {
		return fmt.Errorf("%s is not open", p.Addr())
	}
	p.swallowing = true
	if err := p.SetDeadline(time.Now()); err != nil {
		return err
	}
	for p.accepting > 0 {
		p.changed.Wait()
	}
	for c := range p.conns {
		c.Close()
	}
	clear(p.conns)
	return nil
}

// Open undoes Swallow.
func (p *Port) Open() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.swallowing || p.closed {
		return fmt.Errorf("%s does not swallow", p.Addr())
	}
	p.drain()
	if err := p.listen(queue); err != nil {
		return err
	}
	if err := p.SetDeadline(time.Time{}); err != nil {
		return err
	}
	p.swallowing = false
	p.changed.Broadcast()
	return nil
}

// drain removes our own connections from the queue. The server reads their end when it accepts
// again. The caller holds the lock.
func (p *Port) drain() {
	for _, c := range p.fillers {
		c.Close()
	}
	p.fillers = nil
}

// listen sets the length of the queue; Linux takes a second listen(2) for that.
func (p *Port) listen(backlog int) error {
	raw, err := p.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	if err := raw.Control(func(fd uintptr) { failed = unix.Listen(int(fd), backlog) }); err != nil {
		return err
	}
	return failed
}

// URL is the address with a scheme.
func (p *Port) URL(scheme string) string { return scheme + "://" + p.Addr().String() }

// Close closes the port. A second call does nothing, because a server closes its listener too.
func (p *Port) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil
	}
	p.closed = true
	p.drain()
	p.changed.Broadcast()
	return p.TCPListener.Close()
}

// conn is a connection that its port can cut.
type conn struct {
	net.Conn
	port *Port
}

func (c *conn) Close() error {
	c.port.mu.Lock()
	delete(c.port.conns, c.Conn)
	c.port.mu.Unlock()
	return c.Conn.Close()
}
