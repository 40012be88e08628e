// Package kubeapi asks the API server of Kubernetes from a pod: it gets, lists, watches and patches
// objects, and decodes only the fields that its caller declares.
//
// It promises:
//   - The token of the service account is in no error and in no log. It is read from its file for
//     each request, because kubelet replaces the file before the token expires.
//   - A request ends: every one has a deadline, a watch too.
//
// Start reading at [InCluster]; [Cache] keeps a copy of all objects of one kind.
package kubeapi

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/berth-registry/berth/internal/neterr"
	"github.com/berth-registry/berth/internal/redact"
)

// ServiceAccountDir is where kubelet puts the files of a pod's service account: token, ca.crt and
// namespace (Kubernetes documentation, "Accessing the Kubernetes API from a Pod").
const ServiceAccountDir = "/var/run/secrets/kubernetes.io/serviceaccount"

// requestTime is how long a request may take, except a watch.
const requestTime = 30 * time.Second

// Client sends requests to one API server.
type Client struct {
	server *url.URL
	dir    string // token, ca.crt, namespace
	dial   Dial

	mu        sync.Mutex
	ca        []byte // those of transport
	transport *http.Transport

	ahead atomic.Int64 // how far the clock of the API server is ahead of ours, in nanoseconds
}

// InCluster returns a client for the API server that kubelet names in the environment of every
// pod, with the service account whose files are in dir.
func InCluster(dir string) (*Client, error) {
	host, port := os.Getenv("KUBERNETES_SERVICE_HOST"), os.Getenv("KUBERNETES_SERVICE_PORT")
	if host == "" || port == "" {
		return nil, errors.New("KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are not set: this runs in a pod; elsewhere set both to the address of the API server")
	}
	return New(net.JoinHostPort(host, port), dir, (&net.Dialer{Timeout: 10 * time.Second}).DialContext)
}

// Dial opens a connection, as [net.Dialer.DialContext] does.
type Dial func(ctx context.Context, network, address string) (net.Conn, error)

// New returns a client for the API server at an address, host:port, with the service account whose
// files are in dir.
func New(address, dir string, dial Dial) (*Client, error) {
	c := &Client{server: &url.URL{Scheme: "https", Host: address}, dir: dir, dial: dial}
	if _, err := c.token(); err != nil {
		return nil, fmt.Errorf("service account: %w; the pod needs automountServiceAccountToken: true", err)
	}
	if err := c.trust(); err != nil {
		return nil, err
	}
	return c, nil
}

// Namespace returns the namespace of the pod.
func (c *Client) Namespace() (string, error) {
	raw, err := os.ReadFile(filepath.Join(c.dir, "namespace"))
	return string(bytes.TrimSpace(raw)), err
}

// Now returns the time of the API server's clock, as its last answer told it, to the second.
func (c *Client) Now() time.Time { return time.Now().Add(time.Duration(c.ahead.Load())) }

// Close closes idle connections.
func (c *Client) Close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.transport.CloseIdleConnections()
}

func (c *Client) token() (redact.Secret, error) {
	raw, err := os.ReadFile(filepath.Join(c.dir, "token"))
	return redact.New(string(bytes.TrimSpace(raw))), err
}

