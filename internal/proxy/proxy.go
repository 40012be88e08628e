// Package proxy holds the settings of an HTTP proxy and chooses the proxy for a
// request as net/http does: variables HTTP_PROXY, HTTPS_PROXY and NO_PROXY, or
// the same values from a config. Loopback addresses are never proxied.
package proxy

import (
	"errors"
	"net/http"
	"net/url"
	"strings"

	"golang.org/x/net/http/httpproxy"

	"github.com/berth-registry/berth/internal/redact"
)

// Settings are the values of the three variables. The zero value means: no proxy.
// The URLs of HTTP and HTTPS may hold a login, so they are redacted.
type Settings struct {
	HTTP, HTTPS redact.Secret
	No          string
}

// ErrAddress is the error of the function that [Settings.Func] returns. It does
// not quote the address, which may hold a login.
var ErrAddress = errors.New("the proxy address is invalid")

// FromEnvironment reads the variables in the order of net/http: upper case first.
// Like net/http, it passes over an address that cannot be parsed.
func FromEnvironment(getenv func(string) string) Settings {
	first := func(upper string) string {
		if v := getenv(upper); v != "" {
			return v
		}
		return getenv(strings.ToLower(upper))
	}
	address := func(upper string) redact.Secret {
		if s := redact.New(first(upper)); valid(s) {
			return s
		}
		return redact.Secret{}
	}
	return Settings{address("HTTP_PROXY"), address("HTTPS_PROXY"), first("NO_PROXY")}
}

// valid reports whether s is "", a URL or host:port.
func valid(s redact.Secret) bool {
	address := s.Reveal()
	if address == "" {
		return true
	}
	if !strings.Contains(address, "://") {
		address = "http://" + address
	}
	u, err := url.Parse(address)
	return err == nil && u.Host != ""
}

// Or returns s, or other if s sets nothing. No alone is a setting: it means that
// no proxy is used.
func (s Settings) Or(other Settings) Settings {
	if s == (Settings{}) {
		return other
	}
	return s
}

// Func returns the function for [http.Transport.Proxy]. It fails with [ErrAddress]
// for every request if an address cannot be parsed.
func (s Settings) Func() func(*http.Request) (*url.URL, error) {
	if !valid(s.HTTP) || !valid(s.HTTPS) {
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
