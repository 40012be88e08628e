package registry

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/berth-registry/berth/images/transfer"
	"github.com/berth-registry/berth/internal/hostport"
)

const (
	// DefaultJobs is the number of concurrent requests and transfers.
	DefaultJobs = 8
	// DefaultWait limits how long 429 is waited out. Docker Hub counts pulls per hour.
	DefaultWait = time.Hour + 5*time.Minute
)

const (
	dialTimeout = 10 * time.Second
	bufferSize  = 64 << 10 // bytes for each connection and direction
)

// Client holds the connections of a run. Call Close at the end.
type Client struct {
	access  Access
	jobs    int
	maxWait time.Duration
	log     *slog.Logger

	mu           sync.Mutex
	rateLimiters map[string]*rateLimiter
	transports   map[transportKey]*http.Transport
	registries   map[registryKey]*Registry

	loginsMu sync.Mutex
	logins   map[string]lookedUp // by host
}

// transportKey: the TLS settings of a host are those of its entry in the config. A host to which a
// registry refers, a token service or a blob store, is reached with the CAs of the registry's entry
// and none of its other settings.
type transportKey struct {
	entry string // Settings.Host, "" for none
	other bool
}

// NewClient makes a client for jobs concurrent requests ([DefaultJobs] for 0) that waits out 429 for
// maxWait ([DefaultWait] for 0). log may be nil.
func NewClient(a Access, jobs int, maxWait time.Duration, log *slog.Logger) *Client {
	if jobs <= 0 {
		jobs = DefaultJobs
	}
	if maxWait <= 0 {
		maxWait = DefaultWait
	}
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Client{
		access: a, jobs: jobs, maxWait: maxWait, log: log,
		rateLimiters: map[string]*rateLimiter{},
		transports:   map[transportKey]*http.Transport{},
		registries:   map[registryKey]*Registry{},
		logins:       map[string]lookedUp{},
	}
}

// Jobs is the number of concurrent requests.
func (w *Client) Jobs() int { return w.jobs }

// Close closes idle connections.
func (w *Client) Close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, t := range w.transports {
		t.CloseIdleConnections()
	}
}

func (w *Client) rateLimiter(host string) *rateLimiter {
	w.mu.Lock()
	defer w.mu.Unlock()
	g := w.rateLimiters[host]
	if g == nil {
		g = &rateLimiter{host: host, maxWait: w.maxWait, log: w.log}
		w.rateLimiters[host] = g
	}
	return g
}

func (w *Client) transport(s Settings, other bool) (*http.Transport, error) {
	key := transportKey{entry: s.Host, other: other}
	w.mu.Lock()
	defer w.mu.Unlock()
	if t := w.transports[key]; t != nil {
		return t, nil
	}
	config, err := tlsConfig(s, other)
	if err != nil {
		return nil, err
	}
	proxy := w.access.Proxy
	if proxy == nil {
		proxy = http.ProxyFromEnvironment
	}
	t := &http.Transport{
		Proxy:                 proxy,
		DialContext:           (&net.Dialer{Timeout: dialTimeout, KeepAlive: 30 * time.Second}).DialContext,
		TLSClientConfig:       config,
		TLSHandshakeTimeout:   dialTimeout,
		ResponseHeaderTimeout: transfer.AnswerTimeout,
		ForceAttemptHTTP2:     true,
		DisableCompression:    true, // content must not be changed
		MaxIdleConnsPerHost:   w.jobs + 4,
		IdleConnTimeout:       time.Minute,
		ReadBufferSize:        bufferSize,
		WriteBufferSize:       bufferSize,
	}
	w.transports[key] = t
	return t, nil
}

// tlsConfig makes the TLS settings; other leaves out all but the CAs.
func tlsConfig(s Settings, other bool) (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	if s.CA != nil {
		pool, err := x509.SystemCertPool()
		if err != nil {
			return nil, fmt.Errorf("the certificates of the system: %w", err)
		}
		pool.AppendCertsFromPEM(s.CA)
		c.RootCAs = pool
	}
	if other {
		return c, nil
	}
	c.InsecureSkipVerify = s.InsecureSkipVerify
	if s.Cert != nil {
		pair, err := tls.X509KeyPair(s.Cert, []byte(s.Key.Reveal()))
		if err != nil {
			return nil, fmt.Errorf("the client certificate for %s: %w", s.Host, err)
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c, nil
}

// upstreamTransport sends the requests of one registry: to itself, and to hosts to which it refers.
// It adds no login.
type upstreamTransport struct {
	client   *Client
	registry string // host[:port] of the registry
	header   http.Header
	settings Settings
}

// RoundTrip implements http.RoundTripper. It sets the scheme of requests to the registry, and
// refuses plain http where that is not allowed.
func (w *upstreamTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	out := req.Clone(req.Context())
	if out.Header.Get("User-Agent") == "" {
		out.Header.Set("User-Agent", "berth")
	}
	settings, other := w.settings, out.URL.Host != w.registry
	if other {
		for name := range w.header {
			out.Header.Del(name) // copied by the client on a redirect
		}
		// A host with an entry of its own is reached by that entry.
		if own := w.client.access.SettingsFor(out.URL.Host, ""); own.Host != "" {
			settings, other = own, false
		}
	} else {
		out.URL.Scheme = settings.scheme()
		maps.Copy(out.Header, w.header)
	}
	if out.URL.Scheme != "https" && !hostport.IsLoopback(out.URL.Host) && (other || !settings.PlainHTTP) {
		closeBody(req)
		return nil, fmt.Errorf("%s://%s: %w", out.URL.Scheme, out.URL.Host, ErrPlainHTTP)
	}
	t, err := w.client.transport(settings, other)
	if err != nil {
		closeBody(req)
		return nil, err
	}
	g := w.client.rateLimiter(out.URL.Host)
	if err := g.wait(out.Context()); err != nil {
		closeBody(req)
		return nil, err
	}
	resp, err := t.RoundTrip(out)
	if err != nil {
		return nil, err
	}
	g.observe(out.Context(), resp)
	return resp, nil
}

// closeBody closes the body of a request that is not sent, as http.RoundTripper requires.
func closeBody(req *http.Request) {
	if req.Body != nil {
		req.Body.Close()
	}
}

// netErrorOf makes a *NetError of an error of http.Client. If ctx has ended, it returns its cause.
func netErrorOf(ctx context.Context, host string, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if u, ok := errors.AsType[*url.Error](err); ok {
		err = u.Err
	}
	if strings.HasPrefix(err.Error(), "failed to parse Location header") {
		// net/http quotes the address, whose query may be a secret.
		err = errors.New("it redirects to an invalid address")
	}
	if login, ok := errors.AsType[*loginError](err); ok {
		return fmt.Errorf("%s: %w", host, login)
	}
	if _, ok := errors.AsType[*transfer.NetError](err); ok || errors.Is(err, ErrPlainHTTP) {
		return err
	}
	if _, ok := errors.AsType[tls.RecordHeaderError](err); ok || errors.Is(err, http.ErrSchemeMismatch) {
		err = fmt.Errorf("it does not speak TLS; for plain http, set plainHTTP in an entry of registries for it (%w)", err)
	}
	return &transfer.NetError{Host: host, Err: err}
}
