package credprovider

import (
	"context"
	"fmt"

	"github.com/berth-registry/berth/credprovider/ecr"
)

// Tokens returns the tokens of the files in dir, with the chains of the rules to get missing ones
// from AWS. options are for every chain; its Sources are ignored.
func (r Rules) Tokens(dir string, options ecr.Options) *Tokens {
	chain := func(sources []ecr.Source) *ecr.Chain {
		options.Sources = sources
		return ecr.NewChain(options)
	}
	t := &Tokens{Dir: dir, Chain: chain(r.ECRSources), Now: options.Now}
	for name, sources := range r.ECRChains {
		if t.Chains == nil {
			t.Chains = map[string]*ecr.Chain{}
		}
		t.Chains[name] = chain(sources)
	}
	return t
}

// chain returns the only chain that may get tokens for a registry, nil if it is missing.
func (t *Tokens) chain(r ecr.Registry) *ecr.Chain {
	if r.Chain == "" {
		return t.Chain
	}
	return t.Chains[r.Chain]
}

// known returns an error for a registry whose chain is missing.
func (t *Tokens) known(r ecr.Registry) error {
	if t.chain(r) == nil {
		return fmt.Errorf("%s: its credentials %q are missing in the rules; run: berth apply", r.Host, r.Chain)
	}
	return nil
}

// CreateRepository is [ecr.Chain.CreateRepository] with the chain of r.
func (t *Tokens) CreateRepository(ctx context.Context, r ecr.Registry, name string) error {
	if err := t.known(r); err != nil {
		return err
	}
	return t.chain(r).CreateRepository(ctx, r, name)
}
