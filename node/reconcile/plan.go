package reconcile

import (
	"context"
	"errors"
	"maps"
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
	// Trees are containerd's directory and, if Berth writes there, Docker's.
	Trees []TreePlan
	// ConfigJSON is the plan for kubelet's own config.json.
	ConfigJSON ConfigJSONPlan
	// Rules is true if the credential provider's rules are out of date.
	Rules   bool
	Notices []desired.Notice
	// Credentials are the logins that hosts gain or lose; none if Berth has not been on the node.
	Credentials []CredentialChange
}

// TreePlan is the plan for one directory of hosts.toml files.
type TreePlan struct {
	Desired hostsconf.DesiredFiles
	Changes []hostsconf.Change

	tree            *hostsconf.Tree
	current         managedfile.Snapshot
	withdrawn       map[string][]hostsconf.Host // by upstream
	headerUncertain map[hostsconf.URL]bool      // see [desired.State]
}

// containerd is the plan for the directory that the rules of the credential provider are about.
func (p Plan) containerd() TreePlan {
	if len(p.Trees) == 0 {
		return TreePlan{} // the plan failed
	}
	return p.Trees[0]
}

// Changes lists the changes in all directories, and of kubelet's config.json.
func (p Plan) Changes() []hostsconf.Change {
	var all []hostsconf.Change
	for _, t := range p.Trees {
		all = append(all, t.Changes...)
	}
	return append(all, p.ConfigJSON.Changes...)
}

// Differs reports whether the node is not as the config says.
func (p Plan) Differs() bool {
	return p.Rules || slices.ContainsFunc(p.Changes(), hostsconf.IsDifference)
}

// Plan computes the desired state and compares it with the node. It writes nothing. A token that
// apply would get is a placeholder; registries are asked what they do with a login, as apply asks
// them, if [Node.ProbeLogins] is set. While an agent runs, the plan is what that agent would do:
// endpoints that it has withdrawn, and headers whose token it does not get, are left out. The files
// to be written are verified with containerd's own reader.
func (n *Node) Plan(ctx context.Context, cfg *config.Config) (Plan, error) {
	helperLogins, asked := n.storedHelperLogins(cfg)
	learned, _, err := n.learned(ctx, cfg, maps.Clone(helperLogins)) // no registry gets a placeholder
	if err != nil {
		return Plan{}, err
	}
	in, err := n.Inputs(ctx, cfg, learned.Facts)
	if err != nil {
		return Plan{}, err
	}
	if in.Health, err = n.agentHealth(); err != nil {
		return Plan{}, err
	}
	if in.HelperLogins = helperLogins; in.Health == nil {
		placeholders(asked, in.HelperLogins)
	}
	states := in.Compute(cfg)
	missing := 0
	if registries := states.Containerd.ECRRegistries; len(registries) > 0 {
		tokens, err := n.tokens(cfg, nil)
		if err != nil {
			return Plan{}, err
		}
		fallback := tokenPlaceholder
		if in.Health != nil {
			fallback = redact.Secret{}
		}
		in.Headers, missing = cachedHeaders(tokens, registries, fallback)
		states = in.Compute(cfg)
	}
	plan, err := n.plan(cfg, states)
	if err != nil {
		return plan, err
	}
	plan.Notices = append(plan.Notices, states.Containerd.UnprobedNotices()...)
	switch {
	case missing > 0 && in.Health != nil:
		plan.Notices = append(plan.Notices, desired.Notice{Subject: "ecr", Message: "a token is missing; its header is left out until the agent gets one; see \"berth status\""})
	case missing > 0:
		plan.Notices = append(plan.Notices, desired.Notice{Subject: "ecr", Message: "no token yet; apply gets one"})
	}
	for _, s := range asked {
		message := "its " + s.String() + " has given no login yet; apply asks it"
		if in.Health != nil {
			message = "its " + s.String() + " has given no login; its header is left out until the agent gets one; see \"berth status\""
		}
		plan.Notices = append(plan.Notices, desired.Notice{Subject: s.Registry, Message: message})
	}
	for _, t := range plan.Trees {
		if err := t.tree.Verify(ctx, t.Desired, t.Changes); err != nil {
			return plan, err
		}
	}
	rules, err := n.rules(cfg, plan, plan.containerd().Changes)
	if was, unreadable := n.installedRules(); err == nil && unreadable == nil && !was.Missing {
		plan.Credentials = credentialChanges(plan.Changes(), was, rules)
	}
	return plan, errors.Join(err, rules.CheckPodRoles())
}

func (n *Node) plan(cfg *config.Config, states States) (Plan, error) {
	plan := Plan{Notices: states.Notices(cfg)}
	trees := []*hostsconf.Tree{n.containerdTree(cfg)}
	wanted := []*desired.State{states.Containerd}
	if states.Docker != nil || states.docker.begun && !states.docker.shared {
		trees, wanted = append(trees, n.dockerTree(cfg)), append(wanted, states.Docker)
	}
	for i, tree := range trees {
		state := wanted[i]
		if state == nil {
			state = &desired.State{} // Berth's files are removed
		}
		t := TreePlan{tree: tree, withdrawn: state.Withdrawn, headerUncertain: state.HeaderUncertain}
		var err error
		if t.Desired, err = hostsconf.Build(tree.CertsDir(), state.Directories); err != nil {
			return plan, err
		}
		if t.current, err = tree.Read(t.Desired); err != nil {
			return plan, err
		}
		t.Changes = hostsconf.Plan(t.Desired, t.current)
		plan.Trees = append(plan.Trees, t)
	}
	if err := n.addCrashNotices(&plan); err != nil {
		return plan, err
	}
	rules, err := n.rules(cfg, plan, plan.containerd().Changes)
	if err != nil {
		return plan, err
	}
	checked := rules
	if cfg.Kubelet.ConfigJSON && slices.ContainsFunc(plan.containerd().Changes, hostsconf.IsDifference) {
		transition, err := n.transitionRules(cfg, plan)
		if err != nil {
			return plan, err
		}
		checked = presentFiles(rules, transition, plan)
	}
	if plan.ConfigJSON, err = n.configJSON(cfg, states, checked); err != nil {
		return plan, err
	}
	plan.Notices = slices.Concat(plan.Notices, plan.ConfigJSON.Notices, plan.ConfigJSON.summary())
	plan.Rules, err = n.rulesDiffer(rules)
	return plan, err
}

// addCrashNotices adds a notice to plan for each foreign file that makes containerd 1.6 and 1.7
// crash at a pull. Berth leaves the file alone, and its own files beside it do not prevent the
// crash.
func (n *Node) addCrashNotices(plan *Plan) error {
	t := plan.containerd()
	certsDir, err := n.Root.Resolve(t.tree.CertsDir())
	if err != nil {
		return err
	}
	for _, name := range hostsconf.Crashing(certsDir, t.Changes, t.current) {
		plan.Notices = append(plan.Notices, desired.Notice{
			Subject: path.Join(t.tree.CertsDir(), name, "hosts.toml"),
			Message: "containerd 1.6 and 1.7 crash at a pull from " + hostsconf.UpstreamOf(name) +
				"; remove the keys between [host] and the next table",
		})
	}
	return nil
}
