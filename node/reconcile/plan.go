package reconcile

import (
	"context"
	"errors"
	"path"
	"slices"

	"github.com/berth-registry/berth/config"
	"github.com/berth-registry/berth/hostsconf"
	"github.com/berth-registry/berth/internal/managedfile"
	"github.com/berth-registry/berth/internal/redact"
	"github.com/berth-registry/berth/node/desired"
)

// Plan is what [Node.Apply] would do.
type Plan struct {
	Desired hostsconf.Desired
	Changes []hostsconf.Change // below certs.d
	// Rules is true if the credential provider's rules are out of date.
	Rules   bool
	Notices []desired.Notice

	current         managedfile.Snapshot
	withdrawn       map[string][]hostsconf.Host // by upstream
	headerUncertain map[hostsconf.URL]bool      // see [desired.State]
}

// Differs reports whether the node is not as the config says.
func (p Plan) Differs() bool {
	return p.Rules || slices.ContainsFunc(p.Changes, hostsconf.IsDifference)
}

// Plan computes the desired state and compares it with the node. It writes nothing and sends no
// request: a token that apply would get is a placeholder. While an agent runs, the plan is what
// that agent would do: endpoints that it has withdrawn, and headers whose token it does not
// get, are left out. The files to be written are verified with containerd's own reader.
func (n *Node) Plan(ctx context.Context, cfg *config.Config) (Plan, error) {
	learned, err := n.Learned()
	if err != nil {
		return Plan{}, err
	}
	in, err := n.inputs(ctx, cfg, learned)
	if err != nil {
		return Plan{}, err
	}
	if in.Health, err = n.agentHealth(); err != nil {
		return Plan{}, err
	}
	state := desired.Compute(cfg, in)
	missing := 0
	if len(state.ECRRegistries) > 0 {
		tokens, err := n.tokens(cfg, nil)
		if err != nil {
			return Plan{}, err
		}
		fallback := tokenPlaceholder
		if in.Health != nil {
			fallback = redact.Secret{}
		}
		in.Headers, missing = cachedHeaders(tokens, state.ECRRegistries, fallback)
		state = desired.Compute(cfg, in)
	}
	plan, err := n.plan(cfg, state)
	if err != nil {
		return plan, err
	}
	plan.Notices = append(plan.Notices, state.UnprobedNotice(in.Readers)...)
	switch {
	case missing > 0 && in.Health != nil:
		plan.Notices = append(plan.Notices, desired.Notice{Subject: "ecr", Message: "a token is missing; its header is left out until the agent gets one; see \"berth status\""})
	case missing > 0:
		plan.Notices = append(plan.Notices, desired.Notice{Subject: "ecr", Message: "no token yet; apply gets one"})
	}
	if err := n.tree(cfg).Verify(ctx, plan.Desired, plan.Changes); err != nil {
		return plan, err
	}
	rules, err := n.rules(cfg, plan, plan.Changes)
	return plan, errors.Join(err, rules.CheckPodRoles())
}

func (n *Node) plan(cfg *config.Config, state *desired.State) (Plan, error) {
	plan := Plan{Notices: state.Notices, withdrawn: state.Withdrawn, headerUncertain: state.HeaderUncertain}
	var err error
	if plan.Desired, err = hostsconf.Build(cfg.Containerd.CertsDir, state.Directories); err != nil {
		return plan, err
	}
	if plan.current, err = n.tree(cfg).Read(plan.Desired); err != nil {
		return plan, err
	}
	plan.Changes = hostsconf.Plan(plan.Desired, plan.current)
	if err := n.addCrashNotices(cfg, &plan); err != nil {
		return plan, err
	}
	rules, err := n.rules(cfg, plan, plan.Changes)
	if err != nil {
		return plan, err
	}
	plan.Rules, err = n.rulesDiffer(rules)
	return plan, err
}

// addCrashNotices adds a notice to plan for each foreign file that makes containerd 1.6 and 1.7
// crash at a pull. Berth leaves the file alone, and its own files beside it do not prevent the
// crash.
func (n *Node) addCrashNotices(cfg *config.Config, plan *Plan) error {
	certsDir, err := n.Root.Resolve(cfg.Containerd.CertsDir)
	if err != nil {
		return err
	}
	for _, name := range hostsconf.Crashing(certsDir, plan.Changes, plan.current) {
		plan.Notices = append(plan.Notices, desired.Notice{
			Subject: path.Join(cfg.Containerd.CertsDir, name, "hosts.toml"),
			Message: "containerd 1.6 and 1.7 crash at a pull from " + hostsconf.UpstreamOf(name) +
				"; remove the keys between [host] and the next table",
		})
	}
	return nil
}
