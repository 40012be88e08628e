package registry

import (
	"context"
	"errors"
	"net/http"
	"net/url"

	"github.com/google/go-containerregistry/pkg/authn"

	"github.com/berth-registry/berth/credprovider"
	"github.com/berth-registry/berth/credprovider/ecr"
	"github.com/berth-registry/berth/internal/hostport"
	"github.com/berth-registry/berth/internal/redact"
)

// Access says how registries are reached, and which login is for which. The
// zero value reaches every registry over TLS with the authorities of the
// system, registries on this machine over plain http, and knows no login.
type Access struct {
	// Logins are those of the config, by host and path.
	Logins credprovider.Logins
	// Settings are the entries of the config. Of those that match by whole path
	// segments, the longest that says how the host is reached wins.
	Settings []Settings
	// Docker finds the logins of docker or podman; nil for none. It is asked
	// for registries that Logins do not cover, by host alone.
	Docker authn.Keychain
	// ECR gives tokens for the registries of Amazon that neither Logins nor
	// Docker covers; nil for none. ECRNames are further names of such
	// registries.
	ECR      ECRTokens
	ECRNames ecr.Names
	// Proxy chooses the proxy for a request; nil: the environment decides.
	Proxy func(*http.Request) (*url.URL, error)
}

// Settings say how a host, or a path of it, is reached.
type Settings struct {
	Host string // host[:port][/path], as credprovider.SplitHost takes apart
	// Login says that there is one for just this; Reach that the rest says how
	// to get there.
	Login, Reach bool
	// PlainHTTP: without TLS. A login goes along only with
	// AllowPlainHTTPCredentials in its own entry, or to this machine.
	PlainHTTP, AllowPlainHTTPCredentials bool
	// CA holds certificates of authorities (PEM) that are trusted beside the
	// system's. Cert and Key (PEM) are a client certificate.
	CA, Cert           []byte
	Key                redact.Secret
	InsecureSkipVerify bool
}

// scheme is how the host is asked.
func (s Settings) scheme() string {
	if s.PlainHTTP {
		return "http"
	}
	return "https"
}

// ECRTokens gives tokens for Amazon's registries. [credprovider.Tokens] does.
type ECRTokens interface {
	Get(ctx context.Context, r ecr.Registry) (credprovider.Token, error)
}

// ErrPlainHTTP says that a request would have gone over plain http where that
// is not allowed. Nothing was sent.
var ErrPlainHTTP = errors.New("plain http is for this machine only; set plainHTTP in an entry of registries for the host if it must be")

// SettingsFor finds how a host is reached for a path of it. The permission to send
// a login over plain http is that of the entry the login is from, and for
// logins from elsewhere that of any entry.
func (a Access) SettingsFor(host, path string) Settings {
	best := Settings{PlainHTTP: hostport.IsLoopback(host)}
	reach, login, allowed := -1, -1, false
	for _, s := range a.Settings {
		h, p := credprovider.SplitHost(s.Host)
		if !credprovider.SameHost(h, host, s.scheme()) || !credprovider.Within(path, p) {
			continue
		}
		if s.Reach && len(p) > reach {
			best, reach = s, len(p)
		}
		switch {
		case s.Login && len(p) > login:
			login, allowed = len(p), s.AllowPlainHTTPCredentials
		case login < 0 && s.AllowPlainHTTPCredentials:
			allowed = true
		}
	}
	best.AllowPlainHTTPCredentials = allowed
	return best
}
