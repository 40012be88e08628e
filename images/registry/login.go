package registry

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"github.com/berth-registry/berth/credprovider"
	"github.com/berth-registry/berth/credprovider/ecr"
	"github.com/berth-registry/berth/internal/hostport"
)

// credential is the login for a repository.
type credential struct {
	auth authn.Authenticator // authn.Anonymous for none
	// from is its origin for messages: "the config".
	from string
	// registryOnly forbids to send it to a token service, whatever the registry says.
	registryOnly bool
	// pathOnly says that it is for a path of the registry and may not work for others.
	pathOnly bool
}

// registryToken returns the Bearer token of a login that is one itself, nil for other logins.
func (c credential) registryToken(ctx context.Context) *transport.Token {
	config, err := authn.Authorization(ctx, c.auth)
	if err != nil || config.RegistryToken == "" {
		return nil
	}
	return &transport.Token{Token: config.RegistryToken}
}

// hint says which login was refused; "" if e is no refusal of a login.
func (c credential) hint(e *statusError) string {
	switch {
	case !e.isDenied():
		return ""
	case c.auth == authn.Anonymous:
		return "no login is known for it: name one in the config under registries, or use docker login"
	}
	return "asked with the login of " + c.from
}

// credential returns the login for a repository. host is the registry as image names have it. A
// login that must not be sent is an error.
func (w *Client) credential(ctx context.Context, host, repository string, s Settings) (credential, error) {
	if l, ok := w.access.Logins.For(host, s.scheme(), repository); ok && l.Missing() {
		return credential{}, &credprovider.NoHelperLoginError{Registry: l.Name(), Program: l.Helper, Err: w.access.HelperErrors[l.Name()]}
	}
	c, ok := w.access.configured(host, repository, s)
	if !ok {
		var err error
		if c, err = w.lookUpOnce(ctx, host); err != nil {
			return credential{}, err
		}
	}
	if c.auth != authn.Anonymous && hostport.Exposed(s.scheme(), host) && !s.AllowPlainHTTPCredentials {
		return credential{}, fmt.Errorf("the login of %s is not sent over plain http; to allow it, set allowPlainHTTPCredentials in the entry of registries for %s", c.from, host)
	}
	return c, nil
}

// configured returns the login of the config.
func (a Access) configured(host, repository string, s Settings) (credential, bool) {
	l, ok := a.Logins.For(host, s.scheme(), repository)
	if !ok {
		return credential{}, false
	}
	return credential{auth: authenticatorOf(a.Helpers, l), from: "the config", pathOnly: l.Path != ""}, true
}

// authenticatorOf returns a login in the form of go-containerregistry. helpers may be nil.
func authenticatorOf(helpers *Helpers, l credprovider.Login) authn.Authenticator {
	switch {
	case l.FromHelper() && helpers != nil:
		return helperLogin{helpers, l.Name()}
	case l.Bearer:
		return authn.FromConfig(authn.AuthConfig{RegistryToken: l.Password.Reveal()})
	case l.Username == credprovider.TokenUser:
		return authn.FromConfig(authn.AuthConfig{IdentityToken: l.Password.Reveal()})
	}
	return &authn.Basic{Username: l.Username, Password: l.Password.Reveal()}
}

// lookUpOnce returns the login that docker or AWS has for a host. It looks once a run, because
// helpers are programs.
func (w *Client) lookUpOnce(ctx context.Context, host string) (credential, error) {
	w.loginsMu.Lock()
	defer w.loginsMu.Unlock()
	if f, ok := w.logins[host]; ok {
		return f.credential, f.err
	}
	c, err := w.access.lookUp(ctx, host)
	if ctx.Err() == nil {
		w.logins[host] = lookedUp{c, err}
	}
	return c, err
}

type lookedUp struct {
	credential credential
	err        error
}

func (a Access) lookUp(ctx context.Context, host string) (credential, error) {
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
		// Pulling from there needs no login.
		if _, err := login.AuthorizationContext(ctx); err != nil {
			return credential{auth: authn.Anonymous}, nil
		}
	}
	return credential{auth: login, from: "AWS", registryOnly: true}, nil
}

// ecrLogin is a login with an ECR token, which it renews: a large copy can take longer than a token
// is valid.
type ecrLogin struct {
	tokens   ECRTokens
	registry ecr.Registry

	mu    sync.Mutex
	token credprovider.Token
}

// Authorization implements authn.Authenticator.
func (l *ecrLogin) Authorization() (*authn.AuthConfig, error) {
	return l.AuthorizationContext(context.Background())
}

// AuthorizationContext implements authn.ContextAuthenticator.
func (l *ecrLogin) AuthorizationContext(ctx context.Context) (*authn.AuthConfig, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.token.Usable(time.Now()) {
		token, err := l.tokens.Get(ctx, l.registry)
		if err != nil {
			return nil, &loginError{err}
		}
		l.token = token
	}
	return &authn.AuthConfig{Username: l.token.Username, Password: l.token.Password.Reveal()}, nil
}

// loginError says that a login could not be got. It is not retried: the token source has retried
// already.
type loginError struct{ err error }

func (e *loginError) Error() string { return e.err.Error() }
func (e *loginError) Unwrap() error { return e.err }
