// Package proxy holds the settings of an HTTP proxy: the variables HTTP_PROXY, HTTPS_PROXY and
// NO_PROXY, or the same values from a config. It links no network code; package transport chooses
// the proxy for a request.
package proxy

import (
	"net/url"
	"strings"

	"github.com/berth-registry/berth/internal/redact"
)

// Settings are the values of the three variables. The zero value means: no proxy.
// The URLs of HTTP and HTTPS may hold a login, so they are redacted.
type Settings struct {
	HTTP, HTTPS redact.Secret
	No          string
}

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
		if s := redact.New(first(upper)); Valid(s) {
			return s
		}
		return redact.Secret{}
	}
	return Settings{address("HTTP_PROXY"), address("HTTPS_PROXY"), first("NO_PROXY")}
}

// Valid reports whether s is "", a URL or host:port.
func Valid(s redact.Secret) bool {
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
