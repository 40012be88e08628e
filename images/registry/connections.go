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
	dialTimeout = 10 * time.Second
	bufferSize  = 64 << 10 // bytes a connection, each way
)

// Client are the connections of a run. Close them.
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

// transportKey: how a host is verified depends on the entry of the config that
// it was reached by. A host that another one points at, a token service or a
// store of blobs, is reached with the authorities of that one, and with nothing
// else of it.
type transportKey struct {
	entry string // Settings.Host, "" for none
	other bool
}

func NewClient(a Access, jobs int, patience time.Duration, log *slog.Logger) *Client {
	return &Client{
		access: a, jobs: jobs, maxWait: patience, log: log,
		rateLimiters: map[string]*rateLimiter{},
		transports:   map[transportKey]*http.Transport{},
		registries:   map[registryKey]*Registry{},
		logins:       map[string]lookedUp{},
	}
}

// Close lets go of the connections.
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
		DisableCompression:    true, // content is taken as it is
		MaxIdleConnsPerHost:   w.jobs + 4,
		IdleConnTimeout:       time.Minute,
		ReadBufferSize:        bufferSize,
		WriteBufferSize:       bufferSize,
	}
	w.transports[key] = t
	return t, nil
}

// tlsConfig is nil when nothing is said of TLS.
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

// upstreamTransport sends the requests that belong to one registry: to itself, and to the
// hosts that it points at. It knows no login.
type upstreamTransport struct {
	client   *Client
	registry string // host[:port] of the registry
	header   http.Header
	settings Settings
}

// RoundTrip implements http.RoundTripper. The scheme of a request to the
// registry is what the settings say; plain http goes where it may.
func (w *upstreamTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	out := req.Clone(req.Context())
	if out.Header.Get("User-Agent") == "" {
		out.Header.Set("User-Agent", "berth")
	}
	settings, other := w.settings, out.URL.Host != w.registry
	if other {
		for name := range w.header {
			out.Header.Del(name) // a redirect would take it along
		}
		// What the config says of that host holds for it.
		if own := w.client.access.SettingsFor(out.URL.Host, ""); own.Host != "" {
			settings, other = own, false
		}
	} else {
		out.URL.Scheme = scheme(settings)
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

// closeBody is what a RoundTripper owes, also when it sends nothing.
func closeBody(req *http.Request) {
	if req.Body != nil {
		req.Body.Close()
	}
}

func scheme(s Settings) string {
	if s.PlainHTTP {
		return "http"
	}
	return "https"
}

// netErrorOf makes a *netError of what http.Client returns. An end of the
// run stays what it is.
func netErrorOf(ctx context.Context, host string, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if u, ok := errors.AsType[*url.Error](err); ok {
		err = u.Err
	}
	if strings.HasPrefix(err.Error(), "failed to parse Location header") {
		// net/http quotes the address, whose query may be a login.
		err = errors.New("it redirects to what is not an address")
	}
	if login, ok := errors.AsType[*loginError](err); ok {
		return fmt.Errorf("%s: %w", host, login)
	}
	if _, ok := errors.AsType[*transfer.NetError](err); ok || errors.Is(err, ErrPlainHTTP) {
		return err
	}
	if _, ok := errors.AsType[tls.RecordHeaderError](err); ok || errors.Is(err, http.ErrSchemeMismatch) {
		err = fmt.Errorf("no TLS is spoken there; if plain http is meant, set plainHTTP in an entry of registries for it (%w)", err)
	}
	return &transfer.NetError{Host: host, Err: err}
}

const (
	// DefaultJobs is how many requests and transfers go on at the same time.
	DefaultJobs = 8
	// DefaultWait is how long a registry that answers 429 is waited out. Docker
	// Hub counts over an hour.
	DefaultWait = time.Hour + 5*time.Minute
)
