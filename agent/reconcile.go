package agent

import (
	"context"
	"errors"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/berth-registry/berth/agent/health"
	"github.com/berth-registry/berth/agent/status"
	"github.com/berth-registry/berth/config"
	"github.com/berth-registry/berth/credprovider"
	"github.com/berth-registry/berth/credprovider/ecr"
	"github.com/berth-registry/berth/hostsconf"
	"github.com/berth-registry/berth/internal/nodefs"
	"github.com/berth-registry/berth/node/desired"
	"github.com/berth-registry/berth/node/reconcile"
)

// errWarmingUp is the error of a first pass that waits for tokens or probes.
var errWarmingUp = errors.New("waiting for the first tokens or probes")

// reconcileOnce runs one pass: it reads the config and everything it depends on, and makes the
// node as it says. It returns the time until the next pass if nothing happens.
func (a *Agent) reconcileOnce(ctx context.Context) time.Duration {
	if !a.stillLocked(ctx) {
		return relockEvery
	}
	begin := time.Now()
	r := a.source.read()
	a.state.recordConfig(r, a.node.ConfigName(a.o.ConfigPath))
	a.watchFiles(r.cfg)
	var err error
	if r.cfg != nil {
		err = a.reconcile(ctx, r.cfg)
		if err != nil && ctx.Err() != nil {
			return 0 // stopped half-way; the next start continues
		}
	}
	pause := a.pause(err)
	if !errors.Is(err, errWarmingUp) {
		a.state.recordPass(begin, r.cfg != nil, err, pause)
		a.markReadyIfComplete()
	}
	if ok, why := a.watching(); ok {
		a.state.snapshot.Converge.Watching = status.Inotify
	} else {
		a.state.snapshot.Converge.Watching = "timer: " + why
	}
	a.logPass(ctx, r, err)
	a.publish()
	return pause
}

// reconcile computes the desired state for cfg and writes it.
func (a *Agent) reconcile(ctx context.Context, cfg *config.Config) error {
	in, err := a.node.Inputs(ctx, cfg, a.prober.Learned())
	if err != nil {
		return err
	}
	if a.withdrawEnabled = cfg.Health.Mode == config.HealthWithdraw; a.withdrawEnabled {
		a.loadHealth(ctx, time.Duration(cfg.Health.Interval))
		in.Health = a.prober
	}
	if cfg.Health.Mode != config.HealthOff {
		in.LoginPending = a.prober.LoginPending
	}
	helpers := cfg.Helpers()
	a.refresher.SetHelpers(a.helpers, helpers)
	in.HelperLogins = a.refresher.HelperLogins()
	states := in.Compute(cfg)
	if err := a.setTokens(cfg, states.Containerd.ECRRegistries); err != nil {
		return err
	}
	if registries := states.Containerd.ECRRegistries; len(registries) > 0 {
		in.Headers = a.headers(registries)
		states = in.Compute(cfg)
	}
	if files, tree := states.DockerFiles(cfg); tree != a.state.dockerTree || !slices.Equal(files, a.state.dockerFiles) {
		a.state.dockerFiles, a.state.dockerTree = files, tree
		a.Wake() // the next pass watches them
	}
	if files := states.ConfigJSONFiles(); !slices.Equal(files, a.state.kubeletFiles) {
		a.state.kubeletFiles = files
		a.Wake()
	}
	state := states.Containerd
	a.setProber(cfg, state)
	if a.warmingUp() && (a.tokensPending(state.ECRRegistries) || a.helpersPending(helpers, in.HelperLogins) ||
		state.HealthPending || a.loginsPending(state)) {
		return errWarmingUp
	}
	result, err := a.node.Converge(ctx, cfg, states, func() error {
		return errors.Join(a.saveState(), a.node.SaveHelperLogins(cfg, in.HelperLogins))
	})
	a.state.recordResult(cfg, states, in, result)
	a.logResult(ctx, result)
	return err
}

// warmingUp reports whether the first pass may still wait: until tokens and probes arrive, the
// files of an earlier agent are better than new ones.
func (a *Agent) warmingUp() bool {
	return a.state.snapshot.Converge.Runs == 0 && time.Since(a.lockedAt) < a.o.firstAnswers
}

// headers returns the headers for the tokens that the refresher has.
func (a *Agent) headers(registries []ecr.Registry) desired.Headers {
	headers := desired.Headers{}
	for _, r := range registries {
		if t, ok := a.refresher.Token(r); ok {
			headers[r.Host] = hostsconf.BasicAuthorization(t.Username, t.Password)
		}
	}
	return headers
}

// saveState writes the files that the next agent reads. The caller holds the node's lock.
func (a *Agent) saveState() error {
	return errors.Join(a.source.save(), a.saveHealth(), a.saveLearned())
}

