package hublimit

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"github.com/berth-registry/berth/internal/redact"
)

// Hub is Docker Hub's registry.
const Hub = "registry-1.docker.io"

// preview is the repository that Docker keeps for this question.
const preview = "ratelimitpreview/test"

// Ask asks the registry at host (use [Hub]; a test has its own) for the limit
// that holds for a login, or for this machine's address when username is "".
// It sends two or three requests through client. A redirect is an error, so that
// no other host can ask for the login. The errors are of one line and free of
// secrets.
func Ask(ctx context.Context, client *http.Client, host, username string, password redact.Secret) (Limit, error) {
	reg, err := name.NewRegistry(host)
	if err != nil {
		return Limit{}, fmt.Errorf("%s: %w", host, err)
	}
	var login authn.Authenticator = authn.Anonymous
	if username != "" {
		login = &authn.Basic{Username: username, Password: password.Reveal()}
	}
	inner := client.Transport
	if inner == nil {
		inner = http.DefaultTransport
	}
	authorized, err := transport.NewWithContext(ctx, reg, login, straight{inner}, []string{reg.Repo(preview).Scope(transport.PullScope)})
	if err != nil {
		return Limit{}, fmt.Errorf("%s: %w", host, plain(err))
	}
	url := reg.Scheme() + "://" + reg.RegistryStr() + "/v2/" + preview + "/manifests/latest"
	req, err := http.NewRequestWithContext(ctx, http.MethodHead, url, nil)
	if err != nil {
		return Limit{}, fmt.Errorf("%s: %w", host, err)
	}
	resp, err := (&http.Client{Transport: authorized}).Do(req)
	if err != nil {
		return Limit{}, fmt.Errorf("%s: %w", host, plain(err))
	}
	resp.Body.Close()
	limit, err := Parse(resp.Header)
	switch {
	// Docker Hub sends the numbers with a refusal, too.
	case errors.Is(err, ErrNone) && resp.StatusCode == http.StatusOK:
		return Limit{}, nil
	case errors.Is(err, ErrNone):
		return Limit{}, fmt.Errorf("%s answered %d", host, resp.StatusCode)
	case err != nil:
		return Limit{}, fmt.Errorf("%s: %w", host, err)
	}
	return limit, nil
}

// straight refuses redirects. Docker Hub has none for what is asked here.
type straight struct{ inner http.RoundTripper }

func (s straight) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := s.inner.RoundTrip(req)
	if err == nil && resp.StatusCode >= 300 && resp.StatusCode < 400 {
		resp.Body.Close()
		return nil, errors.New("it redirects to another address")
	}
	return resp, err
}

// plain is an error without the addresses in it, which may hold what is not
// for a log, and without the body of an answer.
func plain(err error) error {
	if refusal, ok := errors.AsType[*transport.Error](err); ok {
		return fmt.Errorf("it answered %d", refusal.StatusCode)
	}
	for {
		inner := errors.Unwrap(err)
		if inner == nil {
			return err
		}
		err = inner
	}
}
