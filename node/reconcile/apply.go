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
	"github.com/berth-registry/berth/credprovider"
	"github.com/berth-registry/berth/hostsconf"
	"github.com/berth-registry/berth/internal/managedfile"
)

// Result is what [Node.Apply] did.
type Result struct {
	Plan   Plan
	Report managedfile.Report
	Rules  bool // the credential provider's rules were updated
}

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

// writeAll writes the directories, the rules and kubelet's config.json. While containerd's
// directory changes, the provider gives a credential, and kubelet passes one, only to hosts that
// may have it both before and after.
func (n *Node) writeAll(ctx context.Context, cfg *config.Config, result *Result) error {
	plan := result.Plan
	changes := slices.ContainsFunc(plan.containerd().Changes, hostsconf.IsDifference)
	if changes {
		transition, err := n.writeTransitionRules(cfg, plan)
		if err == nil {
			err = n.reduceConfigJSON(ctx, cfg, result, transition)
		}
		if err != nil {
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
	var rules credprovider.Rules
	var err error
	if changes || plan.Rules {
		rules, err = n.rules(cfg, plan, withUndoneAsConflicts(plan.containerd().Changes, result.Report))
		if err == nil {
			err = n.writeRules(rules)
		}
		result.Rules = plan.Rules && err == nil
	}
	switch {
	case err != nil:
	case changes:
		err = n.writeConfigJSON(ctx, cfg, result, rules)
	default:
		err = n.applyConfigJSON(ctx, result, plan.ConfigJSON.Changes)
	}
	return errors.Join(append(errs, err)...)
}
