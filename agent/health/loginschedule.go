package health

import (
	"context"
	"log/slog"
	"time"

	"github.com/berth-registry/berth/node/probestate"
)

const (
	// learnInterval is the time between two attempts to learn about an endpoint, ±10 %.
	learnInterval = 6 * time.Hour
	// tokenInterval is the same for a registry that accepts only tokens, which costs one request.
	tokenInterval = time.Hour
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
				l.next = fact.Time.Add(p.jitter(interval(fact)))
			}
			p.schedules[name] = l
		}
		if l.login != login || !now.Before(l.next) {
			found = append(found, e)
		}
	}
	return found
}

func interval(f probestate.Fact) time.Duration {
	if f.Basic == probestate.Refused {
		return tokenInterval
	}
	return learnInterval
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
		l.next = f.Time.Add(jitter(interval(f)))
	default:
		// Only the login was new, as ECR's is several times a day. Everything else keeps its time.
		if next := f.Time.Add(jitter(interval(f))); next.Before(l.next) {
			l.next = next
		}
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
		p.learnOne(ctx, ctx, t, e)
		<-p.loginSlots
	}
}

// learnOne learns about one endpoint of t. asking limits its requests; what was learned before that
// ended is kept, unless ctx has ended.
func (p *Prober) learnOne(ctx, asking context.Context, t *target, e Endpoint) {
	name := probestate.FactURL(e.URL)
	p.mu.Lock()
	root := t.last
	lp := newLoginProbe(e, p.roundTripper(t), root.status)
	before, l := p.facts[name], p.schedules[name]
	p.mu.Unlock()

	all := !time.Now().Before(l.next)
	after, temporary := lp.probe(asking, before, all)

	p.mu.Lock()
	if ctx.Err() != nil {
		p.mu.Unlock()
		return
	}
	after.URL, after.Login, after.Time = name, p.login(e.Authorization), time.Now()
	if root.namesRealm() {
		after.RootRealm = lp.masked(root.realm)
	}
	after = after.Note(e.URL, e.TokenRealms)
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
	p.log.Log(ctx, level, "registry login probed", slog.String("url", name),
		slog.String("basic", after.Basic), slog.String("realm", after.Realm),
		slog.String("redirect", after.Redirect), slog.String("to", after.To),
		slog.String("error", after.Error))
	p.changed()
}
