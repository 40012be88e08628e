package upstream

import (
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"slices"
	"sync"

	"github.com/berth-registry/berth/test/pki"
)

// Proxy is an HTTP proxy that reaches decoys and the servers given to Forward, and nothing else.
type Proxy struct {
	ca     *pki.CA
	addr   string
	server *http.Server
	done   chan struct{}

	mu      sync.Mutex
	decoys  map[string]*Decoy // by host:port as the client names it
	routes  map[string]string // address behind each such host:port
	refused []string
	tunnels map[net.Conn]struct{}
	wg      sync.WaitGroup
}

// NewProxy starts a proxy on a free port of 127.0.0.1. The decoys behind it have certificates of
// ca, which the client must trust. The caller must call Close.
func NewProxy(ca *pki.CA) (*Proxy, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &Proxy{
		ca:      ca,
		addr:    l.Addr().String(),
		done:    make(chan struct{}),
		decoys:  map[string]*Decoy{},
		routes:  map[string]string{},
		tunnels: map[net.Conn]struct{}{},
	}
	p.server = &http.Server{Handler: p, ErrorLog: log.New(io.Discard, "", 0)}
	go func() {
		defer close(p.done)
		_ = p.server.Serve(l)
	}()
	return p, nil
}

// Env returns the environment that makes a program use the proxy.
func (p *Proxy) Env() []string {
	url := "http://" + p.addr
	return []string{
		"HTTP_PROXY=" + url, "HTTPS_PROXY=" + url, "NO_PROXY=127.0.0.1,::1,localhost",
		"http_proxy=" + url, "https_proxy=" + url, "no_proxy=127.0.0.1,::1,localhost",
	}
}

// Decoy puts a decoy with TLS behind host, a name or name:port (443 by default), that serves
// answer. It replaces and closes an earlier decoy of host.
func (p *Proxy) Decoy(host string, answer http.Handler) (*Decoy, error) {
	name, port, err := net.SplitHostPort(host)
	if err != nil {
		name, port = host, "443"
	}
	pair, err := p.ca.Server(name)
	if err != nil {
		return nil, err
	}
	d, err := Listen("127.0.0.1", &pair, answer)
	if err != nil {
		return nil, err
	}
	key := net.JoinHostPort(name, port)
	p.mu.Lock()
	old := p.decoys[key]
	p.decoys[key], p.routes[key] = d, d.Addr()
	p.mu.Unlock()
	if old != nil {
		return d, old.Close()
	}
	return d, nil
}

// Forward sends connections to host, name:port, to the server at addr on loopback, until
// [Proxy.Reset].
func (p *Proxy) Forward(host, addr string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.routes[host] = addr
}

// Reset removes all hosts and forgets the refused requests.
func (p *Proxy) Reset() error {
	p.mu.Lock()
	old := p.decoys
	p.decoys, p.routes, p.refused = map[string]*Decoy{}, map[string]string{}, nil
	p.mu.Unlock()
	for _, d := range old {
		if err := d.Close(); err != nil {
			return err
		}
	}
	return nil
}

// Refused returns the requests for unknown hosts, as "METHOD host".
func (p *Proxy) Refused() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.refused)
}

// Close stops the proxy and its decoys and waits for its connections to end.
func (p *Proxy) Close() error {
	err := p.server.Close()
	<-p.done
	if resetErr := p.Reset(); err == nil {
		err = resetErr
	}
	p.mu.Lock()
	for c := range p.tunnels {
		c.Close()
	}
	p.mu.Unlock()
	p.wg.Wait()
	return err
}

// ServeHTTP opens a tunnel. A request that is not CONNECT is plain http to another machine; it is
// refused.
func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	addr := p.routes[r.Host]
	if r.Method != http.MethodConnect || addr == "" {
		p.refused = append(p.refused, r.Method+" "+r.Host)
		p.mu.Unlock()
		http.Error(w, fmt.Sprintf("no decoy for %s %s", r.Method, r.Host), http.StatusForbidden)
		return
	}
	p.mu.Unlock()

	server, err := net.Dial("tcp", addr)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	client, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		server.Close()
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	if _, err := io.WriteString(client, "HTTP/1.1 200 Connection established\r\n\r\n"); err != nil {
		client.Close()
		server.Close()
		return
	}
	p.mu.Lock()
	p.tunnels[client], p.tunnels[server] = struct{}{}, struct{}{}
	p.mu.Unlock()
	p.wg.Go(func() { p.pipe(server, buffered, client) })
	p.wg.Go(func() { p.pipe(client, server, server) })
}

// pipe copies src, which reads from from, to to until either side ends, and then closes both.
func (p *Proxy) pipe(to net.Conn, src io.Reader, from net.Conn) {
	_, _ = io.Copy(to, src)
	to.Close()
	from.Close()
	p.mu.Lock()
	delete(p.tunnels, to)
	delete(p.tunnels, from)
	p.mu.Unlock()
}
