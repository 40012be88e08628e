package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path"
	"slices"
	"time"

	"github.com/berth-registry/berth/config"
	"github.com/berth-registry/berth/hostsconf"
	"github.com/berth-registry/berth/internal/managedfile"
	"github.com/berth-registry/berth/internal/redact"
	nodes "github.com/berth-registry/berth/node"
)

// Where things are on a node, below the root.
const (
	ConfigFile    = "/etc/berth/config.yaml"
	StateDir      = managedfile.DefaultStateDir
	lockFile      = "/run/berth/lock"
	AgentLockFile = "/run/berth/agent.lock"
)

// lockPatience is how long a command waits for another one on the same node.
const lockPatience = 30 * time.Second

// ErrAgentRuns is returned by [Node.Restore] while an agent would undo it.
var ErrAgentRuns = errors.New("an agent runs on this machine and would undo it; stop it first")

// Node is the node whose files are written.
type Node struct {
	Root  *managedfile.Root
	Store *managedfile.Store
	// patience is how long a turn of another one is waited for.
	patience time.Duration

	Host    nodes.Host // the same node, to find its containerd
	running nodes.Running
}

// Open gives access to the node whose files lie below root, "/" for this one.
// The directory is made if it is absent; nothing else is written.
func Open(root string) (*Node, error) {
	r, err := managedfile.OpenRoot(root)
	if err != nil {
		return nil, err
	}
	store, err := managedfile.Open(r, StateDir, managedfile.WithPrivate(rulesName, LastGoodFile, HealthFile, LearnedFile))
	if err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return &Node{Root: r, Store: store, patience: lockPatience, Host: hostOf(r)}, nil
}

// Close lets go of the root.
func (n *Node) Close() error { return n.Root.Close() }

// ReadConfig reads the config at path, as this process names it, or, if path
// is "", the one of the node: see the function [ReadConfig].
func (n *Node) ReadConfig(path string) (config.File, error) { return ReadConfig(n.Root, path) }

// Plan is what [Node.Apply] would do.
type Plan struct {
	Desired hostsconf.Desired
	Changes []hostsconf.Change // below certs.d
	// Rules says that the credential provider's rules are out of date.
	Rules   bool
	Notices []Notice

	current   managedfile.Snapshot
	withdrawn map[string][]hostsconf.Host // by upstream
	idle      map[hostsconf.URL]bool      // see [desired.State]
}

// Differs reports whether the node is not as the config wants it.
func (p Plan) Differs() bool {
	return p.Rules || slices.ContainsFunc(p.Changes, hostsconf.IsDifference)
}

// Plan computes the desired state and compares. It writes nothing to the node
// and asks nobody: a token that apply would get is a placeholder. While an
// agent runs, what it has withdrawn is left out, and so is a token that it does
// not get: the plan is what the agent would do. What would be installed has been
// read back with containerd's own reader.
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
	state := Compute(cfg, in)
	missing := 0
	if len(state.ECRRegistries) > 0 {
		tokens, err := n.tokens(cfg, nil)
		if err != nil {
			return Plan{}, err
		}
		absent := placeholder
		if in.Health != nil {
			absent = redact.Secret{}
		}
		in.Headers, missing = cachedHeaders(tokens, state.ECRRegistries, absent)
		state = Compute(cfg, in)
	}
	plan, err := n.plan(cfg, state)
	if err != nil {
		return plan, err
	}
	plan.Notices = append(plan.Notices, state.UnprobedNotice(in.Readers)...)
	switch {
	case missing > 0 && in.Health != nil:
		plan.Notices = append(plan.Notices, Notice{"ecr", "a token is missing, so its header is left out until the agent gets one: see berth status"})
	case missing > 0:
		plan.Notices = append(plan.Notices, Notice{"ecr", "the token is not here yet; apply gets it"})
	}
	return plan, n.tree(cfg).Verify(ctx, plan.Desired, plan.Changes)
}

func (n *Node) plan(cfg *config.Config, state *State) (Plan, error) {
	plan := Plan{Notices: state.Notices, withdrawn: state.Withdrawn, idle: state.Idle}
	var err error
	if plan.Desired, err = hostsconf.Build(cfg.Containerd.CertsDir, state.Directories); err != nil {
		return plan, err
	}
	if plan.current, err = n.read(cfg, plan.Desired); err != nil {
		return plan, err
	}
	plan.Changes = hostsconf.Plan(plan.Desired, plan.current)
	if err := n.crashes(cfg, &plan); err != nil {
		return plan, err
	}
	rules, err := n.rules(cfg, plan, plan.Changes)
	if err != nil {
		return plan, err
	}
	plan.Rules, err = n.rulesDiffer(rules)
	return plan, err
}

// Result is what [Node.Apply] did.
type Result struct {
	Plan   Plan
	Report managedfile.Report
	Rules  bool // the credential provider's rules were brought up to date
}

