package health

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"log/slog"
	"maps"
	mathrand "math/rand/v2"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/berth-registry/berth/config"
	"github.com/berth-registry/berth/hostsconf"
	"github.com/berth-registry/berth/internal/dockerhublimit"
	"github.com/berth-registry/berth/internal/hostport"
	"github.com/berth-registry/berth/internal/redact"
	"github.com/berth-registry/berth/node/probestate"
)

// Endpoint is one registry that containerd may ask.
type Endpoint struct {
	URL hostsconf.URL
	TLS hostsconf.TLS
	// Header goes with the requests that learn, never with a probe.
	Header map[string][]string
	// Authorization is the header that hosts.toml carries for it, or would
	// carry but for what was learned; zero if there is none. It is sent only
	// with Learn, so give none that must not travel (plain http).
	Authorization redact.Secret
	// Learn says to find out what the registry does with Authorization.
	Learn bool
}

// Settings are the health and proxy parts of a RegistryConfig.
type Settings struct {
	Mode config.HealthMode
	// Interval is the longest time between the starts of two probes of one
	// registry, Timeout how long a whole probe may take.
	Interval, Timeout time.Duration
	// Failures and Successes in a row turn a registry down and up.
	Failures, Successes int
	// Proxy is containerd's; its zero value takes the environment's.
	Proxy config.Proxy
}

// active reports whether anything may be sent.
func (s Settings) active() bool {
	return s.Mode == config.HealthWithdraw || s.Mode == config.HealthReport
}

// Options are what a [Prober] needs of its surroundings. The zero value is
// ready for use.
type Options struct {
	Log *slog.Logger // nil: nothing is logged
	// Changed is called when an endpoint went up or down, was seen for the
	// first time, or something was learned. It is called without locks and
	// must not block.
	Changed func()
	Rand    func() float64      // in [0,1); nil: math/rand
	Getenv  func(string) string // for the proxy; nil: os.Getenv
	// Roots are the certificates of the system to which a CA is added; nil:
	// those of this process, which in a container are not the node's.
	Roots *x509.CertPool
	// Transport makes the round tripper for hosts with such TLS; nil: like
	// containerd's. It must not call the Prober.
	Transport func(hostsconf.TLS) (http.RoundTripper, error)
	// LoginKey keys the hash of a login in [Fact]; nil: a new one, so that
	// everything is learned again. It has to stay out of what people see.
	LoginKey []byte
	// Hub is what is asked instead of Docker Hub, for tests.
	Hub dockerhublimit.Service
}

// Prober watches registries. Its methods may be called at any time by any
// goroutine.
type Prober struct {
	log       *slog.Logger
	changed   func()
	random    func() float64
	env       environment
	roots     *x509.CertPool
	transport func(hostsconf.TLS) (http.RoundTripper, error)
	loginKey  []byte

	wake       chan struct{}
	slots      chan struct{} // one for each probe in flight
	loginSlots chan struct{} // one for each endpoint that is learned about

	mu         sync.Mutex
	running    bool
	settings   Settings
	targets    map[targetKey]*target
	byURL      map[hostsconf.URL][]*target
	transports map[[sha256.Size]byte]http.RoundTripper
	facts      map[string]probestate.Fact
	schedules  map[string]schedule
	saved      map[string]SavedState // by address, until they have served
	hub        hub
}

const (
	// maxProbes bounds what a failing network can cost in sockets. Each
	// target has one probe in flight, so none waits for another one's timeout
	// unless there are more hosts than this.
	maxProbes      = 256
	maxLoginProbes = 4
	// manyTargets targets are not probed all in the same moment, but within spread.
	manyTargets = 16
	spread      = time.Second
)

// New makes a Prober. It sends nothing before [Prober.Run].
func New(o Options) *Prober {
	p := &Prober{
		log: o.Log, changed: o.Changed, random: o.Rand, roots: o.Roots, loginKey: o.LoginKey,
		wake:       make(chan struct{}, 1),
		slots:      make(chan struct{}, maxProbes),
		loginSlots: make(chan struct{}, maxLoginProbes),
		settings:   Settings{Mode: config.HealthOff},
		targets:    map[targetKey]*target{},
		transports: map[[sha256.Size]byte]http.RoundTripper{},
		facts:      map[string]probestate.Fact{},
		schedules:  map[string]schedule{},
		hub:        newHub(o),
	}
	if p.log == nil {
		p.log = slog.New(slog.DiscardHandler)
	}
	if p.changed == nil {
		p.changed = func() {}
	}
	if p.random == nil {
		p.random = mathrand.Float64
	}
	if p.loginKey == nil {
		p.loginKey = make([]byte, 32)
		_, _ = rand.Read(p.loginKey) // never fails
	}
	getenv := o.Getenv
	if getenv == nil {
		getenv = os.Getenv
	}
	p.env = readEnvironment(getenv)
	p.transport = o.Transport
	if p.transport == nil {
		p.transport = p.newTransport
	}
	return p
}

