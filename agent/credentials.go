package agent

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"

	"github.com/berth-registry/berth/agent/config"
	"github.com/berth-registry/berth/credprovider"
)

// Credentials tells which credential goes where when image is pulled, given
// the config and what stands in certs.d. Without a config (nil) it goes by the
// rules that the credential provider has on this node.
func (m *Machine) Credentials(ctx context.Context, cfg *config.Config, image string, log *slog.Logger) (credprovider.Explanation, error) {
	rules, err := m.effectiveRules(ctx, cfg)
	if err != nil {
		return credprovider.Explanation{}, err
	}
	tokens, err := m.tokensOf(rules, log, log)
	if err != nil {
		return credprovider.Explanation{}, err
	}
	p := credprovider.Provider{Rules: rules, Tokens: tokens}
	return p.Explain(ctx, image)
}

func (m *Machine) effectiveRules(ctx context.Context, cfg *config.Config) (credprovider.Rules, error) {
	if cfg == nil {
		body, err := m.root.ReadFile(credprovider.RulesFile)
		if errors.Is(err, fs.ErrNotExist) {
			return credprovider.Rules{}, nil
		}
		if err != nil {
			return credprovider.Rules{}, err
		}
		return credprovider.ParseRules(body)
	}
	// Whether a host gets a header does not depend on the token's value.
	learned, err := m.learned()
	if err != nil {
		return credprovider.Rules{}, err
	}
	in := m.inputs(ctx, learned)
	in.Headers = Headers{}
	for _, r := range desire(cfg, in).ecrRegistries {
		in.Headers[r.Host] = placeholder
	}
	plan, err := m.plan(cfg, desire(cfg, in))
	if err != nil {
		return credprovider.Rules{}, err
	}
	return m.rules(cfg, plan, plan.Changes)
}
