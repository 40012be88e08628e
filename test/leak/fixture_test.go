package leak

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	crand "crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	stdlog "log"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/berth-registry/berth/test/fakes/fakeaws"
)

// network is every host that a node can reach: one server on loopback for each scheme and address. No
// name is resolved.
type network struct {
	seed      uint64
	round     *round
	fake      *fakeaws.Server
	authority *authority
	transport *http.Transport
	tally     *tally

	mu         sync.Mutex
	decoys     map[string]*decoy // by scheme and address
	pull       int               // probing while apply runs
	passed     string            // the password that kubelet passes in this pull
	challenged map[string]bool   // hosts that asked for a login in this pull
}

// probing is the number of the pull while apply asks registries.
const probing = -1

// ownIdentity is the sort of a token that a registry's own credentials got.
const ownIdentity = "ecr, own identity"

// tally counts cases. One secret at one host in one pull is one case.
type tally struct {
	mu                               sync.Mutex
	pulls, done                      int
	offered, withheld, none, refused int
	verdicts                         map[verdict]int
	kinds                            map[string]int // meant cases by sort of secret
	requests, foreign, linked        int
	leaks                            []string
	seen                             map[string]bool
}

func newTally() *tally {
	return &tally{verdicts: map[verdict]int{}, kinds: map[string]int{}, seen: map[string]bool{}}
}

func newWorld(seed uint64, r *round, fake *fakeaws.Server, a *authority, t *tally) *network {
	w := &network{seed: seed, round: r, fake: fake, authority: a, tally: t, decoys: map[string]*decoy{}, challenged: map[string]bool{}}
	w.transport = &http.Transport{
		DialContext: func(ctx context.Context, _, addr string) (net.Conn, error) {
			return w.dial(ctx, "http", addr)
		},
		DialTLSContext: func(ctx context.Context, _, addr string) (net.Conn, error) {
			conn, err := w.dial(ctx, "https", addr)
			if err != nil {
				return nil, err
			}
			name, _, err := net.SplitHostPort(addr)
			if err != nil {
				return nil, err
			}
			secure := tls.Client(conn, &tls.Config{ServerName: name, RootCAs: a.pool, ClientSessionCache: a.sessions})
			return secure, secure.HandshakeContext(ctx)
		},
	}
	return w
}

// client makes a client of containerd use this network.
func (w *network) client(c *http.Client) error {
	c.Transport = w.transport
	return nil
}

func (w *network) dial(ctx context.Context, scheme, addr string) (net.Conn, error) {
	d, err := w.decoy(scheme, addr)
	if err != nil {
		return nil, err
	}
	var dialer net.Dialer
	return dialer.DialContext(ctx, "tcp", d.listener.Addr().String())
}

// next begins a pull, for which kubelet passes a password.
func (w *network) next(pull int, passed string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.pull, w.passed = pull, passed
	clear(w.challenged)
}

// decoy is one server: a registry, token server or object store.
type decoy struct {
	network  *network
	scheme   string
	address  string // host:port
	listener net.Listener
	server   *http.Server
	done     chan struct{}
}