// Set says what is watched from now on, and how. Registries that stay keep
// their state, whatever their headers or certificates became; new ones are
// asked at once. With mode off nothing is sent and all state is forgotten, but
// not what was learned.
func (p *Prober) Set(s Settings, endpoints []Endpoint) {
	p.mu.Lock()
	defer p.mu.Unlock()
	before := p.settings
	if s.Interval <= 0 {
		s.Interval = time.Duration(config.Default().Health.Interval)
	}
	p.settings = s
	if s.Proxy != before.Proxy {
		clear(p.transports)
	}
	now := time.Now()
	old := p.targets
	p.targets = map[targetKey]*target{}
	p.byURL = map[hostsconf.URL][]*target{}
	certificates := map[[sha256.Size]byte]bool{}
	for _, e := range endpoints {
		key := keyOf(e)
		certificates[key.tls] = true
		t := p.targets[key]
		if t == nil {
			if t = old[key]; t == nil {
				t = newTarget(key, e.TLS, now)
				if m, ok := p.savedState(e.URL, now); ok {
					t.health = m.health(now)
				}
			}
			t.endpoints = nil
			p.targets[key] = t
		}
		t.endpoints = append(t.endpoints, e)
		if ts := p.byURL[e.URL]; !slices.Contains(ts, t) {
			p.byURL[e.URL] = append(ts, t)
		}
	}
	for u := range p.byURL {
		delete(p.saved, u.String())
	}
	if !s.active() {
		clear(p.saved)
	}
	for key, t := range old {
		if p.targets[key] == nil {
			t.stop()
			p.inheritState(t)
		}
	}
	maps.DeleteFunc(p.transports, func(k [sha256.Size]byte, _ http.RoundTripper) bool { return !certificates[k] && k != plainTLS })
	for _, t := range p.targets {
		switch {
		case !s.active():
			t.stop()
			t.forget(now)
		case s != before && t.cancel != nil:
			t.probeNow = t.probeNow || s.Proxy != before.Proxy
			signal(t.kick)
		}
	}
	p.prune(endpoints, now)
	signal(p.wake)
}

// Run probes until ctx is done, and then returns nil once everything that it
// started has ended. It can run once at a time.
func (p *Prober) Run(ctx context.Context) error {
	p.mu.Lock()
	if p.running {
		p.mu.Unlock()
		return errors.New("the prober runs already")
	}
	p.running = true
	p.mu.Unlock()
	ctx, cancel := context.WithCancel(ctx)
	var tasks sync.WaitGroup
	defer func() {
		p.mu.Lock()
		for _, t := range p.targets {
			t.stop()
		}
		p.mu.Unlock()
		cancel()
		tasks.Wait()
		p.mu.Lock()
		p.running = false
		p.mu.Unlock()
	}()
	tasks.Go(func() { p.watchHub(ctx) })
	for {
		p.start(ctx, &tasks)
		select {
		case <-ctx.Done():
			return nil
		case <-p.wake:
		}
	}
}

// start begins to watch the targets that are not yet watched.
func (p *Prober) start(ctx context.Context, tasks *sync.WaitGroup) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.settings.active() {
		return
	}
	var idle []*target
	for _, t := range p.targets {
		if t.cancel == nil {
			idle = append(idle, t)
		}
	}
	for _, t := range idle {
		var delay time.Duration
		if len(idle) > manyTargets {
			delay = time.Duration(p.random() * float64(spread))
		}
		watched, cancel := context.WithCancel(ctx)
		t.cancel = cancel
		tasks.Go(func() { p.watch(watched, t, delay, tasks) })
	}
}

// Alive says whether the registry of u answers, after hysteresis. As long as
// that is not known, because it was not probed enough or the mode is off, it
// counts as alive. In mode report it is for the caller to do nothing. What is
// not watched yet is as [Prober.Remember] was told.
func (p *Prober) Alive(u hostsconf.URL) (alive, known bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	targets := p.byURL[u]
	if len(targets) == 0 {
		_, down := p.savedState(u, time.Now())
		return !down, down
	}
	alive, known = true, true
	for _, t := range targets {
		alive = alive && t.health.up
		known = known && t.health.known
	}
	return alive, known
}

// targetKey is what has to be equal for two endpoints to live and die
// together.
type targetKey struct {
	scheme, host string
	root         string // path of the API root, with a slash at its end
	tls          [sha256.Size]byte
}

// plainTLS is the key of a host without TLS settings.
var plainTLS = tlsKey(hostsconf.TLS{})

func keyOf(e Endpoint) targetKey {
	root, _ := split(e.URL)
	key := targetKey{
		scheme: e.URL.Scheme, host: hostport.TrimDefaultPort(e.URL.Host, e.URL.Scheme), root: root + "/", tls: plainTLS,
	}
	if e.URL.Scheme == "https" {
		key.tls = tlsKey(e.TLS)
	}
	return key
}

func (k targetKey) String() string { return k.scheme + "://" + k.host + k.root }

func tlsKey(t hostsconf.TLS) [sha256.Size]byte {
	h := sha256.New()
	for _, part := range [][]byte{t.CA, t.Cert, []byte(t.Key.Reveal())} {
		var size [8]byte
		binary.BigEndian.PutUint64(size[:], uint64(len(part)))
		h.Write(size[:])
		h.Write(part)
	}
	if t.SkipVerify {
		h.Write([]byte{1})
	}
	return [sha256.Size]byte(h.Sum(nil))
}

// split parts the path of an endpoint into the API root, where the paths of
// the registry API begin, and the prefix that its repositories have:
// /v2/hub is /v2 and hub. A path in which no segment is v2 is taken for a root.
func split(u hostsconf.URL) (root, prefix string) {
	path := u.APIPath()
	if !u.OverridePath {
		return path, ""
	}
	if i := strings.Index(path+"/", "/v2/"); i >= 0 {
		end := i + len("/v2")
		return path[:end], strings.TrimPrefix(path[end:], "/")
	}
	return path, ""
}

// signal wakes whoever waits, or will wait, for c. It never blocks.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
