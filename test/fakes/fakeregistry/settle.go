package fakeregistry

import (
	"context"
	"net"
	"net/http"
	"time"
)

// noteConnection is the server's hook for changed connections.
func (s *Server) noteConnection(c net.Conn, state http.ConnState) {
	s.mu.Lock()
	defer s.mu.Unlock()
	client := c.RemoteAddr().String()
	switch state {
	case http.StateNew:
		s.open[client] = true
		s.seen[client] = true
	case http.StateClosed, http.StateHijacked:
		delete(s.open, client)
	}
}

// Settle waits until the server has carried out all requests of clients that have closed their
// connections: a client that is interrupted does not wait for the answer, and the server may store
// what it was sent some time later.
func (s *Server) Settle(ctx context.Context) error {
	// Connections are accepted in their order: after this one, none of them waits any more.
	last, err := (&net.Dialer{}).DialContext(ctx, "tcp", s.Addr())
	if err != nil {
		return err
	}
	if err := last.Close(); err != nil {
		return err
	}
	for {
		s.mu.Lock()
		settled := s.seen[last.LocalAddr().String()] && len(s.open) == 0
		s.mu.Unlock()
		if settled {
			return nil
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(time.Millisecond):
		}
	}
}
