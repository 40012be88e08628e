package main

import (
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/berth-registry/berth/test/tokensim"
)

// Limits for a cluster whose quota would serve it in fifty seconds.
const (
	inTime     = 0.999
	timeLimit  = 75 * time.Second
	theLimitOf = 50 * time.Second
)

// clusters boots clusters, and returns the violations.
func clusters(t *testing.T, o options, out io.Writer) []string {
	fmt.Fprintf(out, "\n| nodes | keeper | quota | limit | t50 | t99 | t99.9 | all | peak calls/s | calls a node | steady calls/s | its peak |\n")
	fmt.Fprintf(out, "|---:|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|\n")
	var failures []string
	boot := func(name string, nodes int, quota, burst, hours float64, make tokensim.Make) tokensim.ClusterReport {
		r := tokensim.BootCluster(t, tokensim.ClusterOptions{
			Seed: o.seed, Nodes: nodes, Quota: quota, Burst: burst, Make: make, After: time.Duration(hours * float64(time.Hour)),
		})
		clusterRow(out, name, r)
		return r
	}
	for _, n := range o.nodes {
		r := boot("berth", n, o.quota, o.burst, o.hours, tokensim.Berth)
		limit := max(timeLimit, time.Duration(float64(n)/o.quota*float64(timeLimit)/theLimitOf.Seconds()))
		if at, ok := r.Percentile(inTime); !ok || at > limit {
			failures = append(failures, fmt.Sprintf("%d nodes: 99.9 %% have a token after %s, want %s", n, at, limit))
		}
		if r.Lost > 0 {
			failures = append(failures, fmt.Sprintf("%d of %d nodes have no token in the end", r.Lost, n))
		}
		boot("none: kubelet runs the provider", n, o.quota, o.burst, 0, nil)
	}
	if r := boot("naive: every 20 s (a control)", 1000, 20, 20, 0, tokensim.Lockstep); late(r) == nil {
		failures = append(failures, "nodes in lockstep are in time: nothing would be seen")
	}
	return failures
}

func late(r tokensim.ClusterReport) error {
	if at, ok := r.Percentile(inTime); !ok || at > timeLimit {
		return fmt.Errorf("after %s", at)
	}
	return nil
}

func clusterRow(out io.Writer, name string, r tokensim.ClusterReport) {
	at := func(part float64) string {
		d, ok := r.Percentile(part)
		if !ok {
			return "never"
		}
		return fmt.Sprintf("%.1f s", d.Seconds())
	}
	steady, peak := "", ""
	if r.After > 0 {
		steady, peak = fmt.Sprintf("%.2f", r.Steady), fmt.Sprint(r.SteadyPeak)
	}
	fmt.Fprintf(out, "| %s | %s | %g/s | %.1f s | %s | %s | %s | %s | %s | %.1f | %s | %s |\n", count(r.Nodes), name, r.Quota,
		float64(r.Nodes)/r.Quota, at(0.5), at(0.99), at(0.999), at(1), count(r.Peak), float64(r.Calls)/float64(r.Nodes), steady, peak)
}