// Apply converges once: it gets the tokens that headers need, and writes
// certs.d and what the credential provider has to know. The error joins what
// failed, each file by name, and a [TokenError] for each registry without a
// token; the rest is done all the same. Conflicts are in the result, they are
// no error.
func (n *Node) Apply(ctx context.Context, cfg *config.Config, log *slog.Logger) (Result, error) {
	learned, err := n.Learned()
	if err != nil {
		return Result{}, err
	}
	in, err := n.inputs(ctx, cfg, learned)
	if err != nil {
		return Result{}, err
	}
	var tokenErr error
	if registries := Compute(cfg, in).ECRRegistries; len(registries) > 0 {
		// AWS may be slow: nobody has to wait for it but us.
		tokens, err := n.tokens(cfg, log)
		if err != nil {
			return Result{}, err
		}
		in.Headers, tokenErr = fetchHeaders(ctx, tokens, registries)
	}
	result, err := n.Converge(ctx, cfg, Compute(cfg, in), nil)
	return result, errors.Join(err, tokenErr)
}

// Converge makes the node as state has it. also, if it is not nil, is done
// under the same lock, and before. The error tells everything once.
func (n *Node) Converge(ctx context.Context, cfg *config.Config, state *State, also func() error) (Result, error) {
	unlock, err := n.lock(ctx)
	if err != nil {
		return Result{}, err
	}
	defer unlock()
	var alsoErr error
	if also != nil {
		alsoErr = also()
	}
	plan, err := n.plan(cfg, state)
	if err != nil {
		return Result{}, joinDistinct(err, alsoErr)
	}
	result := Result{Plan: plan}
	err = n.write(ctx, cfg, &result)
	return result, joinDistinct(err, alsoErr)
}

// write carries a plan out. When it cannot, secrets that shall go go all the
// same.
func (n *Node) write(ctx context.Context, cfg *config.Config, result *Result) error {
	err := n.writeAll(ctx, cfg, result)
	switch {
	case err != nil:
		return errors.Join(err, n.removeExpiredSecrets(ctx, cfg, result))
	case len(result.Report.Skipped) == 0:
		return n.dropSpare()
	}
	return nil
}

// writeAll is the normal way. While certs.d changes, the provider gives a
// credential only to hosts that may have it before and after.
func (n *Node) writeAll(ctx context.Context, cfg *config.Config, result *Result) error {
	plan := result.Plan
	changes := slices.ContainsFunc(plan.Changes, hostsconf.IsDifference)
	if changes {
		if err := n.guardRules(cfg, plan); err != nil {
			return err
		}
	}
	var errs [2]error
	result.Report, errs[0] = n.tree(cfg).Apply(ctx, plan.Desired, plan.Changes)
	if changes || plan.Rules {
		rules, err := n.rules(cfg, plan, carriedOut(plan.Changes, result.Report))
		if err == nil {
			err = n.writeRules(rules)
		}
		errs[1] = err
		result.Rules = plan.Rules && err == nil
	}
	return errors.Join(errs[:]...)
}

// Restore puts every file back as it was before Berth, and nothing else.
// certsDirs are searched for files of ours whose record is lost.
func (n *Node) Restore(ctx context.Context, certsDirs ...string) (managedfile.Report, error) {
	agentLock, err := managedfile.LockFile(ctx, n.Root, AgentLockFile, false)
	if errors.Is(err, managedfile.ErrLocked) {
		return managedfile.Report{}, fmt.Errorf("%w (%w)", ErrAgentRuns, err)
	}
	if err != nil {
		return managedfile.Report{}, err
	}
	defer agentLock.Unlock()
	return n.RestoreAsAgent(ctx, certsDirs...)
}

// RestoreAsAgent is Restore for the one who is the only agent.
func (n *Node) RestoreAsAgent(ctx context.Context, certsDirs ...string) (managedfile.Report, error) {
	unlock, err := n.lock(ctx)
	if err != nil {
		return managedfile.Report{}, err
	}
	defer unlock()
	withheld := n.withholdAll()
	scopes := make([]managedfile.Scope, len(certsDirs))
	for i, dir := range certsDirs {
		scopes[i] = hostsconf.Scope(path.Clean(dir), false)
		if n.hasSpare() {
			// When it fails, one more copy is kept than is needed.
			_ = n.settle(ctx, scopes[i])
		}
	}
	report, err := n.Store.RestoreAll(ctx, scopes...)
	if err == nil {
		err = errors.Join(n.dropSpare(), n.placeholderRules())
	}
	return report, errors.Join(err, withheld)
}

// tree is certs.d as the config names it.
func (n *Node) tree(cfg *config.Config) *hostsconf.Tree {
	return hostsconf.NewTree(n.Store, cfg.Containerd.CertsDir, cfg.Containerd.OnConflict == config.ConflictAdopt, "")
}

// lock takes the turn of this process among agent, apply and restore.
func (n *Node) lock(ctx context.Context) (unlock func(), err error) {
	waiting, cancel := context.WithTimeout(ctx, n.patience)
	defer cancel()
	lock, err := managedfile.LockFile(waiting, n.Root, lockFile, true)
	var locked *managedfile.LockedError
	switch {
	case ctx.Err() == nil && errors.As(err, &locked):
		return nil, fmt.Errorf("%w for more than %s; run it again when that one has ended", locked, n.patience)
	case err != nil:
		return nil, err
	}
	return func() { lock.Unlock() }, nil
}
