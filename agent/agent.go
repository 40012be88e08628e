package agent

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/berth-registry/berth/agent/health"
	"github.com/berth-registry/berth/agent/status"
	"github.com/berth-registry/berth/agent/tokens"
	"github.com/berth-registry/berth/agent/watch"
	"github.com/berth-registry/berth/node/probestate"
	"github.com/berth-registry/berth/node/reconcile"
)

// Options say how an [Agent] runs.
type Options struct {
	// ConfigPath is the RegistryConfig as this process sees it; "" is the file
	// /etc/berth/config.yaml below the node's root.
	ConfigPath string
	// Listen is the host:port of the status page; "" serves none.
	Listen string
	// Restore puts the node back as it was before Berth, and keeps it so.
	Restore bool
	// Version is the build that the status page and the metrics show.
	Version string
	// Pool is the name of the node's pool in a fleet, for page and metrics; "" if it has none.
	Pool string
	Log  *slog.Logger
	// Reload starts a pass of the loop for each signal, as SIGHUP does; nil is allowed.
	Reload <-chan os.Signal

	// resync is the longest time between two passes of the loop when nothing happens; 0 is a
	// minute, or 10 seconds without inotify.
	resync time.Duration
	// watchUnavailable keeps the agent from using inotify.
	watchUnavailable bool
	// firstAnswers is how long the first pass waits for tokens and probes; 0 is the constant of
	// this name.
	firstAnswers time.Duration
	// random replaces the random numbers of refresher and prober.
	random func() float64
	// listening is called with the address that the status page listens on.
	listening func(addr string)
}

// Agent keeps a node as its config says.
type Agent struct {
	o       Options
	node    *reconcile.Node
	log     *slog.Logger
	started time.Time

	wake       chan struct{} // capacity 1: the loop has to run
	source     *configSource
	refresher  *tokens.Refresher
	helpers    reconcile.Helpers
	prober     *health.Prober
	watcher    *watch.Watcher
	containerd *containerdMonitor

	// Used by the goroutine that waits for the lock, then by the loop alone:
	lock       agentLock
	tokens     tokenSource
	state      state
	logged     logged
	savedFiles map[string][]byte // content of the private files that this agent wrote, by name
	loginKey   []byte            // HMAC key for the hashes of logins in learned.json
	// withdrawEnabled is true if endpoints that do not answer are left out of hosts.toml.
	withdrawEnabled bool
	lockedAt        time.Time               // when this agent got the lock
	earlierHealth   *probestate.SavedHealth // health.json of an earlier agent; nil before it is read

	published       atomic.Pointer[pageState]
	lastProgress    atomic.Int64  // last sign of life of the loop, in nanoseconds since started
	readyForSystemd chan struct{} // closed when READY may be sent to systemd
}

// New makes an agent for a node. It starts nothing before [Agent.Run].
func New(m *reconcile.Node, o Options) *Agent {
	a := &Agent{
		o: o, node: m, log: o.Log, started: time.Now(),
		wake:            make(chan struct{}, 1),
		source:          &configSource{node: m, path: o.ConfigPath},
		lock:            agentLock{root: m.Root},
		readyForSystemd: make(chan struct{}),
		state:           newState(),
		savedFiles:      map[string][]byte{},
	}
	if a.o.firstAnswers == 0 {
		a.o.firstAnswers = firstAnswers
	}
	l, err := m.Learned()
	if err != nil {
		// The prober learns it again.
		a.log.Warn("learned.json cannot be read; registries are probed again", "error", err)
	}
	l = l.WithKey()
	a.loginKey = l.Key
	a.containerd = newContainerdMonitor(m)
	a.helpers = reconcile.Helpers{Node: m}
	a.refresher = tokens.New(tokens.Options{Log: o.Log, Changed: a.Wake, Rand: o.random})
	a.prober = health.New(health.Options{Log: o.Log, Changed: a.Wake, Rand: o.random, LoginKey: l.Key})
	a.prober.RestoreFacts(l.Facts)
	a.watcher = watch.New(watch.Options{Log: o.Log, Wake: a.Wake, Root: m.Root.Path("/"), Ignore: isTransient})
	a.recordProgress()
	a.publish()
	return a
}

// Wake makes the loop run soon. It never blocks.
func (a *Agent) Wake() {
	select {
	case a.wake <- struct{}{}:
	default: // a wake-up is already pending
	}
}

// Run keeps the node as the config says until ctx is done, and then returns nil. First it waits
// until no other agent runs on the machine. An error means that it cannot work at all.
func (a *Agent) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return a.notify(ctx) })
	if a.o.Listen != "" {
		// Also while the agent waits for the lock, so that the page shows why.
		group.Go(func() error { return a.serve(ctx) })
	}
	group.Go(func() error {
		locked, err := a.waitForLock(ctx)
		if err != nil || !locked {
			return err
		}
		defer a.lock.release()
		return a.work(ctx)
	})
	return group.Wait()
}

// work runs the parts of an agent that holds the lock.
func (a *Agent) work(ctx context.Context) error {
	a.lockedAt = time.Now()
	a.state.enter(status.Converging)
	a.publish()
	group, ctx := errgroup.WithContext(ctx)
	if a.o.Reload != nil {
		group.Go(func() error { a.reload(ctx); return nil })
	}
	if a.o.Restore {
		group.Go(func() error { return a.restore(ctx) })
		return group.Wait()
	}
	group.Go(func() error { return a.refresher.Run(ctx) })
	group.Go(func() error { return a.prober.Run(ctx) })
	group.Go(func() error { return a.containerd.run(ctx, a.Wake) })
	if !a.o.watchUnavailable {
		group.Go(func() error { return a.watcher.Run(ctx) })
	}
	group.Go(func() error { return a.loop(ctx) })
	return group.Wait()
}

// reload wakes the loop for each signal.
func (a *Agent) reload(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-a.o.Reload:
			a.log.InfoContext(ctx, "reload requested")
			a.Wake()
		}
	}
}

// recordProgress records that the loop is alive.
func (a *Agent) recordProgress() { a.lastProgress.Store(int64(time.Since(a.started))) }

// stuckAfter is the time without a sign of life after which the loop counts as stuck. The first
// apply of 10,000 upstreams takes about 20 seconds on a slow disk.
const stuckAfter = 3 * time.Minute

// Alive returns why the agent has to be restarted, nil if it is alive.
func (a *Agent) Alive() error {
	// Monotonic time: a change of the wall clock must not count.
	if idle := time.Since(a.started) - time.Duration(a.lastProgress.Load()); idle > stuckAfter {
		return fmt.Errorf("reconcile loop: no progress for %s; restart the agent", idle.Round(time.Second))
	}
	return nil
}
