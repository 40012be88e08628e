package trace

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/containerd/containerd/v2/core/remotes/docker"
	"golang.org/x/net/http/httpproxy"
	"golang.org/x/net/publicsuffix"

	"github.com/berth-registry/berth/hostsconf"
	"github.com/berth-registry/berth/internal/hostport"
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
	p := c.tracer.Node.Proxy
	pick := (&httpproxy.Config{HTTPProxy: p.HTTP.Reveal(), HTTPSProxy: p.HTTPS.Reveal(), NoProxy: p.No}).ProxyFunc()
	t.Proxy = func(r *http.Request) (*url.URL, error) {
		u, err := pick(r.URL)
		if err != nil {
			return nil, errProxyAddress
		}
		return u, nil
	}
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
	errProxyAddress = errors.New("the address of the proxy cannot be used")
	errRedirects    = fmt.Errorf("more than %d redirects", maxRedirects)
)

// realmError says that a login would go to a server of somebody else.
type realmError struct{ realm string }

func (e *realmError) Error() string {
	return fmt.Sprintf("it names the token server %s, which is not of its domain; containerd would send the login there, and this command does not", e.realm)
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
		secret = secret || hostsconf.SecretHeader(name)
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
	t, _ := req.Context().Value(tapeKey{}).(*tape)
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
	if !g.secret || sameDomain(g.host, req.URL) {
		return g.inner.RoundTrip(req)
	}
	err := &realmError{req.URL.Scheme + "://" + req.URL.Host}
	if t, ok := req.Context().Value(tapeKey{}).(*tape); ok {
		t.exchanges = append(t.exchanges, exchange{host: req.URL.Host, token: true, err: err})
	}
	return nil, err
}

// sameDomain reports whether a token server belongs to a registry: it has the
// same name, or one of the same registered domain, and is not asked in the
// clear where the registry is not.
func sameDomain(h docker.RegistryHost, realm *url.URL) bool {
	if h.Scheme == "https" && realm.Scheme != "https" {
		return false
	}
	a, b := strings.ToLower(hostport.Host(h.Host)), strings.ToLower(realm.Hostname())
	if strings.Trim(a, "[]") == b {
		return true
	}
	x, err := publicsuffix.EffectiveTLDPlusOne(a)
	if err != nil {
		return false
	}
	y, err := publicsuffix.EffectiveTLDPlusOne(b)
	return err == nil && x == y
}

// afterIt is the host that stands for those that follow.
func afterIt() docker.RegistryHost {
	return docker.RegistryHost{
		Client: &http.Client{Transport: next{}}, Scheme: "https", Host: "next.invalid", Path: "/v2",
		Capabilities: docker.HostCapabilityPull | docker.HostCapabilityResolve,
	}
}

const defaultTimeout = 5 * time.Second
