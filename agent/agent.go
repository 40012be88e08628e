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
	// ConfigPath is the RegistryConfig as this process sees it; "" is the one
	// at [ConfigFile] below the machine's root.
	ConfigPath string
	// Listen is host:port of the status page; "" serves none.
	Listen string
	// Restore puts the node back as it was before Berth, and keeps it so.
	Restore bool
	// Version is what the page and the metrics call this build.
	Version string
	Log     *slog.Logger
	// Reload wakes the agent, as SIGHUP does; nil: nothing does.
	Reload <-chan os.Signal

	// resync is the time between two looks at everything when nothing
	// happens; 0: a minute, or 10 seconds without inotify.
	resync time.Duration
	// blind keeps the agent from using inotify.
	watchUnavailable bool
	// firstAnswers is how long the first turn waits; 0: see the constant.
	firstAnswers time.Duration
	// random replaces the dice of refresher and prober.
	random func() float64
	// listening is called with the address that Listen became.
	listening func(addr string)
}

// Agent keeps a node as its config says.
type Agent struct {
	o       Options
	node    *reconcile.Node
	log     *slog.Logger
	started time.Time

	wake      chan struct{} // capacity 1: something happened
	source    *source
	refresher *tokens.Refresher
	prober    *health.Prober
	watcher   *watch.Watcher
	engine    *containerdView

	// Of the goroutine that waits, and then of the loop:
	lock   agentLock
	tokens tokenSource
	state  state
	logged logged
	kept   map[string][]byte // what stands in private files, by name
	key    []byte            // of what is learned
	// withdraws says that what does not answer is left out.
	withdraws bool
	startedAt time.Time               // when this one was the only agent
	restored  *probestate.SavedHealth // what an earlier agent saw; nil before it was looked up

	shown   atomic.Pointer[view]
	beat    atomic.Int64  // when the loop last went round, in nanoseconds since started
	settled chan struct{} // closed when systemd may be told READY
}

// New makes an agent for a machine. It does nothing until [Agent.Run].
func New(m *reconcile.Node, o Options) *Agent {
	a := &Agent{
		o: o, node: m, log: o.Log, started: time.Now(),
		wake:    make(chan struct{}, 1),
		source:  &source{machine: m, path: o.ConfigPath},
		lock:    agentLock{root: m.Root},
		settled: make(chan struct{}),
		state:   newState(),
		kept:    map[string][]byte{},
	}
	if a.o.firstAnswers == 0 {
		a.o.firstAnswers = firstAnswers
	}
	l, err := m.Learned()
	if err != nil {
		// Only what is learned is lost, and it is learned again.
		a.log.Warn("what was learned about registries cannot be read", "error", err)
	}
	l = l.WithKey()
	a.key = l.Key
	a.engine = newContainerdView(m)
	a.refresher = tokens.New(tokens.Options{Log: o.Log, Changed: a.Wake, Rand: o.random})
	a.prober = health.New(health.Options{Log: o.Log, Changed: a.Wake, Rand: o.random, LoginKey: l.Key})
	a.prober.RestoreFacts(l.Facts)
	a.watcher = watch.New(watch.Options{Log: o.Log, Wake: a.Wake, Root: m.Root.Path("/"), Ignore: passing})
	a.watchdog()
	a.publish()
	return a
}

// Wake makes the agent look at everything again. It never blocks.
func (a *Agent) Wake() {
	select {
	case a.wake <- struct{}{}:
	default: // it is going to look anyhow
	}
}

// Run converges the node until ctx is done, and returns nil then. It first
// waits until no other agent runs on this machine. An error means that it
// cannot work at all.
func (a *Agent) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return a.notify(ctx) })
	if a.o.Listen != "" {
		// Also while it waits: somebody wants to know why nothing happens.
		group.Go(func() error { return a.serve(ctx) })
	}
	group.Go(func() error {
		alone, err := a.waitForLock(ctx)
		if err != nil || !alone {
			return err
		}
		defer a.lock.release()
		return a.work(ctx)
	})
	return group.Wait()
}

// work runs everything that an agent consists of.
func (a *Agent) work(ctx context.Context) error {
	a.startedAt = time.Now()
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
	group.Go(func() error { return a.engine.run(ctx, a.Wake) })
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
			a.log.InfoContext(ctx, "reload asked for")
			a.Wake()
		}
	}
}

// watchdog notes that the loop is alive.
func (a *Agent) watchdog() { a.beat.Store(int64(time.Since(a.started))) }

// stuckAfter is when a loop that has not gone round is taken for stuck. The
// first apply of 10,000 upstreams takes some 20 seconds on a slow disk.
const stuckAfter = 3 * time.Minute

// Alive tells why the agent should be started anew, nil when it should not.
func (a *Agent) Alive() error {
	// In monotonic time: the clock may be put forward.
	if idle := time.Since(a.started) - time.Duration(a.beat.Load()); idle > stuckAfter {
		return fmt.Errorf("the converge loop has not gone round for %s", idle.Round(time.Second))
	}
	return nil
}
