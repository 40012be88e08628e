package upstream

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"sync"

	"github.com/berth-registry/berth/test/pki"
)

// Decoy is a server on loopback that records what it is asked.
type Decoy struct {
	recorder
	addr string

	mu     sync.Mutex
	answer http.Handler

	server *http.Server
	done   chan struct{}
}

// Listen starts a decoy on a free port of ip ("127.0.0.1", "::1") that gives
// answer to every request. With pair it speaks TLS. Close it.
func Listen(ip string, pair *pki.Pair, answer http.Handler) (*Decoy, error) {
	l, err := net.Listen("tcp", net.JoinHostPort(ip, "0"))
	if err != nil {
		return nil, err
	}
	d := &Decoy{addr: l.Addr().String(), answer: answer, done: make(chan struct{})}
	d.server = &http.Server{Handler: d, ErrorLog: log.New(io.Discard, "", 0)}
	if pair != nil {
		cert, err := pair.TLS()
		if err != nil {
			l.Close()
			return nil, err
		}
		d.server.TLSConfig = &tls.Config{Certificates: []tls.Certificate{cert}}
	}
	go func() {
		defer close(d.done)
		if pair != nil {
			_ = d.server.ServeTLS(l, "", "")
		} else {
			_ = d.server.Serve(l)
		}
	}()
	return d, nil
}

// Addr is host:port where the decoy listens.
func (d *Decoy) Addr() string { return d.addr }

// Requests returns what has arrived so far, oldest first. A request is recorded
// before it is answered, so after a pull has returned the list is complete.
func (d *Decoy) Requests() []Request { return d.all() }

// Answer changes what the decoy says from now on.
func (d *Decoy) Answer(h http.Handler) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.answer = h
}

// ServeHTTP records and answers.
func (d *Decoy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	d.add(r)
	d.mu.Lock()
	answer := d.answer
	d.mu.Unlock()
	answer.ServeHTTP(w, r)
}

// Close stops the decoy and drops its connections.
func (d *Decoy) Close() error {
	err := d.server.Close()
	<-d.done
	if errors.Is(err, context.Canceled) || errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}
