package registry

import (
	"context"
	"sync"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"

	"github.com/berth-registry/berth/credprovider"
)

// retryHelper is how long a helper that failed is not asked again while its last answer serves.
const retryHelper = time.Minute

// Helpers ask credential helpers again during a run: a large copy can take longer than an answer is
// valid. They ask when refresh has passed, or at three quarters of the life of an answer that says
// when it expires. While the helper fails, its last answer serves until it can be used no longer.
// Several goroutines may use them.
type Helpers struct {
	ask     func(context.Context, credprovider.HelperSource) (credprovider.HelperLogin, error)
	sources map[string]credprovider.HelperSource // by the login's name
	now     func() time.Time

	mu    sync.Mutex
	last  credprovider.HelperLogins
	retry map[string]time.Time
}

// NewHelpers returns the helpers of sources, whose answers so far are last. ask runs one.
func NewHelpers(sources []credprovider.HelperSource, last credprovider.HelperLogins,
	ask func(context.Context, credprovider.HelperSource) (credprovider.HelperLogin, error),
) *Helpers {
	h := &Helpers{ask: ask, sources: map[string]credprovider.HelperSource{}, now: time.Now, last: last, retry: map[string]time.Time{}}
	for _, s := range sources {
		h.sources[s.Registry] = s
	}
	return h
}

// login returns the login of a name. The error is a *[credprovider.NoHelperLoginError].
func (h *Helpers) login(ctx context.Context, name string) (credprovider.HelperLogin, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	s, l, now := h.sources[name], h.last[name], h.now()
	if now.Before(l.NextRefresh(s.Refresh, 1)) || now.Before(h.retry[name]) {
		return l, nil
	}
	fresh, err := h.ask(ctx, s)
	if err == nil {
		h.last[name] = fresh
		return fresh, nil
	}
	if _, ok := h.last.Usable(s, now); !ok {
		return l, &credprovider.NoHelperLoginError{Registry: name, Program: s.Program, Err: err}
	}
	h.retry[name] = now.Add(retryHelper)
	return l, nil
}

// helperLogin is the login of a credential helper, at each moment.
type helperLogin struct {
	helpers *Helpers
	name    string
}

// Authorization implements authn.Authenticator.
func (l helperLogin) Authorization() (*authn.AuthConfig, error) {
	return l.AuthorizationContext(context.Background())
}

// AuthorizationContext implements authn.ContextAuthenticator.
func (l helperLogin) AuthorizationContext(ctx context.Context) (*authn.AuthConfig, error) {
	answer, err := l.helpers.login(ctx, l.name)
	if err != nil {
		return nil, &loginError{err}
	}
	return &authn.AuthConfig{Username: answer.Username, Password: answer.Password.Reveal()}, nil
}
