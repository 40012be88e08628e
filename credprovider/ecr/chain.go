package ecr

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"os"
	"time"

	"github.com/berth-registry/berth/internal/redact"
	"github.com/berth-registry/berth/internal/sleep"
)

// Client asks AWS with the credentials of one source. Package client has the real one. Errors are of
// type *Error and hold no secret.
type Client interface {
	// Token gets a token for the registries of r's region. With hasty it gives up early, because
	// there is another usable token.
	Token(ctx context.Context, r Registry, s Source, hasty bool) (Token, error)
	// Principal returns the ARN of the identity that the credentials belong to. All sessions of a
	// role have the same one.
	Principal(ctx context.Context, r Registry, s Source) (string, error)
	// RoleToken gets a token with the credentials of a role, which a web identity token may assume.
	RoleToken(ctx context.Context, r Registry, roleARN string, identity redact.Secret) (Token, error)
	// CreateRepository creates a repository in r; an existing one is no error.
	CreateRepository(ctx context.Context, r Registry, s Source, name string) error
}

// Options configure a [Chain]. The zero value is the default chain in the process environment,
// which knows its identities but cannot ask AWS.
type Options struct {
	Sources []Source            // nil: [Sources]
	Client  Client              // asks AWS
	Getenv  func(string) string // nil: os.Getenv
	Now     func() time.Time    // nil: time.Now
	Log     *slog.Logger        // nil: nothing is logged
}

// Chain gets tokens from its sources, in their order. It may be used by several goroutines.
type Chain struct {
	sources []Source
	client  Client
	getenv  func(string) string
	now     func() time.Time
	log     *slog.Logger
}

// NewChain returns a chain. It reads no file and opens no connection.
func NewChain(o Options) *Chain {
	c := &Chain{sources: o.Sources, client: o.Client, getenv: o.Getenv, now: o.Now, log: o.Log}
	if c.sources == nil {
		c.sources = Sources()
	}
	if c.getenv == nil {
		c.getenv = os.Getenv
	}
	if c.now == nil {
		c.now = time.Now
	}
	if c.log == nil {
		c.log = slog.New(slog.DiscardHandler)
	}
	return c
}

// Len is the number of sources.
func (c *Chain) Len() int { return len(c.sources) }

// Identity returns the identity of source i. It reads small files.
func (c *Chain) Identity(i int) Identity { return c.sources[i].Identity(c.getenv) }

// Principal returns the ARN of the identity behind source i.
func (c *Chain) Principal(ctx context.Context, r Registry, i int) (string, error) {
	return c.client.Principal(ctx, r, c.sources[i])
}

// Request is the input of [Chain.Fetch].
type Request struct {
	Registry Registry
	// Known are the verdicts of earlier fetches by identity. A source with a verdict that holds is
	// not asked.
	Known map[string]Verdict
	// Serving are the identities with a usable token. When one of them has a temporary failure, the
	// sources after it are not asked.
	Serving map[string]bool
	// First limits the chain to its first sources; 0 means all of them.
	First int
	// Hasty gives up early, because there is another usable token.
	Hasty bool
}

// Result is the output of [Chain.Fetch].
type Result struct {
	Token    Token
	Identity string // of the source that gave it
	// Learned are the verdicts of this fetch by identity.
	Learned map[string]Verdict
	// Err is nil when there is a token, else a *ChainError.
	Err error
}

// Fetch asks the sources in order until one gives a token. At most one request of the whole chain
// is repeated. Every outcome is logged.
func (c *Chain) Fetch(ctx context.Context, req Request) Result {
	run := &fetch{chain: c, req: req, retries: 1, res: Result{Learned: map[string]Verdict{}}}
	failed := &ChainError{Region: req.Registry.Region}
	n := c.Len()
	if req.First > 0 {
		n = min(n, req.First)
	}
	for i := range n {
		id := c.Identity(i)
		token, err := run.source(ctx, i, id, n-i)
		if err == nil {
			run.res.Token, run.res.Identity = token, id.Name
			return run.res
		}
		failed.Errs = append(failed.Errs, SourceError{Source: id.Source, Err: err})
		if Decide(err).Stay && req.Serving[id.Name] {
			break
		}
	}
	run.res.Err = failed
	run.shorten()
	return run.res
}

