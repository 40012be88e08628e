package tokensim

import (
	"context"
	"time"

	"github.com/berth-registry/berth/agent/keeper"
	"github.com/berth-registry/berth/credprovider"
	"github.com/berth-registry/berth/credprovider/ecr"
)

// Subject is what is tried: a *[keeper.Keeper] or something in its place.
type Subject interface {
	Set(keeper.Source, []ecr.Registry)
	Run(context.Context) error
	Token(ecr.Registry) (credprovider.Token, bool)
	Rescan()
	Status() []keeper.Status
}

// Make makes a subject.
type Make func(keeper.Options) Subject

// Berth makes the keeper of the agent.
func Berth(o keeper.Options) Subject { return keeper.New(o) }

// Naive makes a keeper as one would write it in five minutes: it sleeps until
// the token expires, and tries again ten times a second. It breaks every rule.
func Naive(o keeper.Options) Subject { return newNaive(o, 100*time.Millisecond) }

// Lockstep makes the same with a pause of twenty seconds: it spares AWS, but
// all nodes that were throttled together come back together.
func Lockstep(o keeper.Options) Subject { return newNaive(o, 20*time.Second) }
