// Package registry is the client for registries: login, TLS, proxy, retries and rate limits.
//
// It promises that a login is sent only to the registry it is for, that a refused login is not
// repeated, and that errors hold no address and no secret. Start reading at [Access], then
// [Client.At] and [Repository].
package registry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path"
	"strings"
	"sync"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"github.com/berth-registry/berth/hostsconf"
	"github.com/berth-registry/berth/images/manifest"
	"github.com/berth-registry/berth/images/transfer"
	"github.com/berth-registry/berth/internal/dockerhub"
)

// Registry is the API of a host below one path.
type Registry struct {
	client     *Client
	name       string // host[:port] as image names have it
	host       string // host[:port] that requests go to
	root       string // path of the API: /v2, or /v2/hub for a prefix
	settings   Settings
	header     http.Header // sent with every request to the host itself
	parsedName name.Registry

	mu        sync.Mutex
	challenge *transport.Challenge
	err       error
	logins    map[authn.AuthConfig]*loginState
}

type registryKey struct {
	name, root, entry, header string
	plain                     bool
}

// At returns the registry that image names call host, with the settings for a path of it.
func (w *Client) At(host, path string) (*Registry, error) {
	return w.Under(host, "/v2", nil, w.access.SettingsFor(host, path))
}

// Under returns the registry whose API is below root.
func (w *Client) Under(host, root string, header http.Header, s Settings) (*Registry, error) {
	key := registryKey{host, root, s.Host, fmt.Sprint(header), s.PlainHTTP}
	w.mu.Lock()
	defer w.mu.Unlock()
	if r := w.registries[key]; r != nil {
		return r, nil
	}
	asked := dockerhub.Host(host)
	asName, err := name.NewRegistry(asked)
	if err != nil {
		return nil, err
	}
	r := &Registry{client: w, name: host, host: asked, root: root, header: header, settings: s, parsedName: asName}
	w.registries[key] = r
	return r, nil
}

// transport returns the transport for requests to the registry.
func (r *Registry) transport() *upstreamTransport {
	return &upstreamTransport{client: r.client, registry: r.host, header: r.header, settings: r.settings}
}

// pingOnce returns how to log in. It asks once a run, so that an unreachable registry is retried
// once and not for each image.
func (r *Registry) pingOnce(ctx context.Context) (*transport.Challenge, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.challenge != nil || r.err != nil {
		return r.challenge, r.err
	}
	var c *transport.Challenge
	err := r.retry(ctx, func(ctx context.Context) error {
		var err error
		c, err = r.ping(ctx)
		return err
	})
	if ctx.Err() == nil {
		r.challenge, r.err = c, err
	}
	return c, err
}

// retry retries requests to the registry itself, whose answers are small.
func (r *Registry) retry(ctx context.Context, f func(context.Context) error) error {
	return r.client.Retry(ctx, r.name, func() error {
		slow := &transfer.NetError{Host: r.name, Err: fmt.Errorf("no answer in %s", transfer.StallLimit)}
		ctx, cancel := context.WithTimeoutCause(ctx, transfer.StallLimit, slow)
		defer cancel()
		return f(ctx)
	})
}

// Retry calls f until it succeeds or a retry cannot help. what names the request in the log.
func (w *Client) Retry(ctx context.Context, what string, f func() error) error {
	return retrier{maxWait: w.maxWait, log: w.log}.do(ctx, what, f)
}

// ping sends GET /v2/, as the specification says. It follows no redirect, because the target could
// then ask for the login of the registry.
// https://github.com/opencontainers/distribution-spec/blob/main/spec.md#determining-support
func (r *Registry) ping(ctx context.Context) (*transport.Challenge, error) {
	req, err := r.pingRequest(ctx)
	if err != nil {
		return nil, err
	}
	resp, err := r.transport().RoundTrip(req)
	if err != nil {
		return nil, netErrorOf(ctx, r.name, err)
	}
	defer resp.Body.Close()
	defer drain(resp.Body)
	switch {
	case resp.StatusCode == http.StatusUnauthorized:
		return r.readChallenge(ctx, resp)
	case resp.StatusCode >= 300 && resp.StatusCode < 400:
		return nil, fmt.Errorf("%s redirects to another address; name the registry there", r.name)
	case resp.StatusCode == http.StatusTooManyRequests, resp.StatusCode >= 500:
		return nil, r.checkStatus(resp, "GET /v2/", http.StatusOK)
	}
	// Below a path of its own /v2/ may not exist; requests that need a login get a challenge.
	return &transport.Challenge{Insecure: r.settings.PlainHTTP}, nil
}

