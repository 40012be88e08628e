package dockerhublimit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"github.com/berth-registry/berth/internal/dockerhub"
	"github.com/berth-registry/berth/internal/redact"
)

// preview is the repository that Docker provides for this request.
const preview = "ratelimitpreview/test"

const (
	// accept lists the manifest types that containerd accepts.
	accept = "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, " +
		"application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.docker.distribution.manifest.v2+json"
	maxAnswer = 64 << 10
)

// Service is the registry and token service to ask.
type Service struct {
	Registry string // scheme and host
	// Token is the address of the token service with the parameter service; "" if the registry
	// needs no token.
	Token string
}

// DockerHub returns Docker Hub's own service. The address of its token service is fixed here and
// not taken from an answer.
func DockerHub() Service {
	return Service{Registry: "https://" + dockerhub.Server, Token: dockerhub.TokenServer + "/token?service=registry.docker.io"}
}

// Ask returns the limit for a login, or for this machine's IP address if username is "". It sends
// two requests through rt: a GET for a token, with the login, and a HEAD with that token, which
// does not count as a pull. No redirect is followed, so no other host can request the login. Errors
// are one line and contain no secrets, as far as those of rt contain none.
func (s Service) Ask(ctx context.Context, rt http.RoundTripper, username string, password redact.Secret) (Limit, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodHead, s.Registry+"/v2/"+preview+"/manifests/latest", nil)
	if err != nil {
		return Limit{}, errors.New("the address of the registry cannot be used")
	}
	req.Header.Set("Accept", accept)
	if s.Token != "" {
		token, err := s.token(ctx, rt, username, password)
		if err != nil {
			return Limit{}, fmt.Errorf("no token: %w", err)
		}
		req.Header.Set("Authorization", "Bearer "+token.Reveal())
	}
	resp, err := send(rt, req)
	if err != nil {
		return Limit{}, err
	}
	resp.Body.Close()
	limit, err := Parse(resp.Header)
	switch {
	case resp.StatusCode >= http.StatusInternalServerError:
		return Limit{}, refused(req, resp)
	// Docker Hub sends the numbers with a refusal too.
	case errors.Is(err, ErrNone) && resp.StatusCode == http.StatusOK:
		return Limit{Counted: counted(resp.Header)}, nil
	case errors.Is(err, ErrNone):
		return Limit{}, refused(req, resp)
	case err != nil:
		return Limit{}, fmt.Errorf("%s: %w", req.URL.Host, err)
	}
	return limit, nil
}

// token requests a token for the preview repository.
func (s Service) token(ctx context.Context, rt http.RoundTripper, username string, password redact.Secret) (redact.Secret, error) {
	var none redact.Secret
	u, err := url.Parse(s.Token)
	if err != nil {
		return none, errors.New("the address of the token service cannot be used")
	}
	query := u.Query()
	query.Set("scope", "repository:"+preview+":pull")
	u.RawQuery = query.Encode()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return none, errors.New("the address of the token service cannot be used")
	}
	if username != "" {
		req.SetBasicAuth(username, password.Reveal())
	}
	resp, err := send(rt, req)
	if err != nil {
		return none, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return none, refused(req, resp)
	}
	var answer struct {
		Token string `json:"token"`
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxAnswer)).Decode(&answer); err != nil || answer.Token == "" {
		return none, fmt.Errorf("%s: the answer holds no token", req.URL.Host)
	}
	if strings.ContainsFunc(answer.Token, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return none, fmt.Errorf("%s: the answer holds no token that can be sent", req.URL.Host)
	}
	return redact.New(answer.Token), nil
}

// send sends one request and follows no redirect.
func send(rt http.RoundTripper, req *http.Request) (*http.Response, error) {
	req.Header.Set("User-Agent", "berth (pull limit)")
	resp, err := noRedirect{rt}.RoundTrip(req)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", req.URL.Host, withoutAddresses(err))
	}
	return resp, nil
}

func refused(req *http.Request, resp *http.Response) error {
	return fmt.Errorf("%s answered %d", req.URL.Host, resp.StatusCode)
}

// Ask is [Service.Ask] for a host that names its own token service: Docker Hub, or a replacement
// for it. It sends one more request, without the login, and two more if the host is on loopback,
// which may use plain http. Requests use client's transport.
func Ask(ctx context.Context, client *http.Client, host, username string, password redact.Secret) (Limit, error) {
	rt := client.Transport
	if rt == nil {
		rt = http.DefaultTransport
	}
	s, err := discover(ctx, rt, host)
	if err != nil {
		return Limit{}, fmt.Errorf("%s: %w", host, withoutAddresses(err))
	}
	return s.Ask(ctx, rt, username, password)
}

// discover asks a registry for its token service.
func discover(ctx context.Context, rt http.RoundTripper, host string) (Service, error) {
	reg, err := name.NewRegistry(host)
	if err != nil {
		return Service{}, err
	}
	challenge, err := transport.Ping(ctx, reg, noRedirect{rt})
	if err != nil {
		return Service{}, err
	}
	s := Service{Registry: "https://" + reg.RegistryStr()}
	if challenge.Insecure {
		s.Registry = "http://" + reg.RegistryStr()
	}
	switch strings.ToLower(challenge.Scheme) {
	case "":
		return s, nil
	case "bearer":
		realm, err := url.Parse(challenge.Parameters["realm"])
		if err != nil || realm.Host == "" {
			return s, errors.New("it names no token service")
		}
		query := realm.Query()
		query.Set("service", challenge.Parameters["service"])
		realm.RawQuery = query.Encode()
		s.Token = realm.String()
		return s, nil
	}
	return s, errors.New("it does not accept tokens, unlike Docker Hub")
}

// noRedirect refuses redirects. Docker Hub sends none for these requests.
type noRedirect struct{ inner http.RoundTripper }

func (s noRedirect) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := s.inner.RoundTrip(req)
	if err == nil && resp.StatusCode >= 300 && resp.StatusCode < 400 {
		resp.Body.Close()
		return nil, errors.New("it redirects to another address")
	}
	return resp, err
}

// withoutAddresses returns an error without addresses, which may contain secrets, and without the
// body of an answer.
func withoutAddresses(err error) error {
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
