package trace

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/containerd/containerd/v2/core/remotes/docker"

	"github.com/berth-registry/berth/hostsconf"
	"github.com/berth-registry/berth/internal/neterr"
	"github.com/berth-registry/berth/internal/realm"
)

// maxRedirects is containerd's.
const maxRedirects = 10

// clients makes containerd's own clients those of the node.
type clients struct {
	tracer *Tracer
	all    []*http.Transport
}

// update is called for each client, some of which share a transport.
func (c *clients) update(client *http.Client) error {
	t, ok := client.Transport.(*http.Transport)
	if !ok {
		return errors.New("containerd's library gives another kind of client than was expected")
	}
	t.Proxy = c.tracer.Node.Proxy.Func()
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

// realmError says that a login would go to a token server that may not have it.
type realmError struct {
	server string
	why    error // of realm.Check
}

func (e *realmError) Error() string {
	return fmt.Sprintf("it names the token server %s, which %v; containerd would send the login there, and this command does not", e.server, e.why)
}

// guarded is a host of containerd that records what is asked, and from which
// no login gets to another one. login is what kubelet passes that this host may
// have.
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
	tokens.Transport = realmGuard{inner: recorder{inner: h.Client.Transport, token: true}, host: h, secret: secret}
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

// checkRedirect lets a request go on without what is secret, unless it stays
// at the same host and port.
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
		// Go has taken it off already where the name is another one.
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
	host   docker.RegistryHost
	secret bool // there is a login that could be sent
}

func (g realmGuard) RoundTrip(req *http.Request) (*http.Response, error) {
	server, why := realm.Parse(req.URL.String())
	if why == nil {
		why = realm.Check(g.host.Scheme, g.host.Host, server)
	}
	if !g.secret || why == nil {
		return g.inner.RoundTrip(req)
	}
	err := &realmError{neterr.Line(req.URL.Scheme+"://"+req.URL.Host, maxForeign), why}
	if t, ok := req.Context().Value(recordingKey{}).(*recording); ok {
		t.exchanges = append(t.exchanges, exchange{host: req.URL.Host, token: true, err: err})
	}
	return nil, err
}

// afterRedirect is the host that stands for those that follow.
func afterRedirect() docker.RegistryHost {
	return docker.RegistryHost{
		Client: &http.Client{Transport: next{}}, Scheme: "https", Host: "next.invalid", Path: "/v2",
		Capabilities: docker.HostCapabilityPull | docker.HostCapabilityResolve,
	}
}

const defaultTimeout = 5 * time.Second