// fetch is one run along the chain.
type fetch struct {
	chain   *Chain
	req     Request
	retries int
	res     Result
}

// source asks one source. left is the number of sources from this one on, which share the time.
func (f *fetch) source(ctx context.Context, i int, id Identity, left int) (Token, error) {
	if id.Err != nil {
		f.log(ctx, id, id.Err, 0)
		return Token{}, id.Err
	}
	if v, ok := f.req.Known[id.Name]; ok && v.Stamp == id.Stamp && v.Holds(f.chain.now()) {
		return Token{}, v.Err()
	}
	if deadline, ok := ctx.Deadline(); ok && left > 1 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Until(deadline)/2)
		defer cancel()
	}
	token, err := f.ask(ctx, i)
	if err == nil {
		f.chain.log.InfoContext(ctx, "got an ECR token", "source", id.Source, "region", f.req.Registry.Region, "expires", token.Expires)
		return token, nil
	}
	d := Decide(err)
	f.log(ctx, id, err, d.Remember)
	if d.Remember > 0 {
		now := f.chain.now()
		f.res.Learned[id.Name] = Verdict{Outcome: OutcomeOf(err), Message: err.Error(), At: now, Until: now.Add(d.Remember), Stamp: id.Stamp}
	}
	return Token{}, err
}

// ask asks a source, a second time if [Decide] says that this may help.
func (f *fetch) ask(ctx context.Context, i int) (Token, error) {
	token, err := f.once(ctx, i)
	if f.retries == 0 || f.req.Hasty {
		return token, err
	}
	wait, again := pause(err)
	if !again {
		return token, err
	}
	f.retries--
	if !sleep.For(ctx, wait) {
		return token, err
	}
	return f.once(ctx, i)
}

// pause returns the time to wait before the same request is sent once more, and whether that may
// help.
func pause(err error) (time.Duration, bool) {
	if err == nil || !Decide(err).Again {
		return 0, false
	}
	after := askedDelay(err)
	if after == 0 {
		after = 200*time.Millisecond + rand.N(200*time.Millisecond)
	}
	return after, after <= 3*time.Second
}

// RoleToken gets a token with a role that the web identity token may assume; no source of c is
// asked. The error is a *ChainError.
func (c *Chain) RoleToken(ctx context.Context, r Registry, roleARN string, identity redact.Secret) (Token, error) {
	token, err := c.client.RoleToken(ctx, r, roleARN, identity)
	if wait, again := pause(err); again && sleep.For(ctx, wait) {
		token, err = c.client.RoleToken(ctx, r, roleARN, identity)
	}
	if err != nil {
		return Token{}, &ChainError{Region: r.Region, Errs: []SourceError{{Source: "the pod's own role", Err: err}}}
	}
	return token, nil
}

func (f *fetch) once(ctx context.Context, i int) (Token, error) {
	return f.chain.client.Token(ctx, f.req.Registry, f.chain.sources[i], f.req.Hasty)
}

// shorten makes verdicts short-lived when no source gave a token. They begin at the end of the
// fetch: if the first one expired while the last source is still being asked, the next process
// would ask all of them again.
func (f *fetch) shorten() {
	if len(f.req.Serving) > 0 || f.req.First > 0 {
		return
	}
	end := f.chain.now()
	for id, v := range f.res.Learned {
		v.At, v.Until = end, end.Add(v.Until.Sub(v.At))
		f.res.Learned[id] = v.Alone()
	}
}

// log writes the one line for an outcome.
func (f *fetch) log(ctx context.Context, id Identity, err error, remember time.Duration) {
	level := slog.LevelWarn
	switch OutcomeOf(err) {
	case Unreachable, NotEC2, NoKeys:
		level = slog.LevelInfo // ordinary away from EC2
	}
	f.chain.log.Log(ctx, level, "this source gave no ECR token", "source", id.Source, "outcome", string(OutcomeOf(err)),
		"region", f.req.Registry.Region, "remembered", remember, "error", err)
}

func askedDelay(err error) time.Duration {
	var e *Error
	if errors.As(err, &e) {
		return e.RetryAfter
	}
	return 0
}
