package trace

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/containerd/containerd/v2/core/remotes/docker"

	"github.com/berth-registry/berth/hostsconf"
	"github.com/berth-registry/berth/internal/neterr"
	"github.com/berth-registry/berth/internal/proxy/transport"
	"github.com/berth-registry/berth/internal/realm"
)

// maxRedirects is containerd's limit.
const maxRedirects = 10

// clients gives containerd's own clients the settings of the node.
type clients struct {
	tracer *Tracer
	all    []*http.Transport
}

// update is called for each client; clients may share a transport.
func (c *clients) update(client *http.Client) error {
	t, ok := client.Transport.(*http.Transport)
	if !ok {
		return errors.New("containerd's library returns an unexpected kind of client")
	}
	t.Proxy = transport.Proxy(c.tracer.Node.Proxy)
	if c.tracer.Roots != nil && t.TLSClientConfig.RootCAs == nil {
		t.TLSClientConfig.RootCAs = c.tracer.Roots
	}
	c.all = append(c.all, t)
	return nil
}

func (c *clients) close() {
	for _, t := range c.all {
		t.CloseIdleConnections()
	}
}

var (
	errRedirects = fmt.Errorf("more than %d redirects", maxRedirects)
)

// realmError: a login would be sent to a token server that must not have it.
type realmError struct {
	why error // begins with the server
}

func (e *realmError) Error() string {
	return fmt.Sprintf("it names the token server %v; containerd would send the login there, and this command does not", e.why)
}

// guarded returns a host that records requests and keeps every login from other hosts. username and
// password are what kubelet passes to this host.
func (t *Tracer) guarded(h docker.RegistryHost, username, password string) docker.RegistryHost {
	client := *h.Client
	client.Transport = recorder{inner: h.Client.Transport}
	client.CheckRedirect = func(req *http.Request, via []*http.Request) error {
		return checkRedirect(req, via, h.Header)
	}
	secret := username != "" || password != ""
	for name := range h.Header {
		secret = secret || t.Node.headerToRealm() && hostsconf.SecretHeader(name)
	}
	tokens := *h.Client
	tokens.Transport = realmGuard{inner: recorder{inner: h.Client.Transport, token: true}, check: func(server string) error { return t.checkRealm(h, server) }, secret: secret}
	tokens.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	options := []docker.AuthorizerOpt{
		docker.WithAuthClient(&tokens),
		docker.WithAuthCreds(func(host string) (string, string, error) {
			if host != h.Host {
				return "", "", nil
			}
			return username, password, nil
		}),
	}
	if t.Node.headerToRealm() && len(h.Header) > 0 {
		options = append(options, docker.WithAuthHeader(h.Header))
	}
	h.Client, h.Authorizer = &client, docker.NewDockerAuthorizer(options...)
	return h
}

// checkRedirect removes the secrets from a redirected request, unless it goes to the same host and
// port.
func checkRedirect(req *http.Request, via []*http.Request, own http.Header) error {
	if len(via) >= maxRedirects {
		return errRedirects
	}
	from, to := via[0].URL, req.URL
	t, _ := req.Context().Value(recordingKey{}).(*recording)
	if from.Scheme == to.Scheme && from.Host == to.Host {
		return nil
	}
	if t != nil {
		t.redirect = to.Scheme + "://" + to.Host
		// Go removes it if the host name differs.
		t.carried = t.carried || req.Header.Get("Authorization") != ""
	}
	for name := range req.Header {
		if hostsconf.SecretHeader(name) {
			delete(req.Header, name)
		}
	}
	for name := range own {
		delete(req.Header, name)
	}
	return nil
}

// realmGuard is between the authorizer and a token server.
type realmGuard struct {
	inner  http.RoundTripper
	check  func(server string) error // see Tracer.CheckRealm
	secret bool                      // a login could be sent
}

func (g realmGuard) RoundTrip(req *http.Request) (*http.Response, error) {
	if !g.secret {
		return g.inner.RoundTrip(req)
	}
	server, why := realm.Parse(req.URL.String())
	if why == nil {
		if why = g.check(server); why == nil {
			return g.inner.RoundTrip(req)
		}
	} else {
		why = fmt.Errorf("%s: %w", neterr.Line(req.URL.Scheme+"://"+req.URL.Host, maxForeign), why)
	}
	err := &realmError{why}
	if t, ok := req.Context().Value(recordingKey{}).(*recording); ok {
		t.exchanges = append(t.exchanges, exchange{host: req.URL.Host, token: true, err: err})
	}
	return nil, err
}

// afterRedirect is the host that stands for all that follow.
func afterRedirect() docker.RegistryHost {
	return docker.RegistryHost{
		Client: &http.Client{Transport: next{}}, Scheme: "https", Host: "next.invalid", Path: "/v2",
		Capabilities: docker.HostCapabilityPull | docker.HostCapabilityResolve,
	}
}

const defaultTimeout = 5 * time.Second
