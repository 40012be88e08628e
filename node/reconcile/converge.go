package reconcile

import (
	"context"
	"errors"
	"fmt"
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

// Converge makes the node as states say. saveFirst, if it is not nil, runs first, under the same
// lock. A text that both errors have is in the result once.
func (n *Node) Converge(ctx context.Context, cfg *config.Config, states States, saveFirst func() error) (Result, error) {
	unlock, err := n.lock(ctx)
	if err != nil {
		return Result{}, err
	}
	defer unlock()
	var saveErr error
	if saveFirst != nil {
		saveErr = saveFirst()
	}
	plan, err := n.plan(cfg, states)
	if err != nil {
		return Result{}, joinDistinct(err, saveErr)
	}
	result := Result{Plan: plan}
	err = n.write(ctx, cfg, &result)
	return result, joinDistinct(err, saveErr)
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
