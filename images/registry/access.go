package registry

import (
	"context"
	"errors"
	"net/http"
	"net/url"

	"github.com/google/go-containerregistry/pkg/authn"

	"github.com/berth-registry/berth/config"
	"github.com/berth-registry/berth/credprovider"
	"github.com/berth-registry/berth/credprovider/ecr"
	"github.com/berth-registry/berth/internal/hostport"
	"github.com/berth-registry/berth/internal/redact"
)

// Access holds how registries are reached, and their logins. The zero value reaches every registry
// over TLS with the system's CAs, registries on this machine over plain http, and has no login.
type Access struct {
	// Logins are the logins of the config, by host and path.
	Logins credprovider.Logins
	// Helpers ask for the logins of credential helpers again; nil: those in Logins are for the whole
	// run.
	Helpers *Helpers
	// HelperErrors are reasons why credential helpers gave no login, by the login's name.
	HelperErrors map[string]error
	// Settings are the entries of the config. Of the entries that match by whole path segments and
	// have Reach, the longest wins.
	Settings []Settings
	// Docker finds logins of docker or podman; nil for none. It is asked by host alone, for
	// registries without an entry in Logins.
	Docker authn.Keychain
	// ECR gets tokens for Amazon's registries without a login in Logins and Docker; nil for none.
	// ECRNames are further names of such registries.
	ECR      ECRTokens
	ECRNames ecr.Names
	// Proxy chooses the proxy for a request; nil: the environment decides.
	Proxy func(*http.Request) (*url.URL, error)
}

// Settings hold how a host, or a path of it, is reached.
type Settings struct {
	Host string // host[:port][/path], for credprovider.SplitHost
	// Login says that the entry has a login of its own; Reach that its other fields are set.
	Login, Reach bool
	// PlainHTTP: without TLS. A login is sent only with AllowPlainHTTPCredentials in the entry of
	// the login, or to this machine.
	PlainHTTP, AllowPlainHTTPCredentials bool
	// CA holds CA certificates (PEM) that are trusted in addition to the system's. Cert and Key
	// (PEM) are a client certificate.
	CA, Cert           []byte
	Key                redact.Secret
	InsecureSkipVerify bool
}

// SettingsOf returns the settings that a config has for its registries.
func SettingsOf(cfg *config.Config) []Settings {
	var all []Settings
	for _, r := range cfg.Registries {
		all = append(all, Settings{
			Host: r.Host, Login: r.HasLogin(), Reach: r.SaysHowToReach(),
			PlainHTTP: r.PlainHTTP, AllowPlainHTTPCredentials: r.AllowPlainHTTPCredentials,
			CA: r.TLS.CA, Cert: r.TLS.Cert, Key: r.TLS.Key, InsecureSkipVerify: r.TLS.InsecureSkipVerify,
		})
	}
	return all
}

// scheme is http or https.
func (s Settings) scheme() string { return hostport.Scheme(s.PlainHTTP) }

// ECRTokens gets tokens for Amazon's registries. It is implemented by [credprovider.Tokens].
type ECRTokens interface {
	Get(ctx context.Context, r ecr.Registry) (credprovider.Token, error)
}

// ErrPlainHTTP says that a request was not sent, because plain http is not allowed for its host.
var ErrPlainHTTP = errors.New("plain http is for this machine only; to allow it, set plainHTTP in an entry of registries for the host")

// SettingsFor returns how a path of a host is reached. The permission to send a login over plain
// http comes from the entry of the login; for other logins, from any entry that matches.
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
