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

// Decoy is a server on loopback that records its requests.
type Decoy struct {
	recorder
	addr string

	mu     sync.Mutex
	answer http.Handler

	server *http.Server
	done   chan struct{}
}

// Listen starts a decoy on a free port of ip ("127.0.0.1", "::1") that serves answer. With pair it
// speaks TLS. The caller must call Close.
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

// Addr returns the host:port on which the decoy listens.
func (d *Decoy) Addr() string { return d.addr }

// Requests returns the requests so far, oldest first. A request is recorded before it is answered,
// so the list is complete after a pull has returned.
func (d *Decoy) Requests() []Request { return d.all() }

// Answer replaces the decoy's handler.
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
