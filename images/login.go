package images

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"

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

// settings finds how a host is reached for a path of it. The permission to send
// a login over plain http is that of the entry the login is from, and for
// logins from elsewhere that of any entry.
func (a Access) settings(host, path string) Settings {
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

// credential is what a registry is given.
type credential struct {
	auth authn.Authenticator // authn.Anonymous for none
	// from tells people where it comes from: "the config".
	from string
	// here says that it goes to the registry itself and to no token service,
	// whatever the registry says.
	here bool
	// below says that it is for a path of the registry, and need not be good for all of it.
	below bool
}

// hint says with which login somebody was denied, or nothing.
func (c credential) hint(e *refusedError) string {
	switch {
	case !e.denied():
		return ""
	case c.auth == authn.Anonymous:
		return "no login is known for it: name one in the config under registries, or use docker login"
	}
	return "asked with the login of " + c.from
}

// credential finds the login for a repository. host is the registry as image
// names have it. A login that there is but that must not be used is an error.
func (w *wires) credential(ctx context.Context, host, repository string, s Settings) (credential, error) {
	c, ok := w.access.configured(host, repository, s)
	if !ok {
		var err error
		if c, err = w.found(ctx, host); err != nil {
			return credential{}, err
		}
	}
	if c.auth != authn.Anonymous && s.PlainHTTP && !hostport.IsLoopback(host) && !s.AllowPlainHTTPCredentials {
		return credential{}, fmt.Errorf("the login of %s is not sent over plain http; set allowPlainHTTPCredentials in the entry of registries for %s if it must be", c.from, host)
	}
	return c, nil
}

// configured is the login that the config has.
func (a Access) configured(host, repository string, s Settings) (credential, bool) {
	l, ok := a.Logins.For(host, s.scheme(), repository)
	if !ok {
		return credential{}, false
	}
	return credential{auth: &authn.Basic{Username: l.Username, Password: l.Password.Reveal()}, from: "the config", below: l.Path != ""}, true
}

// found is the login that docker or AWS has for a host, which is looked for once
// a run: helpers are programs.
func (w *wires) found(ctx context.Context, host string) (credential, error) {
	w.loginsMu.Lock()
	defer w.loginsMu.Unlock()
	if f, ok := w.logins[host]; ok {
		return f.credential, f.err
	}
	c, err := w.access.find(ctx, host)
	if ctx.Err() == nil {
		w.logins[host] = foundLogin{c, err}
	}
	return c, err
}

type foundLogin struct {
	credential credential
	err        error
}

func (a Access) find(ctx context.Context, host string) (credential, error) {
	if a.Docker != nil {
		reg, err := name.NewRegistry(host)
		if err != nil {
			return credential{}, err
		}
		auth, err := authn.Resolve(ctx, a.Docker, reg)
		if err != nil {
			return credential{}, fmt.Errorf("look for a login for %s in the docker config: %w", host, err)
		}
		if auth != authn.Anonymous {
			return credential{auth: auth, from: "the docker config"}, nil
		}
	}
	r, ok := a.ECRNames.Parse(host)
	if !ok || a.ECR == nil {
		return credential{auth: authn.Anonymous}, nil
	}
	login := &ecrLogin{tokens: a.ECR, registry: r}
	if r.Public {
		// Everybody may pull from there.
		if _, err := login.AuthorizationContext(ctx); err != nil {
			return credential{auth: authn.Anonymous}, nil
		}
	}
	return credential{auth: login, from: "AWS", here: true}, nil
}

// ecrLogin is a login with a token of ECR, which it renews: a large copy takes
// longer than a token lives.
type ecrLogin struct {
	tokens   ECRTokens
	registry ecr.Registry

	mu    sync.Mutex
	token credprovider.Token
}

// renewBefore is how much earlier than needed a token is replaced.
const renewBefore = 5 * time.Minute

// Authorization implements authn.Authenticator.
func (l *ecrLogin) Authorization() (*authn.AuthConfig, error) {
	return l.AuthorizationContext(context.Background())
}

// AuthorizationContext implements authn.ContextAuthenticator.
func (l *ecrLogin) AuthorizationContext(ctx context.Context) (*authn.AuthConfig, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if time.Until(l.token.Expires) < renewBefore {
		token, err := l.tokens.Get(ctx, l.registry)
		if err != nil {
			return nil, &loginError{err}
		}
		l.token = token
	}
	return &authn.AuthConfig{Username: l.token.Username, Password: l.token.Password.Reveal()}, nil
}

// loginError says that there is no login to be had. Whoever gives them has tried
// again already.
type loginError struct{ err error }

func (e *loginError) Error() string { return e.err.Error() }
func (e *loginError) Unwrap() error { return e.err }
