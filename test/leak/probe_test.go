package leak

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"time"

	"github.com/berth-registry/berth/agent/health"
	"github.com/berth-registry/berth/config"
	"github.com/berth-registry/berth/hostsconf"
	"github.com/berth-registry/berth/internal/hostport"
	"github.com/berth-registry/berth/node/desired"
	"github.com/berth-registry/berth/node/probestate"
	"github.com/berth-registry/berth/node/reconcile"
)

// prober asks registries as `berth plan` and `berth apply` do, in this network.
func (w *network) prober(log *slog.Logger) reconcile.LoginProber {
	return func(ctx context.Context, _ *config.Config, targets []desired.Target, earlier probestate.SavedLogins) []probestate.Fact {
		options := health.Options{LoginKey: earlier.Key, Log: log, Transport: func(hostsconf.TLS) (http.RoundTripper, error) {
			return w.transport, nil
		}}
		settings := health.Settings{Timeout: time.Minute, Failures: 1, Successes: 1}
		facts := earlier.Facts
		ask := make([]health.Endpoint, 0, len(targets))
		for _, t := range targets {
			ask = append(ask, health.EndpointOf(t))
		}
		// A probe has a time limit, and this machine may be slow: a registry that takes tokens and is
		// not known is asked again.
		for n := 0; n < 20 && len(ask) > 0; n++ {
			facts = health.LearnOnce(ctx, options, settings, ask, facts)
			ask = slices.DeleteFunc(ask, func(e health.Endpoint) bool {
				fact, _ := probestate.ParseFact(facts, e.URL)
				return fact.Basic != probestate.Unknown || !w.takesTokens(e.URL)
			})
		}
		return facts
	}
}

// takesTokens reports whether the server at u answers each request without a token with a Bearer
// challenge.
func (w *network) takesTokens(u hostsconf.URL) bool {
	d := &decoy{network: w, scheme: u.Scheme, address: u.Host}
	if hostport.Port(u.Host) == "" {
		d.address = net.JoinHostPort(u.Host, map[string]string{"http": "80", "https": "443"}[u.Scheme])
	}
	return d.behaviour(probing).auth == "bearer"
}

// headersAlone pulls with the headers alone, as on a node without a credential provider: first with
// those that apply wrote after it asked the registries, then with those of the control, which does
// not ask.
func (tr *trial) headersAlone(ctx context.Context, r *round, view string) error {
	none := func(context.Context, string) (passed, error) { return passed{}, nil }
	if err := tr.pulls(ctx, r, view, tr.headers, none); err != nil {
		return err
	}
	if err := r.forget(); err != nil {
		return err
	}
	if err := r.apply(ctx, nil); err != nil {
		return fmt.Errorf("without probes: %w", err)
	}
	view, err := r.view(filepath.Join(filepath.Dir(r.root), "unprobed"))
	if err != nil {
		return err
	}
	return tr.pulls(ctx, r, view, tr.unprobed, none)
}
