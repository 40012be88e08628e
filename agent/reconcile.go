package agent

import (
	"context"
	"errors"
	"path"
	"strings"
	"time"

	"github.com/berth-registry/berth/agent/health"
	"github.com/berth-registry/berth/agent/status"
	"github.com/berth-registry/berth/config"
	"github.com/berth-registry/berth/credprovider"
	"github.com/berth-registry/berth/credprovider/ecr"
	"github.com/berth-registry/berth/hostsconf"
	"github.com/berth-registry/berth/internal/managedfile"
	"github.com/berth-registry/berth/node/desired"
	"github.com/berth-registry/berth/node/reconcile"
)

// errWarmingUp says that the first turn waits: for tokens, and for what the
// mirrors say of themselves.
var errWarmingUp = errors.New("the first tokens or probes are not here yet")

// reconcileOnce looks at everything once and makes the node as the config wants it. It
// gives how long nothing may happen until the next one.
func (a *Agent) reconcileOnce(ctx context.Context) time.Duration {
	if !a.stillLocked(ctx) {
		return relockEvery
	}
	begin := time.Now()
	r := a.source.read()
	a.state.config(r, a.node.ConfigName(a.o.ConfigPath))
	a.watchFiles(r.cfg)
	var err error
	if r.cfg != nil {
		err = a.reconcile(ctx, r.cfg)
		if err != nil && ctx.Err() != nil {
			return 0 // stopped half-way; the next start goes on
		}
	}
	pause := a.pause(err)
	if !errors.Is(err, errWarmingUp) {
		a.state.turn(begin, r.cfg != nil, err, pause)
		a.finish()
	}
	if ok, why := a.watching(); ok {
		a.state.snapshot.Converge.Watching = status.Inotify
	} else {
		a.state.snapshot.Converge.Watching = "timer: " + why
	}
	a.logTurn(ctx, r, err)
	a.publish()
	return pause
}

// reconcile does the work of a turn.
func (a *Agent) reconcile(ctx context.Context, cfg *config.Config) error {
	in := desired.Inputs{Readers: a.node.Readers(ctx), Learned: a.prober.Learned()}
	var err error
	if in.Foreign, err = a.node.ForeignCertificates(cfg); err != nil {
		return err
	}
	if a.withdraws = cfg.Health.Mode == config.HealthWithdraw; a.withdraws {
		a.loadHealth(ctx, time.Duration(cfg.Health.Interval))
		in.Health = a.prober
	}
	state := desired.Compute(cfg, in)
	if err := a.setTokens(cfg, state.ECRRegistries); err != nil {
		return err
	}
	if len(state.ECRRegistries) > 0 {
		in.Headers = a.headers(state.ECRRegistries)
		state = desired.Compute(cfg, in)
	}
	a.setProber(cfg, state)
	if a.warmingUp() && (a.probesPending(state.ECRRegistries) || state.Unsure) {
		return errWarmingUp
	}
	result, err := a.node.Converge(ctx, cfg, state, a.keep)
	a.state.result(cfg, state, in, result)
	a.logResult(ctx, result)
	return err
}

// warmingUp reports whether the first turn may still wait: what stands in certs.d
// is better than what is known now.
func (a *Agent) warmingUp() bool {
	return a.state.snapshot.Converge.Runs == 0 && time.Since(a.startedAt) < a.o.firstAnswers
}

// headers are those of the tokens that the refresher has.
func (a *Agent) headers(registries []ecr.Registry) desired.Headers {
	headers := desired.Headers{}
	for _, r := range registries {
		if t, ok := a.refresher.Token(r); ok {
			headers[r.Host] = hostsconf.BasicAuthorization(t.Username, t.Password)
		}
	}
	return headers
}

// keep writes what has to outlive this process. The lock is held.
func (a *Agent) keep() error {
	return errors.Join(a.source.save(), a.saveHealth(), a.saveLearned())
}

// tokenSource is the access to AWS that the refresher has, and what it was made
// from.
type tokenSource struct {
	tokens *credprovider.Tokens
	made   string
}

// setTokens tells the refresher which tokens are wanted. It gets a new access to
// AWS only when the config has other credentials.
func (a *Agent) setTokens(cfg *config.Config, registries []ecr.Registry) error {
	rules := config.ProviderRules(cfg)
	made, err := credprovider.Rules{ECRSources: rules.ECRSources, ECRChains: rules.ECRChains, Proxy: rules.Proxy}.Encode()
	if err != nil {
		return err
	}
	if a.tokens.tokens == nil || a.tokens.made != string(made) {
		tokens, err := a.node.TokensOf(rules, a.log, nil) // the refresher logs what is new
		if err != nil {
			return err
		}
		a.tokens = tokenSource{tokens: tokens, made: string(made)}
	}
	a.refresher.Set(a.tokens.tokens, registries)
	return nil
}

// probesPending reports whether for some registry there is neither a token nor a
// reason why there is none.
func (a *Agent) probesPending(registries []ecr.Registry) bool {
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

// setProber tells the prober what to look at.
func (a *Agent) setProber(cfg *config.Config, state *desired.State) {
	endpoints := make([]health.Endpoint, 0, len(state.Targets))
	for _, t := range state.Targets {
		endpoints = append(endpoints, health.Endpoint{
			URL: t.Host.URL, TLS: t.Host.TLS.Material(), Header: t.Host.Header, Authorization: t.Try, Learn: !t.Try.IsZero(),
		})
	}
	h := cfg.Health
	a.prober.Set(health.Settings{
		Mode: h.Mode, Interval: time.Duration(h.Interval), Timeout: time.Duration(h.Timeout),
		Failures: h.Failures, Successes: h.Successes, Proxy: cfg.Proxy,
	}, endpoints)
	a.setHub(cfg)
}

// watchFiles tells the watcher what to look at: with no config, where it has
// to come.
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
		a.engine.set(cfg.Containerd.CertsDir)
		files = append(files, a.engine.watched()...)
	}
	a.watcher.Set(files, trees)
}

// passing reports whether a name in a watched tree comes and goes by our own
// writing.
func passing(name string) bool {
	return managedfile.Temporary(name) || strings.HasSuffix(name, ".lock") || strings.HasSuffix(name, ".json.tmp")
}

// finish allows READY once a turn had everything that it needed.
func (a *Agent) finish() {
	c := a.state.snapshot.Converge
	if !a.state.snapshot.Config.OK || c.LastSuccess.IsZero() || a.state.missingTokens {
		return
	}
	a.finishNow()
}

func (a *Agent) finishNow() {
	select {
	case <-a.settled:
	default:
		close(a.settled)
	}
}
