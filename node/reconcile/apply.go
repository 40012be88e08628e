package reconcile

import (
	"context"
	"errors"
	"log/slog"

	"github.com/berth-registry/berth/config"
)

// Apply makes the node as cfg says, once: it gets the tokens and logins that headers need, asks
// registries what they do with a login if [Node.ProbeLogins] is set, and writes certs.d and the rules
// of the credential provider. The error joins all that failed, each file by name, a [TokenError] for
// each registry without a token and a [HelperError] for each one whose credential helper fails;
// everything else is still written. Conflicts are in the result, they are no error.
func (n *Node) Apply(ctx context.Context, cfg *config.Config, log *slog.Logger) (Result, error) {
	// Before the lock is taken: helpers, registries and AWS may be slow, and others wait for the lock.
	helperLogins, helperErrs := n.HelperLogins(ctx, cfg)
	learned, probed, err := n.learned(ctx, cfg, helperLogins)
	if err != nil {
		return Result{}, err
	}
	in, err := n.Inputs(ctx, cfg, learned.Facts)
	if err != nil {
		return Result{}, err
	}
	in.HelperLogins = helperLogins
	var tokenErr error
	for _, s := range cfg.Helpers() {
		if err := helperErrs[s.Registry]; err != nil {
			tokenErr = errors.Join(tokenErr, &HelperError{Registry: s.Registry, Err: err})
		}
	}
	if registries := in.Compute(cfg).Containerd.ECRRegistries; len(registries) > 0 {
		tokens, err := n.tokens(cfg, log)
		if err != nil {
			return Result{}, err
		}
		var headerErr error
		in.Headers, headerErr = fetchHeaders(ctx, tokens, registries)
		tokenErr = errors.Join(tokenErr, headerErr)
	}
	save := func() error {
		err := n.SaveHelperLogins(cfg, in.HelperLogins)
		if probed {
			err = errors.Join(err, n.saveLearned(learned))
		}
		return err
	}
	states := in.Compute(cfg)
	result, err := n.Converge(ctx, cfg, states, save)
	result.Plan.Notices = append(result.Plan.Notices, states.Containerd.UnprobedNotices()...)
	return result, errors.Join(err, tokenErr)
}
