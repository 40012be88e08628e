package reconcile

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/berth-registry/berth/config"
	"github.com/berth-registry/berth/credprovider"
	"github.com/berth-registry/berth/node/desired"
)

// Credentials explains which host gets which credential when image is pulled, by the config and
// the files in certs.d. Without a config (nil) it uses the installed rules of the credential
// provider. If these are missing or out of date, so that the provider withholds the credential,
// the explanation says so.
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
	if cfg != nil {
		var logins credprovider.HelperLogins
		logins, p.HelperErrors = n.HelperLogins(ctx, cfg)
		p.Rules.Registries = logins.FillAll(p.Rules.Registries)
	} else if dir, err := n.Root.Resolve(StateDir); err == nil {
		p.HelperErrors = p.Rules.UseHelperLogins(dir, time.Now())
	}
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

// installedRules reads the rules that the credential provider has on this node.
func (n *Node) installedRules() (credprovider.Rules, error) {
	file, err := n.Root.Resolve(credprovider.RulesFile)
	if err != nil {
		return credprovider.Rules{}, err
	}
	return credprovider.ReadRules(file)
}

// effectiveRules are the rules that apply would write, except for the digests of files: a
// missing token has a placeholder.
func (n *Node) effectiveRules(ctx context.Context, cfg *config.Config) (credprovider.Rules, error) {
	// Whether a host gets a header does not depend on the token's value.
	learned, err := n.Learned()
	if err != nil {
		return credprovider.Rules{}, err
	}
	in, err := n.Inputs(ctx, cfg, learned.Facts)
	if err != nil {
		return credprovider.Rules{}, err
	}
	in.HelperLogins = credprovider.HelperLogins{}
	placeholders(cfg.Helpers(), in.HelperLogins)
	in.Headers = desired.Headers{}
	for _, r := range in.Compute(cfg).Containerd.ECRRegistries {
		in.Headers[r.Host] = tokenPlaceholder
	}
	plan, err := n.plan(cfg, in.Compute(cfg))
	if err != nil {
		return credprovider.Rules{}, err
	}
	rules, err := n.rules(cfg, plan, plan.containerd().Changes)
	rules.CertsDir = ""
	return rules, err
}
