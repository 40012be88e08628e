package reconcile

import (
	"context"
	"errors"
	"log/slog"

	"github.com/berth-registry/berth/config"
	"github.com/berth-registry/berth/credprovider"
	"github.com/berth-registry/berth/node/desired"
)

// Credentials tells which credential goes where when image is pulled, given
// the config and what stands in certs.d. Without a config (nil) it goes by the
// rules that the credential provider has on this node. Where those are missing
// or no longer true, so that the provider withholds the credential, it says so.
func (n *Node) Credentials(ctx context.Context, cfg *config.Config, image string, log *slog.Logger) (credprovider.Explanation, error) {
	installed, unreadable := n.installedRules()
	rules, err := installed, unreadable
	if cfg != nil {
		rules, err = n.effectiveRules(ctx, cfg)
	}
	if err != nil {
		return credprovider.Explanation{}, err
	}
	tokens, err := n.TokensOf(rules, log, log)
	if err != nil {
		return credprovider.Explanation{}, err
	}
	p := credprovider.Provider{Rules: rules, Tokens: tokens, Resolve: n.Root.Resolve}
	e, err := p.Explain(ctx, image)
	if err != nil || cfg == nil {
		return e, err
	}
	if unreadable != nil {
		e.Credential, e.Err = nil, unreadable
		return e, nil
	}
	p.Rules = installed
	if withheld, ok := errors.AsType[*credprovider.WithheldError](p.Check(image)); ok && withheld.Changed != "" {
		e.Credential, e.Err = nil, withheld
	}
	return e, nil
}

// installedRules are those that the credential provider has on this node.
func (n *Node) installedRules() (credprovider.Rules, error) {
	file, err := n.Root.Resolve(credprovider.RulesFile)
	if err != nil {
		return credprovider.Rules{}, err
	}
	return credprovider.ReadRules(file)
}

// effectiveRules are those that apply would write, but for what the files hold:
// a token that is not here yet has a placeholder.
func (n *Node) effectiveRules(ctx context.Context, cfg *config.Config) (credprovider.Rules, error) {
	// Whether a host gets a header does not depend on the token's value.
	learned, err := n.Learned()
	if err != nil {
		return credprovider.Rules{}, err
	}
	in, err := n.inputs(ctx, cfg, learned)
	if err != nil {
		return credprovider.Rules{}, err
	}
	in.Headers = desired.Headers{}
	for _, r := range desired.Compute(cfg, in).ECRRegistries {
		in.Headers[r.Host] = placeholder
	}
	plan, err := n.plan(cfg, desired.Compute(cfg, in))
	if err != nil {
		return credprovider.Rules{}, err
	}
	rules, err := n.rules(cfg, plan, plan.Changes)
	rules.CertsDir = ""
	return rules, err
}
