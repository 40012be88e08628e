package tokensim

import (
	"context"
	"time"

	"github.com/berth-registry/berth/agent/tokens"
	"github.com/berth-registry/berth/credprovider"
	"github.com/berth-registry/berth/credprovider/ecr"
)

// Subject is the tested object: a *[tokens.Refresher] or a replacement.
type Subject interface {
	Set(tokens.Source, []ecr.Registry)
	Run(context.Context) error
	Token(ecr.Registry) (credprovider.Token, bool)
	Rescan()
	Status() []tokens.Status
}

// Make makes a subject.
type Make func(tokens.Options) Subject

// Berth makes the agent's refresher.
func Berth(o tokens.Options) Subject { return tokens.New(o) }

// Naive makes a simple refresher: it sleeps until the token expires, and tries again ten times a
// second. It breaks every rule.
func Naive(o tokens.Options) Subject { return newNaive(o, 100*time.Millisecond) }

// Lockstep makes the same with a pause of twenty seconds: it spares AWS, but all nodes that were
// throttled together come back together.
func Lockstep(o tokens.Options) Subject { return newNaive(o, 20*time.Second) }

// SharedFiles makes Berth's refresher with token files that are named by service and region alone:
// the token of one identity is found by another.
func SharedFiles(o tokens.Options) Subject { return sharedFiles{tokens.New(o)} }

type sharedFiles struct{ *tokens.Refresher }

func (s sharedFiles) Set(source tokens.Source, want []ecr.Registry) {
	s.Refresher.Set(withoutChains{source}, want)
}

type withoutChains struct{ tokens.Source }

func (w withoutChains) Cached(r ecr.Registry) (credprovider.Token, bool) {
	r.Chain = ""
	return w.Source.Cached(r)
}

func (w withoutChains) Get(ctx context.Context, r ecr.Registry) (credprovider.Token, error) {
	r.Chain = ""
	return w.Source.Get(ctx, r)
}
