package ecr

import (
	"errors"
	"net/http"
	"net/url"
	"strings"

	"golang.org/x/net/http/httpproxy"

	"github.com/berth-registry/berth/internal/redact"
)

// Proxy is the proxy for requests to ECR and STS. The zero value takes it from the process
// environment. The metadata service is never asked through a proxy.
type Proxy struct {
	// A proxy's URL may carry a login, so it is not shown.
	HTTP, HTTPS redact.Secret
	No          string
}

// choose returns the function that chooses the proxy of a request. Unlike that of net/http, its
// error does not quote the address.
func (p Proxy) choose() func(*http.Request) (*url.URL, error) {
	malformed := errors.New("the address of the proxy is malformed")
	cfg := httpproxy.FromEnvironment()
	if p != (Proxy{}) {
		// httpproxy ignores an address that it cannot parse.
		if !isProxy(p.HTTP.Reveal()) || !isProxy(p.HTTPS.Reveal()) {
			return func(*http.Request) (*url.URL, error) { return nil, malformed }
		}
		cfg = &httpproxy.Config{HTTPProxy: p.HTTP.Reveal(), HTTPSProxy: p.HTTPS.Reveal(), NoProxy: p.No}
	}
	pick := cfg.ProxyFunc()
	return func(r *http.Request) (*url.URL, error) {
		u, err := pick(r.URL)
		if err != nil {
			return nil, malformed
		}
		return u, nil
	}
}

// isProxy accepts host:port and urls, and "" for none.
func isProxy(s string) bool {
	if s == "" {
		return true
	}
	if !strings.Contains(s, "://") {
		s = "http://" + s
	}
	u, err := url.Parse(s)
	return err == nil && u.Host != ""
}