// tokenSource is the refresher's access to AWS, and the settings that it was made from.
type tokenSource struct {
	tokens   *credprovider.Tokens
	madeFrom string
}

// setTokens sets the registries whose tokens the refresher keeps fresh. The refresher gets a
// new access to AWS only if the credentials in the config changed.
func (a *Agent) setTokens(cfg *config.Config, registries []ecr.Registry) error {
	rules := cfg.ProviderRules()
	made, err := credprovider.Rules{ECRSources: rules.ECRSources, ECRChains: rules.ECRChains, Proxy: rules.Proxy}.Encode()
	if err != nil {
		return err
	}
	if a.tokens.tokens == nil || a.tokens.madeFrom != string(made) {
		tokens, err := a.node.TokensOf(rules, a.log, nil) // the refresher logs the calls
		if err != nil {
			return err
		}
		a.tokens = tokenSource{tokens: tokens, madeFrom: string(made)}
	}
	a.refresher.Set(a.tokens.tokens, registries)
	return nil
}

// loginsPending reports whether some login is being probed for the first time.
func (a *Agent) loginsPending(state *desired.State) bool {
	return slices.ContainsFunc(state.Targets, func(t desired.Target) bool {
		return !t.ProbeHeader.IsZero() && a.prober.LoginPending(t.Host.URL)
	})
}

// tokensPending reports whether some registry has neither a token nor an error that explains
// why there is none.
func (a *Agent) tokensPending(registries []ecr.Registry) bool {
	failed := map[string]bool{}
	for _, s := range a.refresher.Status() {
		for _, host := range s.Hosts {
			failed[host] = s.LastError != ""
		}
	}
	for _, r := range registries {
		if _, ok := a.refresher.Token(r); !ok && !failed[r.Host] {
			return true
		}
	}
	return false
}

// helpersPending reports whether some credential helper has neither given a login nor failed.
func (a *Agent) helpersPending(helpers []credprovider.HelperSource, have credprovider.HelperLogins) bool {
	failed := map[string]bool{}
	for _, s := range a.refresher.Status() {
		for _, host := range s.Hosts {
			failed[host] = failed[host] || s.LastError != ""
		}
	}
	return slices.ContainsFunc(helpers, func(s credprovider.HelperSource) bool {
		_, ok := have[s.Registry]
		return !ok && !failed[s.Registry]
	})
}

// setProber sets the endpoints that the prober asks.
func (a *Agent) setProber(cfg *config.Config, state *desired.State) {
	endpoints := make([]health.Endpoint, 0, len(state.Targets))
	for _, t := range state.Targets {
		endpoints = append(endpoints, health.EndpointOf(t))
	}
	h := cfg.Health
	a.prober.Set(health.Settings{
		Mode: h.Mode, Interval: time.Duration(h.Interval), Timeout: time.Duration(h.Timeout),
		Failures: h.Failures, Successes: h.Successes, Proxy: cfg.Proxy,
	}, endpoints)
	a.setHub(cfg, state)
}

// watchFiles sets the files that the watcher watches; without a config only the place of the
// config and the lock.
func (a *Agent) watchFiles(cfg *config.Config) {
	files := append(a.node.ConfigFiles(a.o.ConfigPath), a.node.Root.Path(reconcile.AgentLockFile))
	var trees []string
	if cfg != nil {
		for _, f := range cfg.Files() {
			files = append(files, reconcile.Absolute(f))
		}
		trees = append(trees, a.node.Root.Path(path.Clean(cfg.Containerd.CertsDir)))
		files = append(files, a.node.Root.Path(credprovider.RulesFile))
		trees = append(trees, a.node.Root.Path(credprovider.TokenDir))
		a.containerd.setDir(cfg.Containerd.CertsDir)
		files = append(files, a.containerd.configFiles()...)
		for _, f := range slices.Concat(a.state.dockerFiles, a.state.kubeletFiles) {
			files = append(files, a.node.Root.Path(f))
		}
		if a.state.dockerTree != "" {
			trees = append(trees, a.node.Root.Path(a.state.dockerTree))
		}
	}
	a.watcher.Set(files, trees)
}

// isTransient reports whether a file name in a watched directory is one of the agent's own
// short-lived files.
func isTransient(name string) bool {
	return nodefs.Temporary(name) || strings.HasSuffix(name, ".lock") || strings.HasSuffix(name, ".json.tmp")
}

// markReadyIfComplete allows READY if the last pass had a good config, all tokens and no error.
func (a *Agent) markReadyIfComplete() {
	c := a.state.snapshot.Converge
	if !a.state.snapshot.Config.OK || c.LastSuccess.IsZero() || a.state.missingTokens {
		return
	}
	a.markReady()
}

func (a *Agent) markReady() {
	select {
	case <-a.readyForSystemd:
	default:
		close(a.readyForSystemd)
	}
}
