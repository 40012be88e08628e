// Package internet maps names of registries to handlers of a test. Programs that use its proxy and
// trust its authority reach the handlers over TLS, as they would reach the real registries. It
// resolves no name; a name without a handler is refused and recorded, so nothing leaves the
// machine.
//
// Start with [Start]; [Internet.Env] is the environment for such a program.
package internet

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/berth-registry/berth/test/pki"
)

// Internet is a proxy and the registries behind it.
type Internet struct {
	proxy, sites *http.Server
	address      string // of the proxy
	site         string // where all registries listen
	roots        string // file with the certificate of the authority
	handlers     map[string]http.Handler
	serving      sync.WaitGroup

	mu      sync.Mutex
	cut     map[string]bool
	refused []string
	tunnels map[net.Conn]struct{}
	closed  bool
}

// Start serves a handler for each host[:port]; the default port is 443. It writes the certificate
// of the authority into dir. The caller must call Close.
func Start(dir string, handlers map[string]http.Handler) (*Internet, error) {
	var names []string
	for host := range handlers {
		name, _, _ := strings.Cut(host, ":")
		names = append(names, name)
	}
	ca, err := pki.New("the Internet of a test")
	if err != nil {
		return nil, err
	}
	pair, err := ca.Server(names...)
	if err != nil {
		return nil, err
	}
	certificate, err := pair.TLS()
	if err != nil {
		return nil, err
	}
	i := &Internet{
		roots: filepath.Join(dir, "internet.pem"), handlers: maps.Clone(handlers),
		cut: map[string]bool{}, tunnels: map[net.Conn]struct{}{},
	}
	if err := os.WriteFile(i.roots, ca.PEM(), 0o644); err != nil {
		return nil, err
	}
	i.proxy = &http.Server{Handler: http.HandlerFunc(i.connect)}
	i.sites = &http.Server{Handler: http.HandlerFunc(i.visit), TLSConfig: &tls.Config{Certificates: []tls.Certificate{certificate}}}
	quiet := log.New(io.Discard, "", 0) // what clients do to their connections
	i.proxy.ErrorLog, i.sites.ErrorLog = quiet, quiet
	sites, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	proxy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, errors.Join(err, sites.Close())
	}
	i.site, i.address = sites.Addr().String(), proxy.Addr().String()
	i.serving.Go(func() { _ = i.sites.ServeTLS(sites, "", "") }) // both end with Close
	i.serving.Go(func() { _ = i.proxy.Serve(proxy) })
	return i, nil
}

// Env makes a program use the proxy and trust this authority alone. Addresses of this machine are
// reached directly.
func (i *Internet) Env() []string {
	env := []string{"SSL_CERT_FILE=" + i.roots, "SSL_CERT_DIR=" + i.roots + ".none"}
	for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY"} {
		env = append(env, name+"=http://"+i.address, strings.ToLower(name)+"=http://"+i.address)
	}
	return append(env, "NO_PROXY=127.0.0.1,localhost", "no_proxy=127.0.0.1,localhost")
}

// Only makes all hosts but these unreachable until [Internet.All]. Open connections to the others
// end.
func (i *Internet) Only(hosts ...string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	for name := range i.handlers {
		i.cut[name] = !slices.Contains(hosts, name)
	}
	for c := range i.tunnels {
		_ = c.Close() // the client makes another connection if it needs one
	}
}

// All makes every host reachable again.
func (i *Internet) All() {
	i.mu.Lock()
	defer i.mu.Unlock()
	clear(i.cut)
}

// Refused returns the requests for hosts without a handler, as "METHOD host".
func (i *Internet) Refused() []string {
	i.mu.Lock()
	defer i.mu.Unlock()
	return slices.Clone(i.refused)
}

// Close stops everything and waits until it has ended.
func (i *Internet) Close() error {
	err := errors.Join(i.proxy.Close(), i.sites.Close())
	i.mu.Lock()
	i.closed = true
	for c := range i.tunnels {
		_ = c.Close() // one end may be closed already
	}
	i.mu.Unlock()
	i.serving.Wait()
	return err
}

// visit serves a request to one of the registries.
func (i *Internet) visit(w http.ResponseWriter, r *http.Request) {
	if h := i.handlers[strings.TrimSuffix(r.Host, ":443")]; h != nil {
		h.ServeHTTP(w, r)
		return
	}
	http.Error(w, "no registry of that name is here", http.StatusMisdirectedRequest)
}

// connect opens a tunnel to the registries. A request that is not CONNECT is plain http to another
// machine; there is none.
func (i *Internet) connect(w http.ResponseWriter, r *http.Request) {
	host := strings.TrimSuffix(r.Host, ":443")
	i.mu.Lock()
	cut := i.cut[host]
	known := r.Method == http.MethodConnect && i.handlers[host] != nil
	if !known {
		i.refused = append(i.refused, r.Method+" "+r.Host)
	}
	i.mu.Unlock()
	if !known || cut {
		http.Error(w, "there is no way to "+r.Host, http.StatusForbidden)
		return
	}
	if err := i.tunnel(w); err != nil {
		panic(http.ErrAbortHandler) // the client sees its connection end
	}
}

func (i *Internet) tunnel(w http.ResponseWriter) error {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	registry, err := (&net.Dialer{}).DialContext(ctx, "tcp", i.site)
	if err != nil {
		return err
	}
	client, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return errors.Join(err, registry.Close())
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.closed {
		return errors.Join(client.Close(), registry.Close())
	}
	if _, err := fmt.Fprint(client, "HTTP/1.1 200 Connection established\r\n\r\n"); err != nil {
		return errors.Join(client.Close(), registry.Close())
	}
	i.tunnels[client], i.tunnels[registry] = struct{}{}, struct{}{}
	i.serving.Go(func() { i.pipe(registry, buffered, client) })
	i.serving.Go(func() { i.pipe(client, registry, registry) })
	return nil
}

// pipe copies from src, which reads from from, until either side ends, and then closes both.
func (i *Internet) pipe(to net.Conn, src io.Reader, from net.Conn) {
	_, _ = io.Copy(to, src)
	_, _ = to.Close(), from.Close()
	i.mu.Lock()
	defer i.mu.Unlock()
	delete(i.tunnels, to)
	delete(i.tunnels, from)
}
