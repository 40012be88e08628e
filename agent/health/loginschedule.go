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
	// relearn is how often an endpoint is learned about again, ±10 %.
	relearn = 6 * time.Hour
	// After an error that may pass it is tried again after retryFirst, then
	// after twice as long each time, up to relearn.
	retryFirst = time.Minute
)

// schedule is when an endpoint is learned about next.
type schedule struct {
	login  string // Fact.Login of the last attempt
	next   time.Time
	errors int // in a row, of those that may pass
}

// schedulesOf lists the endpoints that have something to learn, each address
// once.
func (t *target) schedulesOf() []Endpoint {
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

// dueLogins lists the endpoints of t that are to be learned about now. The lock is
// held.
func (p *Prober) dueLogins(t *target, now time.Time) []Endpoint {
	var found []Endpoint
	for _, e := range t.schedulesOf() {
		name, login := probestate.FactURL(e.URL), p.login(e.Authorization)
		fact, known := p.facts[name]
		l, ok := p.schedules[name]
		if !ok {
			l.login = fact.Login
			if known && fact.Complete() && !fact.Time.After(now) {
				l.next = fact.Time.Add(p.jitter(relearn))
			}
			p.schedules[name] = l
		}
		if l.login != login || !now.Before(l.next) {
			found = append(found, e)
		}
	}
	return found
}

// jitter gives d ±10 %.
func (p *Prober) jitter(d time.Duration) time.Duration {
	return time.Duration(float64(d) * (0.9 + 0.2*p.random()))
}

// plan decides when to learn again, after an attempt that brought f; all says
// that it asked about everything.
func (l *schedule) plan(f probestate.Fact, all, soon bool, jitter func(time.Duration) time.Duration) {
	l.login = f.Login
	switch {
	case soon:
		wait := min(retryFirst<<min(l.errors, 16), relearn)
		l.next = f.Time.Add(jitter(wait))
		l.errors++
		return
	case all, f.Error != "":
		l.next = f.Time.Add(jitter(relearn))
	default:
		// Only the login was new, as ECR's are several times a day. The rest
		// keeps its time.
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
	after, soon := q.probe(ctx, before, all)

	p.mu.Lock()
	if ctx.Err() != nil {
		p.mu.Unlock()
		return
	}
	after.URL, after.Login, after.Time = name, p.login(e.Authorization), time.Now()
	l.plan(after, all, soon, p.jitter)
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
	p.log.Log(ctx, level, "learned what a registry does with its login", slog.String("url", name), slog.String("basic", after.Basic),
		slog.String("realm", after.Realm), slog.String("redirect", after.Redirect), slog.String("to", after.To), slog.String("error", after.Error))
	p.changed()
}

// probe asks what is to be known. What it finds no answer to stays as before;
// soon means that the reason may pass.
func (q *loginProbe) probe(ctx context.Context, before probestate.Fact, all bool) (after probestate.Fact, soon bool) {
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
			return after, mayPass(err)
		}
		if basic != probestate.Unknown {
			after.Basic = basic
		}
		if basic == probestate.Refused {
			// Without a header there is nothing to be carried along.
			return after, false
		}
	}
	if !all && after.Redirect != probestate.Unknown {
		return after, false
	}
	redirect, to, err := q.redirect(ctx)
	if err != nil {
		after.Error = err.Error()
		return after, mayPass(err)
	}
	if redirect != probestate.Unknown {
		after.Redirect, after.To = redirect, to
	}
	return after, false
}

// inconclusive is why a question has no answer. Its text holds nothing that the
// registry said.
type inconclusive struct {
	text string
	soon bool // it is worth asking again before long
	// wrongLogin: the registry refuses the login itself.
	wrongLogin bool
}

func isWrongLogin(err error) bool {
	var d *inconclusive
	return errors.As(err, &d) && d.wrongLogin
}

func (d *inconclusive) Error() string { return d.text }

func mayPass(err error) bool {
	var d *inconclusive
	return errors.As(err, &d) && d.soon
}

// loginProbe sends its requests to one endpoint alone. Only requests that say so
// carry its login.
type loginProbe struct {
	transport     http.RoundTripper
	host          string
	base          string // scheme://host
	root, prefix  string // see split
	header        http.Header
	authorization redact.Secret
	rootStatus    int // what the API root answers to a request without login
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
