package reconcile

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/berth-registry/berth/config"
	"github.com/berth-registry/berth/credprovider"
	"github.com/berth-registry/berth/internal/nodefs"
	"github.com/berth-registry/berth/internal/realm"
	"github.com/berth-registry/berth/node/desired"
	"github.com/berth-registry/berth/node/probestate"
)

// LoginProber asks the registries of targets what they do with their logins. key is that of
// [probestate.SavedLogins]; the result is all facts, with the earlier ones.
type LoginProber func(ctx context.Context, cfg *config.Config, targets []desired.Target, earlier probestate.SavedLogins) []probestate.Fact

// factAge is how old a fact may be before a command asks again; an agent has asked by then.
const factAge = 7 * time.Hour

// learned returns what is known about logins. If no agent runs, the registries about which nothing
// is known, or nothing recent, are probed first; probed reports that. Nothing is written. logins
// are those of credential helpers.
func (n *Node) learned(ctx context.Context, cfg *config.Config, logins credprovider.HelperLogins) (l probestate.SavedLogins, probed bool, err error) {
	if l, err = n.Learned(); err != nil || n.ProbeLogins == nil {
		return l, false, err
	}
	if runs, err := nodefs.Locked(n.Root, AgentLockFile); err != nil || runs {
		return l, false, err
	}
	in, err := n.Inputs(ctx, cfg, l.Facts)
	if err != nil {
		return l, false, err
	}
	in.HelperLogins = logins
	ask := slices.DeleteFunc(slices.Clone(in.Compute(cfg).Containerd.Targets), func(t desired.Target) bool {
		return t.ProbeHeader.IsZero() || !worthAsking(t, l.Facts)
	})
	if len(ask) == 0 {
		return l, false, nil
	}
	l = l.WithKey()
	l.Facts = n.ProbeLogins(ctx, cfg, ask, l)
	return l, true, ctx.Err()
}

// worthAsking reports whether a registry has to be asked: it is neither known from its name nor from
// a recent probe.
func worthAsking(t desired.Target, facts []probestate.Fact) bool {
	if _, known := realm.Known(t.Host.URL.Host); known && t.Host.URL.Scheme == "https" {
		return false
	}
	fact, _ := probestate.ParseFact(facts, t.Host.URL)
	age := time.Since(fact.Time)
	return !fact.Complete() || fact.Basic == probestate.Unknown || age < 0 || age > factAge
}

// saveLearned writes learned.json. The caller holds the lock.
func (n *Node) saveLearned(l probestate.SavedLogins) error {
	b, err := json.MarshalIndent(l, "", "  ")
	if err != nil {
		return fmt.Errorf("%s: %w", LearnedFile, err)
	}
	return n.Store.WritePrivate(LearnedFile, append(b, '\n'))
}
