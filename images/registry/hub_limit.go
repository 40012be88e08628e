package registry

import (
	"context"
	"net/http"

	"github.com/google/go-containerregistry/pkg/authn"

	"github.com/berth-registry/berth/images/transfer"
	"github.com/berth-registry/berth/internal/dockerhub"
	"github.com/berth-registry/berth/internal/dockerhublimit"
	"github.com/berth-registry/berth/internal/redact"
)

// HubLimit asks Docker Hub how many pulls are left, for the login of docker.io or else for this
// machine's address. The request does not count as a pull. who is the username, "" without a login.
func (a Access) HubLimit(ctx context.Context) (limit dockerhublimit.Limit, who string, err error) {
	return a.hubLimit(ctx, dockerhub.Server)
}

func (a Access) hubLimit(ctx context.Context, host string) (limit dockerhublimit.Limit, who string, err error) {
	ctx, cancel := context.WithTimeout(ctx, transfer.StallLimit)
	defer cancel()
	w := NewClient(a, 1, 0, nil)
	defer w.Close()
	settings := a.SettingsFor(dockerhub.Name, "")
	login, err := w.credential(ctx, dockerhub.Name, "", settings)
	if err != nil {
		return limit, "", err
	}
	config, err := authn.Authorization(ctx, login.auth)
	if err != nil {
		return limit, "", err
	}
	if settings.Host == "" {
		settings = a.SettingsFor(host, "")
	}
	client := &http.Client{Transport: &upstreamTransport{client: w, registry: host, settings: settings}}
	limit, err = dockerhublimit.Ask(ctx, client, host, config.Username, redact.New(config.Password))
	return limit, config.Username, err
}
