package health

import (
	"errors"
	"net/http"
	"net/url"

	"golang.org/x/net/http/httpproxy"

	"github.com/berth-registry/berth/config"
)

// errProxyAddress does not quote the address, which may hold a login.
var errProxyAddress = errors.New("the proxy address is invalid")

// environment is the proxy that the process environment sets.
type environment struct{ httpproxy.Config }

// readEnvironment reads the variables that net/http reads, in the same order.
func readEnvironment(getenv func(string) string) environment {
	first := func(names ...string) string {
		for _, n := range names {
			if v := getenv(n); v != "" {
				return v
			}
		}
		return ""
	}
	return environment{httpproxy.Config{
		HTTPProxy:  first("HTTP_PROXY", "http_proxy"),
		HTTPSProxy: first("HTTPS_PROXY", "https_proxy"),
		NoProxy:    first("NO_PROXY", "no_proxy"),
		CGI:        getenv("REQUEST_METHOD") != "",
	}}
}

// choose returns the function that picks the proxy for a request: from the config if it sets
// anything, else from the environment.
func (e environment) choose(c config.Proxy) func(*http.Request) (*url.URL, error) {
	chosen := e.Config
	if c != (config.Proxy{}) {
		chosen = httpproxy.Config{
			HTTPProxy: c.HTTPProxy.Reveal(), HTTPSProxy: c.HTTPSProxy.Reveal(), NoProxy: c.NoProxy,
		}
	}
	// An address that cannot be parsed counts as none, as for containerd.
	pick := chosen.ProxyFunc()
	return func(r *http.Request) (*url.URL, error) {
		u, err := pick(r.URL)
		if err != nil {
			return nil, errProxyAddress
		}
		return u, nil
	}
}