func (r *Registry) pingRequest(ctx context.Context) (*http.Request, error) {
	where := r.root + "/"
	if strings.HasPrefix(where, "/v2/") {
		where = "/v2/"
	}
	return http.NewRequestWithContext(ctx, http.MethodGet, r.settings.scheme()+"://"+r.host+where, nil)
}

// readChallenge reads the challenge of an answer through go-containerregistry.
func (r *Registry) readChallenge(ctx context.Context, resp *http.Response) (*transport.Challenge, error) {
	c, err := transport.Ping(ctx, r.parsedName, recordedResponse{resp})
	if err != nil {
		return nil, err
	}
	c.Insecure = r.settings.PlainHTTP
	return c, nil
}

// recordedResponse answers every request with the same response.
type recordedResponse struct{ resp *http.Response }

func (g recordedResponse) RoundTrip(*http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: g.resp.StatusCode, Header: g.resp.Header, Body: http.NoBody}, nil
}

// authorize returns a transport that logs in for one repository, and the login. scopes are those of
// the token specification.
// https://distribution.github.io/distribution/spec/auth/token/
func (r *Registry) authorize(ctx context.Context, c *transport.Challenge, repository string, scopes ...string) (credential, http.RoundTripper, error) {
	login, err := r.client.credential(ctx, r.name, r.loginPath(repository), r.settings)
	if err != nil {
		return login, nil, fmt.Errorf("%s: %w", r.name, err)
	}
	if !strings.EqualFold(c.Scheme, "bearer") {
		way, err := transport.FromToken(r.parsedName, login.auth, r.transport(), c, &transport.Token{})
		if err == nil && strings.EqualFold(c.Scheme, "basic") {
			err = r.useLogin(ctx, login, func() error { return r.checkLogin(ctx, login, way) })
		}
		return login, way, err
	}
	if realm, err := url.Parse(c.Parameters["realm"]); login.registryOnly && (err != nil || realm.Host != r.host) {
		return login, nil, fmt.Errorf("%s: asks for the login of %s on another host; a token of ECR is sent to the registry only", r.name, login.from)
	}
	var token *transport.Token
	err = r.useLogin(ctx, login, func() error {
		return r.retry(ctx, func(ctx context.Context) error {
			if token = login.registryToken(ctx); token != nil {
				return nil
			}
			var err error
			token, err = transport.Exchange(ctx, r.parsedName, login.auth, r.transport(), scopes, c)
			return r.tokenError(ctx, err, login)
		})
	})
	if err != nil {
		return login, nil, err
	}
	if token.Token == "" {
		token.Token = token.AccessToken
	}
	way, err := transport.FromToken(r.parsedName, login.auth, r.transport(), c, token)
	return login, way, err
}

// prefix is the part of repository names that root contains: hub for /v2/hub.
func (r *Registry) prefix() string {
	_, prefix, _ := strings.Cut(r.root, "/v2/")
	return prefix
}

// loginPath is the repository as logins are configured: with the prefix, or with the path before
// /v2.
func (r *Registry) loginPath(repository string) string {
	below := hostsconf.URL{Path: r.root}.RepositoryPath()
	return path.Join(below, repository)
}

// tokenError makes an error of the answer of a token service.
func (r *Registry) tokenError(ctx context.Context, err error, login credential) error {
	if err == nil {
		return nil
	}
	if _, ok := errors.AsType[*url.Error](err); ok {
		return netErrorOf(ctx, r.name, err)
	}
	refusal, ok := errors.AsType[*transport.Error](err)
	switch {
	case !ok && strings.HasPrefix(err.Error(), "no token in bearer response"):
		// The library quotes the answer, which may hold a secret.
		return fmt.Errorf("%s: its token service returned no token", r.name)
	case !ok:
		return fmt.Errorf("%s: %s", r.name, manifest.OneLine(err.Error()))
	}
	e := r.tokenStatus(refusal)
	e.hint = login.hint(e)
	return e
}

// closeAfterStall closes body after StallLimit, unless stop is called.
func closeAfterStall(body io.Closer) (stop func() bool) {
	return time.AfterFunc(transfer.StallLimit, func() { body.Close() }).Stop
}

// drain reads the rest of an answer, so that the connection can be reused.
func drain(body io.ReadCloser) {
	defer closeAfterStall(body)()
	// After an error the connection is not reused.
	_, _ = io.CopyN(io.Discard, body, 64<<10)
}