func (w *network) decoy(scheme, addr string) (*decoy, error) {
	addr = strings.ToLower(addr)
	w.mu.Lock()
	defer w.mu.Unlock()
	if d, ok := w.decoys[scheme+" "+addr]; ok {
		return d, nil
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	d := &decoy{network: w, scheme: scheme, address: addr, listener: l, done: make(chan struct{})}
	d.server = &http.Server{Handler: d, ErrorLog: stdlog.New(io.Discard, "", 0)}
	serve := l
	if scheme == "https" {
		name, _, err := net.SplitHostPort(addr)
		if err != nil {
			return nil, err
		}
		cert, err := w.authority.certificate(name)
		if err != nil {
			return nil, err
		}
		serve = tls.NewListener(l, &tls.Config{Certificates: []tls.Certificate{cert}})
	}
	go func() {
		defer close(d.done)
		// Serve always returns an error; after Close it has no meaning.
		_ = d.server.Serve(serve)
	}()
	w.decoys[scheme+" "+addr] = d
	return d, nil
}

func (w *network) close() error {
	w.transport.CloseIdleConnections()
	for _, d := range w.decoys {
		if err := d.server.Close(); err != nil {
			return err
		}
		<-d.done
	}
	return nil
}

// ServeHTTP searches the request for secrets and then misbehaves as its behaviour says.
func (d *decoy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	if err != nil {
		return
	}
	at := placeOf(&url.URL{Scheme: d.scheme, Host: d.address, Path: r.URL.Path})
	led := leadOf(r.URL.Query())
	d.network.look(at, led, everything(r, body))
	d.behave(w, r, at, led)
}

// everything returns all text of a request, with its decoded base64.
func everything(r *http.Request, body []byte) string {
	var b strings.Builder
	for _, encoded := range []string{r.RequestURI, string(body)} {
		b.WriteString(encoded + "\n")
		if plain, err := url.QueryUnescape(encoded); err == nil {
			b.WriteString(plain + "\n")
		}
	}
	for name, values := range r.Header {
		for _, v := range values {
			b.WriteString(name + ": " + v + "\n")
		}
	}
	return unwrapped(b.String())
}

// look records each secret in a request.
func (w *network) look(p place, led *lead, text string) {
	w.mu.Lock()
	pull, passed, challenged := w.pull, w.passed, w.challenged[p.scheme+p.host]
	w.mu.Unlock()
	w.tally.mu.Lock()
	defer w.tally.mu.Unlock()
	w.tally.requests++
	for _, s := range w.round.secrets {
		if !strings.Contains(text, s.value) {
			continue
		}
		may := func(p place) bool {
			for _, l := range s.owners {
				if l.mayHave(p) {
					return true
				}
			}
			return false
		}
		v := verdictOf(may, p, led, challenged)
		if v == realm && s.value != passed && !w.round.headerMayGo(s, led.from, p) {
			v = leaked
		}
		w.tally.add(w, s.what, "login", pull, p, led, v)
	}
	for _, token := range tokenForm.FindAllString(text, -1) {
		issued, ok := w.fake.Token(token)
		if !ok {
			continue
		}
		s := w.round.scopeOf(issued)
		may := func(p place) bool { return w.round.ecrMayHave(s, p) }
		kind := s.service
		if s.key != "" {
			kind = ownIdentity
		}
		w.tally.add(w, strings.TrimSpace("a token of "+s.service+" "+s.region+" "+s.key), kind, pull, p, led, verdictOf(may, p, led, challenged))
	}
}

// add counts a case once.
func (t *tally) add(w *network, what, kind string, pull int, p place, led *lead, v verdict) {
	key := fmt.Sprint(w.round.id, pull, what, p.scheme, p.host, v)
	if t.seen[key] {
		return
	}
	t.seen[key] = true
	t.verdicts[v]++
	if v == meant {
		t.kinds[kind]++
	}
	if v != leaked {
		return
	}
	by := ""
	if led != nil {
		by = fmt.Sprintf(", led by a %s from %s", led.how, led.from)
	}
	during := "apply"
	if pull != probing {
		during = w.round.images[pull].ref
	}
	t.leaks = append(t.leaks, fmt.Sprintf("round %s, %s: %s was seen at %s%s", w.round.id, during, what, p, by))
}

// authority signs the certificates of the network.
type authority struct {
	key      *ecdsa.PrivateKey
	cert     *x509.Certificate
	pool     *x509.CertPool
	sessions tls.ClientSessionCache

	mu     sync.Mutex
	issued map[string]tls.Certificate
}

func newAuthority() (*authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), crand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(crand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	pool.AddCert(cert)
	return &authority{key: key, cert: cert, pool: pool, sessions: tls.NewLRUClientSessionCache(0), issued: map[string]tls.Certificate{}}, nil
}

func (a *authority) certificate(name string) (tls.Certificate, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if c, ok := a.issued[name]; ok {
		return c, nil
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(int64(len(a.issued) + 2)), NotBefore: a.cert.NotBefore, NotAfter: a.cert.NotAfter,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	if ip := net.ParseIP(name); ip != nil {
		template.IPAddresses = []net.IP{ip}
	} else {
		template.DNSNames = []string{name}
	}
	der, err := x509.CreateCertificate(crand.Reader, template, a.cert, &a.key.PublicKey, a.key)
	if err != nil {
		return tls.Certificate{}, err
	}
	c := tls.Certificate{Certificate: [][]byte{der}, PrivateKey: a.key}
	a.issued[name] = c
	return c, nil
}
