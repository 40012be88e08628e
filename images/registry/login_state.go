package registry

import (
	"context"
	"errors"
	"net/http"
	"sync"

	"github.com/google/go-containerregistry/pkg/authn"
)

// loginState is the result of the first use of a login.
type loginState struct {
	mu  sync.Mutex
	ok  bool
	err error // the refusal
}

// useLogin calls f, which uses a login; one call at a time until the login was accepted once. A
// refused login is not used again in this run: repeated refusals can lock an account, and all
// images of the registry would be refused anyway. After the first acceptance, a refusal concerns
// only the request.
func (r *Registry) useLogin(ctx context.Context, login credential, f func() error) error {
	if login.auth == authn.Anonymous {
		return f()
	}
	config, err := authn.Authorization(ctx, login.auth)
	if err != nil {
		return f() // it returns the same error
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

// checkLogin sends a login to /v2/, as docker login does, and returns an error if it is refused. A
// login for a path of the registry need not work there.
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
			return nil // later requests have their own answers
		}
		err = r.checkStatus(resp, "GET /v2/")
		if e, ok := errors.AsType[*statusError](err); ok {
			e.hint = login.hint(e)
		}
		return err
	})
}
