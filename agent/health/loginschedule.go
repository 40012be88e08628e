package health

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"github.com/berth-registry/berth/internal/redact"
	"github.com/berth-registry/berth/node/probestate"
)

const (
	// learnInterval is the time between two attempts to learn about an endpoint, ±10 %.
	learnInterval = 6 * time.Hour
	// After an error that may pass, the next attempts follow after firstRetry, then after twice as
	// long each time, up to learnInterval.
	firstRetry = time.Minute
)

// schedule says when to learn about an endpoint next.
type schedule struct {
	login  string // Fact.Login of the last attempt
	next   time.Time
	errors int // errors in a row that may pass
}

// loginEndpoints lists the endpoints of t about which there is something to learn, each address
// once.
func (t *target) loginEndpoints() []Endpoint {
	var found []Endpoint
	seen := map[string]bool{}
	for _, e := range t.endpoints {
		if name := probestate.FactURL(e.URL); e.Learn && !e.Authorization.IsZero() && !seen[name] {
			seen[name] = true
			found = append(found, e)
		}
	}
	return found
}

// dueLogins lists the endpoints of t to learn about now. The caller holds the lock.
func (p *Prober) dueLogins(t *target, now time.Time) []Endpoint {
	var found []Endpoint
	for _, e := range t.loginEndpoints() {
		name, login := probestate.FactURL(e.URL), p.login(e.Authorization)
		fact, known := p.facts[name]
		l, ok := p.schedules[name]
		if !ok {
			l.login = fact.Login
			if known && fact.Complete() && !fact.Time.After(now) {
				l.next = fact.Time.Add(p.jitter(learnInterval))
			}
			p.schedules[name] = l
		}
		if l.login != login || !now.Before(l.next) {
			found = append(found, e)
		}
	}
	return found
}

// jitter returns d ±10 %.
func (p *Prober) jitter(d time.Duration) time.Duration {
	return time.Duration(float64(d) * (0.9 + 0.2*p.random()))
}

// plan sets the time of the next attempt, after one that brought f. all: it asked about everything;
// temporary: it failed, and the error may pass.
func (l *schedule) plan(f probestate.Fact, all, temporary bool, jitter func(time.Duration) time.Duration) {
	l.login = f.Login
	switch {
	case temporary:
		wait := min(firstRetry<<min(l.errors, 16), learnInterval)
		l.next = f.Time.Add(jitter(wait))
		l.errors++
		return
	case all, f.Error != "":
		l.next = f.Time.Add(jitter(learnInterval))
	default:
		// Only the login was new, as ECR's is several times a day. Everything else keeps its time.
	}
	l.errors = 0
}

// learn learns about endpoints of t, one after the other.
func (p *Prober) learn(ctx context.Context, t *target, endpoints []Endpoint) {
	defer func() {
		p.mu.Lock()
		t.learning = false
		p.mu.Unlock()
	}()
	for _, e := range endpoints {
		select {
		case <-ctx.Done():
			return
		case p.loginSlots <- struct{}{}:
		}
		p.learnOne(ctx, t, e)
		<-p.loginSlots
	}
}

func (p *Prober) learnOne(ctx context.Context, t *target, e Endpoint) {
	name := probestate.FactURL(e.URL)
	p.mu.Lock()
	q := newLoginProbe(e, p.roundTripper(t), t.last.status)
	before, l := p.facts[name], p.schedules[name]
	p.mu.Unlock()

	all := !time.Now().Before(l.next)
	after, temporary := q.probe(ctx, before, all)

	p.mu.Lock()
	if ctx.Err() != nil {
		p.mu.Unlock()
		return
	}
	after.URL, after.Login, after.Time = name, p.login(e.Authorization), time.Now()
	l.plan(after, all, temporary, p.jitter)
	p.facts[name], p.schedules[name] = after, l
	p.mu.Unlock()

	same := before
	same.Login, same.Time = after.Login, after.Time
	if same == after {
		return
	}
	level := slog.LevelInfo
	if after.Error != "" {
		level = slog.LevelWarn
	}
	p.log.Log(ctx, level, "registry login probed", slog.String("url", name), slog.String("basic", after.Basic),
		slog.String("realm", after.Realm), slog.String("redirect", after.Redirect), slog.String("to", after.To), slog.String("error", after.Error))
	p.changed()
}

// probe sends the requests and returns the new fact. Values without an answer stay as before.
// temporary: the error may pass.
func (q *loginProbe) probe(ctx context.Context, before probestate.Fact, all bool) (after probestate.Fact, temporary bool) {
	after = before
	after.Error, after.WrongLogin = "", false
	if after.Basic == "" {
		after.Basic, after.Redirect = probestate.Unknown, probestate.Unknown
	}
	if isECR(q.host) {
		after.Basic = probestate.Accepted
	} else {
		basic, realm, err := q.basic(ctx)
		if realm != "" || basic != probestate.Unknown {
			after.Realm = realm
		}
		if err != nil {
			after.Error, after.WrongLogin = err.Error(), isWrongLogin(err)
			return after, isTemporary(err)
		}
		if basic != probestate.Unknown {
			after.Basic = basic
		}
		if basic == probestate.Refused {
			// Without a header a redirect carries nothing along.
			return after, false
		}
	}
	if !all && after.Redirect != probestate.Unknown {
		return after, false
	}
	redirect, to, err := q.redirect(ctx)
	if err != nil {
		after.Error = err.Error()
		return after, isTemporary(err)
	}
	if redirect != probestate.Unknown {
		after.Redirect, after.To = redirect, to
	}
	return after, false
}

// inconclusive is the error of a question without an answer. Its text quotes nothing that the
// registry sent.
type inconclusive struct {
	text      string
	temporary bool // it may pass
	// wrongLogin: the registry refuses this username or password.
	wrongLogin bool
}

func isWrongLogin(err error) bool {
	var d *inconclusive
	return errors.As(err, &d) && d.wrongLogin
}

func (d *inconclusive) Error() string { return d.text }

func isTemporary(err error) bool {
	var d *inconclusive
	return errors.As(err, &d) && d.temporary
}

// loginProbe sends requests to one endpoint. Only requests made with login set carry the login.
type loginProbe struct {
	transport     http.RoundTripper
	host          string
	base          string // scheme://host
	root, prefix  string // see split
	header        http.Header
	authorization redact.Secret
	rootStatus    int // of the API root's answer to a probe, which has no login
}

func newLoginProbe(e Endpoint, rt http.RoundTripper, rootStatus int) *loginProbe {
	q := &loginProbe{
		transport: rt, host: e.URL.Host, base: e.URL.Scheme + "://" + e.URL.Host, authorization: e.Authorization,
		header: http.Header{}, rootStatus: rootStatus,
	}
	q.root, q.prefix = split(e.URL)
	for name, values := range e.Header {
		q.header[http.CanonicalHeaderKey(name)] = values
	}
	q.header.Del("Authorization")
	q.header.Set("User-Agent", userAgent)
	return q
}
