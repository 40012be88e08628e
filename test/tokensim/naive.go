package tokensim

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/berth-registry/berth/agent/tokens"
	"github.com/berth-registry/berth/credprovider"
	"github.com/berth-registry/berth/credprovider/ecr"
)

type naive struct {
	now     func() time.Time
	changed func()
	pause   time.Duration

	mu     sync.Mutex
	source tokens.Source
	want   []ecr.Registry
	tokens map[string]credprovider.Token // by host
}

func newNaive(o tokens.Options, pause time.Duration) *naive {
	n := &naive{now: o.Now, changed: o.Changed, pause: pause, tokens: map[string]credprovider.Token{}}
	if n.now == nil {
		n.now = time.Now
	}
	if n.changed == nil {
		n.changed = func() {}
	}
	return n
}

func (n *naive) Set(s tokens.Source, want []ecr.Registry) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.source, n.want = s, want
}

func (n *naive) Rescan() {}

func (n *naive) Status() []tokens.Status { return nil }

func (n *naive) Token(r ecr.Registry) (credprovider.Token, bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	t, ok := n.tokens[r.Host]
	return t, ok
}

func (n *naive) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	n.mu.Lock()
	for _, r := range n.want {
		wg.Go(func() { n.keep(ctx, r) })
	}
	n.mu.Unlock()
	wg.Wait()
	return nil
}

func (n *naive) keep(ctx context.Context, r ecr.Registry) {
	for ctx.Err() == nil {
		n.mu.Lock()
		source := n.source
		n.mu.Unlock()
		t, err := source.Renew(ctx, r)
		wait := n.pause
		if err == nil {
			n.mu.Lock()
			n.tokens[r.Host] = t
			n.mu.Unlock()
			wait = max(t.Expires.Sub(n.now()), n.pause)
			n.changed()
		}
		sleep(ctx, wait)
	}
}

func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// Idle makes a refresher that never asks, and so breaks none of the rules about calls.
func Idle(o tokens.Options) Subject { return &idle{newNaive(o, time.Hour)} }

type idle struct{ *naive }

func (i *idle) Run(ctx context.Context) error {
	<-ctx.Done()
	return nil
}

// Chatty makes Berth's refresher with a log that writes everything twice.
func Chatty(o tokens.Options) Subject {
	o.Log = slog.New(twice{o.Log.Handler()})
	return tokens.New(o)
}

type twice struct{ slog.Handler }

func (t twice) Handle(ctx context.Context, r slog.Record) error {
	return errors.Join(t.Handler.Handle(ctx, r), t.Handler.Handle(ctx, r))
}
