package reconcile

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/berth-registry/berth/config"
	"github.com/berth-registry/berth/hostsconf"
	"github.com/berth-registry/berth/internal/managedfile"
)

// Result is what [Node.Apply] did.
type Result struct {
	Plan   Plan
	Report managedfile.Report
	Rules  bool // the credential provider's rules were updated
}

// Apply makes the node as cfg says, once: it gets the tokens that headers need, and writes
// certs.d and the rules of the credential provider. The error joins all that failed, each file
// by name, a [TokenError] for each registry without a token and a [HelperError] for each one whose
// credential helper fails; everything else is still written. Conflicts are in the result, they are no error.
func (n *Node) Apply(ctx context.Context, cfg *config.Config, log *slog.Logger) (Result, error) {
	learned, err := n.Learned()
	if err != nil {
		return Result{}, err
	}
	in, err := n.Inputs(ctx, cfg, learned.Facts)
	if err != nil {
		return Result{}, err
	}
	var tokenErr error
	if registries := in.Compute(cfg).Containerd.ECRRegistries; len(registries) > 0 {
		// Before the lock is taken: AWS may be slow, and others wait for the lock.
		tokens, err := n.tokens(cfg, log)
		if err != nil {
			return Result{}, err
		}
		in.Headers, tokenErr = fetchHeaders(ctx, tokens, registries)
	}
	var helperErrs map[string]error
	in.HelperLogins, helperErrs = n.HelperLogins(ctx, cfg)
	for _, s := range cfg.Helpers() {
		if err := helperErrs[s.Registry]; err != nil {
			tokenErr = errors.Join(tokenErr, &HelperError{Registry: s.Registry, Err: err})
		}
	}
	result, err := n.Converge(ctx, cfg, in.Compute(cfg), func() error { return n.SaveHelperLogins(cfg, in.HelperLogins) })
	return result, errors.Join(err, tokenErr)
}

// Converge makes the node as states say. also, if it is not nil, runs first, under the same
// lock. A text that both errors have is in the result once.
func (n *Node) Converge(ctx context.Context, cfg *config.Config, states States, also func() error) (Result, error) {
	unlock, err := n.lock(ctx)
	if err != nil {
		return Result{}, err
	}
	defer unlock()
	var alsoErr error
	if also != nil {
		alsoErr = also()
	}
	plan, err := n.plan(cfg, states)
	if err != nil {
		return Result{}, joinDistinct(err, alsoErr)
	}
	result := Result{Plan: plan}
	err = n.write(ctx, cfg, &result)
	return result, joinDistinct(err, alsoErr)
}

// write carries a plan out. If that fails, expired secrets are still removed.
func (n *Node) write(ctx context.Context, cfg *config.Config, result *Result) error {
	err := n.writeAll(ctx, cfg, result)
	if err != nil {
		err = errors.Join(err, n.removeExpiredSecrets(ctx, result))
	}
	return err
}

// writeAll writes the directories and the rules. While containerd's directory changes, the provider gives a credential
// only to hosts that may have it both before and after.
func (n *Node) writeAll(ctx context.Context, cfg *config.Config, result *Result) error {
	plan := result.Plan
	changes := slices.ContainsFunc(plan.containerd().Changes, hostsconf.IsDifference)
	if changes {
		if err := n.writeTransitionRules(cfg, plan); err != nil {
			return err
		}
	}
	var errs []error
	for i, t := range plan.Trees {
		report, err := t.tree.Apply(ctx, t.Desired, t.Changes)
		errs = append(errs, err)
		if i > 0 && errors.Is(err, unix.EROFS) {
			dir := path.Dir(t.tree.CertsDir())
			errs = append(errs, fmt.Errorf("%s: cannot be written; if it was made after the service started: systemctl restart berth", dir))
		}
		result.Report.Add(report)
	}
	if changes || plan.Rules {
		rules, err := n.rules(cfg, plan, withUndoneAsConflicts(plan.containerd().Changes, result.Report))
		if err == nil {
			err = n.writeRules(rules)
		}
		errs = append(errs, err)
		result.Rules = plan.Rules && err == nil
	}
	return errors.Join(errs...)
}
