package tokens

import (
	"context"

	"github.com/berth-registry/berth/credprovider"
	"github.com/berth-registry/berth/credprovider/ecr"
)

// Helpers gets logins of credential helpers. Several goroutines call it at the same time.
type Helpers interface {
	// Stored returns the stored answer if it can be used. It starts no program.
	Stored(credprovider.HelperSource) (credprovider.HelperLogin, bool)
	// Ask runs the program.
	Ask(context.Context, credprovider.HelperSource) (credprovider.HelperLogin, error)
}

// origin is where the token of one entry comes from: AWS, or a credential helper.
type origin interface {
	cached() (credprovider.Token, bool)
	// better returns the stored token; if it is time for that, it tries a better source first.
	better(context.Context) (credprovider.Token, error)
	renew(context.Context) (credprovider.Token, error)
}

// origin returns where the token of e comes from, nil while that is not known.
func (rf *Refresher) origin(e *entry) origin {
	switch {
	case e.helper != nil && rf.helpers != nil:
		return helperOrigin{rf.helpers, *e.helper}
	case e.helper == nil && rf.source != nil:
		return ecrOrigin{rf.source, e.registry}
	}
	return nil
}

type ecrOrigin struct {
	source   Source
	registry ecr.Registry
}

func (o ecrOrigin) cached() (credprovider.Token, bool) { return o.source.Cached(o.registry) }

func (o ecrOrigin) better(ctx context.Context) (credprovider.Token, error) {
	return o.source.Get(ctx, o.registry)
}

func (o ecrOrigin) renew(ctx context.Context) (credprovider.Token, error) {
	return o.source.Renew(ctx, o.registry)
}

type helperOrigin struct {
	helpers Helpers
	source  credprovider.HelperSource
}

func (o helperOrigin) cached() (credprovider.Token, bool) {
	l, ok := o.helpers.Stored(o.source)
	return o.token(l), ok
}

func (o helperOrigin) better(context.Context) (credprovider.Token, error) {
	t, _ := o.cached() // there is one source
	return t, nil
}

func (o helperOrigin) renew(ctx context.Context) (credprovider.Token, error) {
	l, err := o.helpers.Ask(ctx, o.source)
	return o.token(l), err
}

func (o helperOrigin) token(l credprovider.HelperLogin) credprovider.Token {
	return credprovider.Token{
		Token:  ecr.Token{Username: l.Username, Password: l.Password, Issued: l.Issued, Expires: l.Expires},
		Source: o.source.String(), Identity: o.source.Program,
	}
}

// helperLogin is the inverse of token.
func helperLogin(s credprovider.HelperSource, t credprovider.Token) credprovider.HelperLogin {
	return credprovider.HelperLogin{
		Registry: s.Registry, Program: s.Program, Username: t.Username, Password: t.Password, Issued: t.Issued, Expires: t.Expires,
	}
}

// SetHelpers replaces the logins of credential helpers that are kept fresh, as [Refresher.Set] does
// for ECR. A login that is no longer wanted is dropped. Another program for a registry is asked at
// once; until it has answered, the login of the old one is served.
func (rf *Refresher) SetHelpers(helpers Helpers, want []credprovider.HelperSource) {
	rf.mu.Lock()
	defer rf.mu.Unlock()
	rf.helpers = helpers
	c := rf.clock()
	wanted := map[scope]bool{}
	changed := false
	for _, s := range want {
		at := scope{service: credprovider.HelperService, region: s.Registry}
		wanted[at] = true
		e, ok := rf.entries[at]
		switch {
		case !ok:
			e = rf.add(at)
		case *e.helper == s:
			continue
		default:
			e.abort()
			old := *e.helper
			e = e.reset()
			e.fresh = old.Program != s.Program
			rf.entries[at] = e
		}
		changed = true
		e.helper, e.wanted, e.hosts = &s, true, []string{s.Registry}
		if !e.held.isZero() { // by the new times
			e.held = newHeldToken(e.held.token, c, rf.random(), e.helper)
		}
	}
	for at, e := range rf.entries {
		if e.helper != nil && !wanted[at] {
			rf.drop(e, c)
			changed = true
		}
	}
	if !changed {
		return
	}
	rf.sort()
	rf.notify = true
	rf.wakeUp()
}

// HelperLogins returns the logins of credential helpers that are good at this moment, by registry as
// in the config.
func (rf *Refresher) HelperLogins() credprovider.HelperLogins {
	rf.mu.Lock()
	defer rf.mu.Unlock()
	all := credprovider.HelperLogins{}
	c := rf.clock()
	for _, e := range rf.order {
		if e.helper != nil && e.held.good(c) {
			all[e.helper.Registry] = helperLogin(*e.helper, e.held.token)
		}
	}
	return all
}
