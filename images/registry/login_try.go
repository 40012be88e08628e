package registry

import (
	"context"
	"errors"
	"net/http"
	"sync"

	"github.com/google/go-containerregistry/pkg/authn"
)

// loginState is what came of the first use of a login.
type loginState struct {
	mu  sync.Mutex
	ok  bool
	err error // that it was refused
}

// useLogin does f, which uses a login, alone until one has come through. A login that is refused is
// not used again in this run: many refusals lock an account, and every other image of the
// registry would be refused as well. Once it was taken, a refusal is about what was asked for.
func (r *Registry) useLogin(ctx context.Context, login credential, f func() error) error {
	if login.auth == authn.Anonymous {
		return f()
	}
	config, err := authn.Authorization(ctx, login.auth)
	if err != nil {
		return f() // which has the same error
	}
	t := r.loginStateOf(*config)
	t.mu.Lock()
	if t.ok {
		t.mu.Unlock()
		return f()
	}
	defer t.mu.Unlock()
	if t.err != nil {
		return t.err
	}
	err = f()
	refusal, refused := errors.AsType[*statusError](err)
	switch {
	case err == nil:
		t.ok = true
	case refused && refusal.status == http.StatusUnauthorized:
		t.err = err
	}
	return err
}

func (r *Registry) loginStateOf(config authn.AuthConfig) *loginState {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.logins == nil {
		r.logins = map[authn.AuthConfig]*loginState{}
	}
	t := r.logins[config]
	if t == nil {
		t = &loginState{}
		r.logins[config] = t
	}
	return t
}

// checkLogin sends the question of the specification with a login, as docker login does, and reports
// that the login is refused. A login for a path of the registry need not be good for the question.
func (r *Registry) checkLogin(ctx context.Context, login credential, way http.RoundTripper) error {
	if login.auth == authn.Anonymous || login.pathOnly || r.root != "/v2" {
		return nil
	}
	return r.retry(ctx, func(ctx context.Context) error {
		req, err := r.pingRequest(ctx)
		if err != nil {
			return err
		}
		resp, err := way.RoundTrip(req)
		if err != nil {
			return netErrorOf(ctx, r.name, err)
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusUnauthorized {
			drain(resp.Body)
			return nil // the requests that follow have their own answers
		}
		err = r.checkStatus(resp, "GET /v2/")
		if e, ok := errors.AsType[*statusError](err); ok {
			e.hint = login.hint(e)
		}
		return err
	})
}