// trust makes a transport that trusts the certificate authorities of the service account, if they
// have changed.
func (c *Client) trust() error {
	file := filepath.Join(c.dir, "ca.crt")
	raw, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("service account: %w", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if bytes.Equal(raw, c.ca) {
		return nil
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(raw) {
		return fmt.Errorf("%s: holds no certificate", file)
	}
	if c.transport != nil {
		c.transport.CloseIdleConnections()
	}
	c.ca = raw
	c.transport = &http.Transport{
		TLSClientConfig:     &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12},
		DialContext:         c.dial,
		TLSHandshakeTimeout: 10 * time.Second,
		ForceAttemptHTTP2:   true,
		// A connection that died without a word is noticed, also by a watch that only listens.
		HTTP2:           &http.HTTP2Config{SendPingTimeout: 15 * time.Second, PingTimeout: 10 * time.Second},
		IdleConnTimeout: time.Minute,
	}
	return nil
}

// StatusError is an answer of the API server that is no success.
type StatusError struct {
	Code       int
	Message    string        // of the API server
	RetryAfter time.Duration // that it asks for; 0 if it does not
}

func (e *StatusError) Error() string {
	return fmt.Sprintf("the API server answered %d %s: %s", e.Code, http.StatusText(e.Code), e.Message)
}

// HasCode reports whether err is an answer with one of these status codes.
func HasCode(err error, codes ...int) bool {
	status, ok := errors.AsType[*StatusError](err)
	if !ok {
		return false
	}
	for _, code := range codes {
		if status.Code == code {
			return true
		}
	}
	return false
}

// Get decodes the object at a path, such as /api/v1/nodes/NAME, into into.
func (c *Client) Get(ctx context.Context, path string, into any) error {
	return c.exchange(ctx, http.MethodGet, path, nil, "", nil, into)
}

// MergePatch sends a JSON merge patch (RFC 7386) for the object at a path. With a resourceVersion
// in it, an object that has changed since is left alone, and the error has the code 409.
func (c *Client) MergePatch(ctx context.Context, path string, patch any) error {
	body, err := json.Marshal(patch)
	if err != nil {
		return err
	}
	return c.exchange(ctx, http.MethodPatch, path, nil, "application/merge-patch+json", body, nil)
}

// exchange sends a request and decodes the answer into into, unless that is nil.
func (c *Client) exchange(ctx context.Context, method, path string, query url.Values, contentType string, body []byte, into any) error {
	ctx, cancel := context.WithTimeout(ctx, requestTime)
	defer cancel()
	response, err := c.send(ctx, method, path, query, contentType, body)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if into == nil {
		_, err = io.Copy(io.Discard, response.Body)
	} else {
		err = json.NewDecoder(response.Body).Decode(into)
	}
	if err != nil {
		return fmt.Errorf("%s %s: answer: %w", method, path, err)
	}
	return nil
}

// send sends a request. The caller closes the body of the answer, which is a success.
func (c *Client) send(ctx context.Context, method, path string, query url.Values, contentType string, body []byte) (*http.Response, error) {
	address := *c.server
	address.Path, address.RawQuery = path, query.Encode()
	request, err := http.NewRequestWithContext(ctx, method, address.String(), bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	token, err := c.token()
	if err != nil {
		return nil, fmt.Errorf("service account: %w", err)
	}
	request.Header.Set("Authorization", "Bearer "+token.Reveal())
	request.Header.Set("Accept", "application/json")
	request.Header.Set("User-Agent", "berth")
	if contentType != "" {
		request.Header.Set("Content-Type", contentType)
	}
	c.mu.Lock()
	transport := c.transport
	c.mu.Unlock()
	// RoundTrip follows no redirect: the token is for this server alone.
	response, err := transport.RoundTrip(request)
	if err != nil {
		// The certificate authority may have been replaced.
		return nil, fmt.Errorf("%s %s: %w", method, path, errors.Join(err, c.trust()))
	}
	if date, err := http.ParseTime(response.Header.Get("Date")); err == nil {
		c.ahead.Store(int64(time.Until(date)))
	}
	if response.StatusCode >= 200 && response.StatusCode <= 299 {
		return response, nil
	}
	defer response.Body.Close()
	return nil, fmt.Errorf("%s %s: %w", method, path, statusError(response))
}

// maxMessage is how much of an error of the API server is shown, in bytes.
const maxMessage = 500

func statusError(response *http.Response) error {
	e := &StatusError{Code: response.StatusCode}
	raw, _ := io.ReadAll(io.LimitReader(response.Body, 64<<10)) // the code says enough without it
	var status struct{ Message string }
	if json.Unmarshal(raw, &status) == nil && status.Message != "" {
		raw = []byte(status.Message)
	}
	e.Message = neterr.Line(string(raw), maxMessage)
	if seconds, err := strconv.Atoi(response.Header.Get("Retry-After")); err == nil && seconds > 0 {
		e.RetryAfter = time.Duration(seconds) * time.Second
	}
	return e
}
