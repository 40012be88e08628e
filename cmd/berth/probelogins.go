package main

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/berth-registry/berth/agent/health"
	"github.com/berth-registry/berth/config"
	"github.com/berth-registry/berth/node/desired"
	"github.com/berth-registry/berth/node/probestate"
	"github.com/berth-registry/berth/node/reconcile"
)

// probeFlag adds the flag --no-probe to plan and apply.
func probeFlag(cmd *cobra.Command, off *bool) {
	cmd.Flags().BoolVar(off, "no-probe", false, "do not ask registries what they do with their logins")
}

// setProbe makes plan and apply ask registries, unless off is set.
func setProbe(n *reconcile.Node, off bool) {
	if !off {
		n.ProbeLogins = probeLogins
	}
}

// probeLogins asks as the agent does.
func probeLogins(ctx context.Context, cfg *config.Config, targets []desired.Target, earlier probestate.SavedLogins) []probestate.Fact {
	endpoints := make([]health.Endpoint, 0, len(targets))
	for _, t := range targets {
		endpoints = append(endpoints, health.EndpointOf(t))
	}
	return health.LearnOnce(ctx, health.Options{LoginKey: earlier.Key}, health.Settings{
		Timeout: time.Duration(cfg.Health.Timeout), Failures: 1, Successes: 1, Proxy: cfg.Proxy,
	}, endpoints, earlier.Facts)
}
