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
	"github.com/berth-registry/berth/internal/proxy"
	"github.com/berth-registry/berth/internal/redact"
	"github.com/berth-registry/berth/node/desired"
	"github.com/berth-registry/berth/node/probestate"
)

// Endpoint is an address that containerd may pull from.
type Endpoint struct {
	URL hostsconf.URL
	TLS hostsconf.TLS
	// Header is sent with requests that learn, never with a probe.
	Header map[string][]string
	// Authorization is the header that hosts.toml has for it, or would have without the facts
	// learned; zero if there is none. It is sent only if Learn is set; do not set a login that must
	// not be sent, for example over plain http.
	Authorization redact.Secret
	// Learn: find out what the registry does with Authorization.
	Learn bool
	// TokenRealms are the hosts of token servers that may get the login, besides those that
	// realm.Check allows.
	TokenRealms []string
}

// EndpointOf returns the endpoint that a target of the desired state is.
func EndpointOf(t desired.Target) Endpoint {
	return Endpoint{
		URL: t.Host.URL, TLS: t.Host.TLS.Material(), Header: t.Host.Header,
		Authorization: t.ProbeHeader, Learn: !t.ProbeHeader.IsZero(), TokenRealms: t.TokenRealms,
	}
}

// Settings are the health and proxy parts of a RegistryConfig.
type Settings struct {
	Mode config.HealthMode
	// Interval is the longest time between the starts of two probes of one registry; Timeout limits
	// a whole probe.
	Interval, Timeout time.Duration
	// A registry becomes down after Failures failures in a row, up after Successes successes.
	Failures, Successes int
	// Proxy is containerd's; its zero value means the proxy of the environment.
	Proxy config.Proxy
}

// active reports whether probes are sent.
func (s Settings) active() bool {
	return s.Mode == config.HealthWithdraw || s.Mode == config.HealthReport
}

// Options of a [Prober]. The zero value is ready for use.
type Options struct {
	Log *slog.Logger // nil: nothing is logged
	// Changed is called after an endpoint went up or down, was known for the first time, or a fact
	// changed. It is called without locks held and must not block.
	Changed func()
	Rand    func() float64      // in [0,1); nil: math/rand
	Getenv  func(string) string // for the proxy; nil: os.Getenv
	// Roots are the system certificates that a CA is added to; nil: those of this process, which in
	// a container are not the node's.
	Roots *x509.CertPool
	// Transport makes the round tripper for a host with such TLS settings; nil: one like
	// containerd's. It must not call the Prober.
	Transport func(hostsconf.TLS) (http.RoundTripper, error)
	// LoginKey is the HMAC key of [Fact.Login]; nil: a random one, so that every login is tried
	// again. It is a secret.
	LoginKey []byte
	// Hub replaces Docker Hub's addresses in tests.
	Hub dockerhublimit.Service
}

// Prober watches registries. Any goroutine may call its methods at any time.
type Prober struct {
	log       *slog.Logger
	changed   func()
	random    func() float64
	env       proxy.Settings
	roots     *x509.CertPool
	transport func(hostsconf.TLS) (http.RoundTripper, error)
	loginKey  []byte

	wake       chan struct{}
	slots      chan struct{} // one for each probe in flight
	loginSlots chan struct{} // one for each endpoint being learned about

	mu         sync.Mutex
	running    bool
	settings   Settings
	targets    map[targetKey]*target
	byURL      map[hostsconf.URL][]*target
	transports map[[sha256.Size]byte]http.RoundTripper
	facts      map[string]probestate.Fact
	schedules  map[string]schedule
	saved      map[string]SavedState // by address, until used
	hub        hub
}

const (
	// maxProbes limits the sockets that a failing network can use. A target has one probe in
	// flight, so no probe waits for the timeout of another, up to this number of targets.
	maxProbes      = 256
	maxLoginProbes = 4
	// More new targets than manyTargets are first probed spread over this time, not all at once.
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
	p.env = proxy.FromEnvironment(getenv)
	p.transport = o.Transport
	if p.transport == nil {
		p.transport = p.newTransport
	}
	return p
}

// Set replaces the settings and the endpoints to watch. A registry that stays keeps its state, also
// with new headers or certificates; a new one is probed at once. With mode off nothing is sent, and
// all state but the facts is dropped.
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
				if saved, ok := p.savedState(e.URL, now); ok {
					t.health = saved.health(now)
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
	maps.DeleteFunc(p.transports, func(k [sha256.Size]byte, _ http.RoundTripper) bool {
		return !certificates[k] && k != plainTLS
	})
	for _, t := range p.targets {
		switch {
		case !s.active():
			t.stop()
			t.reset(now)
		case s != before && t.cancel != nil:
			t.probeNow = t.probeNow || s.Proxy != before.Proxy
			signal(t.wake)
		}
	}
	p.prune(endpoints, now)
	signal(p.wake)
}

// Run probes until ctx is done and then returns nil, after everything that it started has ended. A
// second Run at the same time is an error.
func (p *Prober) Run(ctx context.Context) error {
	p.mu.Lock()
	if p.running {
		p.mu.Unlock()
		return errors.New("the prober is already running")
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

// Alive reports whether the registry of u answers, after hysteresis. While that is not known,
// because of too few probes or mode off, alive is true. The mode makes no difference here: with
// mode report the caller must not act on it. For an endpoint that is not watched yet the answer is
// that of [Prober.RestoreHealth].
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

// targetKey identifies a target: endpoints with equal keys share one probe and one state.
type targetKey struct {
	scheme, host string
	root         string // path of the API root, ends with a slash
	tls          [sha256.Size]byte
}

// plainTLS is the key of a host without TLS settings.
var plainTLS = tlsKey(hostsconf.TLS{})

func keyOf(e Endpoint) targetKey {
	root, _ := split(e.URL)
	key := targetKey{
		scheme: e.URL.Scheme, host: hostport.TrimDefaultPort(e.URL.Host, e.URL.Scheme),
		root: root + "/", tls: plainTLS,
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

// split splits the path of an endpoint into the API root, where the paths of the registry API
// begin, and the prefix of its repositories: /v2/hub is /v2 and hub. A path without a segment v2 is
// a root.
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

// signal wakes the goroutine that waits for c now or next. It never blocks.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
