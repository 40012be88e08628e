package reconcile

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/berth-registry/berth/config"
	"github.com/berth-registry/berth/credprovider"
	"github.com/berth-registry/berth/credprovider/ecr"
	"github.com/berth-registry/berth/credprovider/ecr/client"
	"github.com/berth-registry/berth/hostsconf"
	"github.com/berth-registry/berth/internal/redact"
	"github.com/berth-registry/berth/node/desired"
)

// tokenPlaceholder replaces a token that apply would get.
var tokenPlaceholder = hostsconf.BasicAuthorization("AWS", redact.New("(berth apply gets a token here)"))

// tokenScope is the set of registries that one token serves: those of one service, region and
// credential chain.
type tokenScope struct {
	service   ecr.Service
	partition string
	region    string
	chain     string
}

func tokenScopeOf(r ecr.Registry) tokenScope {
	return tokenScope{service: r.Service(), partition: r.Partition, region: r.Region, chain: r.Chain}
}

// cachedHeaders returns the headers for the tokens that the node has, and fallback for the
// others; with a zero fallback the others have none.
func cachedHeaders(tokens *credprovider.Tokens, registries []ecr.Registry, fallback redact.Secret) (headers desired.Headers, missing int) {
	headers = desired.Headers{}
	for _, r := range registries {
		if t, ok := tokens.Cached(r); ok {
			headers[r.Host] = hostsconf.BasicAuthorization(t.Username, t.Password)
			continue
		}
		missing++
		if !fallback.IsZero() {
			headers[r.Host] = fallback
		}
	}
	return headers, missing
}

// TokenError names a registry without a token; its hosts.toml has no header.
type TokenError struct {
	Host string
	Err  error
}

// Error names the registry, the effect and the cause.
func (e *TokenError) Error() string {
	return fmt.Sprintf("%s: no ECR token, so its hosts.toml has no login: %v", e.Host, e.Err)
}

// Unwrap returns the cause.
func (e *TokenError) Unwrap() error { return e.Err }

// fetchHeaders gets one token for each tokenScope. The error joins a [TokenError] for each registry
// without one; the others have their header.
func fetchHeaders(ctx context.Context, tokens *credprovider.Tokens, registries []ecr.Registry) (desired.Headers, error) {
	type result struct {
		header redact.Secret
		err    error
	}
	headers := desired.Headers{}
	known := map[tokenScope]result{}
	var errs []error
	for _, r := range registries {
		got, ok := known[tokenScopeOf(r)]
		if !ok {
			t, err := tokens.Get(ctx, r)
			got = result{hostsconf.BasicAuthorization(t.Username, t.Password), err}
			known[tokenScopeOf(r)] = got
		}
		if got.err != nil {
			errs = append(errs, &TokenError{Host: r.Host, Err: got.err})
			continue
		}
		headers[r.Host] = got.header
	}
	return headers, errors.Join(errs...)
}

// tokens returns access to the token files of the node and to AWS.
func (n *Node) tokens(cfg *config.Config, log *slog.Logger) (*credprovider.Tokens, error) {
	return n.TokensOf(cfg.ProviderRules(), log, log)
}

// TokensOf is tokens for the rules of the credential provider; the result of each call to AWS
// is logged to calls.
func (n *Node) TokensOf(rules credprovider.Rules, log, calls *slog.Logger) (*credprovider.Tokens, error) {
	dir, err := n.Root.Resolve(credprovider.TokenDir)
	if err != nil {
		return nil, err
	}
	tokens := rules.Tokens(dir, ecr.Options{Log: calls, Client: client.New(client.Options{Proxy: rules.Proxy})})
	tokens.Log = log
	return tokens, nil
}
