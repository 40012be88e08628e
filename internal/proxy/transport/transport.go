// Package transport chooses the proxy for a request from the settings of package proxy, as net/http
// does: loopback addresses are never proxied.
package transport

import (
	"errors"
	"net/http"
	"net/url"

	"golang.org/x/net/http/httpproxy"

	"github.com/berth-registry/berth/internal/proxy"
)

// ErrAddress is the error of the function that [Proxy] returns. It does not quote the address,
// which may hold a login.
var ErrAddress = errors.New("the proxy address is invalid")

// Proxy returns the function for [http.Transport.Proxy]. It fails with [ErrAddress] for every
// request if an address cannot be parsed.
func Proxy(s proxy.Settings) func(*http.Request) (*url.URL, error) {
	if !proxy.Valid(s.HTTP) || !proxy.Valid(s.HTTPS) {
		return func(*http.Request) (*url.URL, error) { return nil, ErrAddress }
	}
	choose := (&httpproxy.Config{HTTPProxy: s.HTTP.Reveal(), HTTPSProxy: s.HTTPS.Reveal(), NoProxy: s.No}).ProxyFunc()
	return func(r *http.Request) (*url.URL, error) {
		u, err := choose(r.URL)
		if err != nil {
			return nil, ErrAddress
		}
		return u, nil
	}
}
