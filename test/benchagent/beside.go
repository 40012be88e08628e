package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"
)

// agentRun is what one run of an agent costs.
type agentRun struct {
	ready time.Duration // from its start until it is ready
	cpu   time.Duration // that it has used by then
	rss   int           // KiB, the largest of the time after that
}

// beside compares the binary, the start and the memory of this agent with those of another one. They
// take turns with the same config on a node where nothing is to be done.
func beside(ctx context.Context, o options) error {
	const upstreams, hosts, settle = 100, 3, 5 * time.Second
	m, err := startMirrors(hosts)
	if err != nil {
		return err
	}
	defer m.close()
	names := [2]string{"berth agent", "the other"}
	var nodes [2]*node
	var runs [2][]agentRun
	binaries := [2]string{o.berth, o.other}
	for i, berth := range binaries {
		o.berth = berth
		if nodes[i], err = newNode(o, fmt.Sprintf("beside-%d", i)); err != nil {
			return err
		}
		defer nodes[i].close()
		if err := nodes[i].save(spread(upstreams, m.addrs, 15*time.Second)); err != nil {
			return err
		}
	}
	for round := range o.rounds + 1 {
		for turn := range nodes {
			i := (turn + round) % len(nodes)
			r, err := nodes[i].once(ctx, settle)
			if err != nil {
				return err
			}
			if round > 0 { // the first one writes the files
				runs[i] = append(runs[i], r)
			}
		}
	}
	median := func(i int, of func(agentRun) float64) float64 {
		var all []float64
		for _, r := range runs[i] {
			all = append(all, of(r))
		}
		slices.Sort(all)
		return all[len(all)/2]
	}
	var size [2]float64 // bytes
	for i, berth := range binaries {
		info, err := os.Stat(berth)
		if err != nil {
			return err
		}
		size[i] = float64(info.Size())
	}
	ready := func(r agentRun) float64 { return r.ready.Seconds() * 1000 }
	cpu := func(r agentRun) float64 { return r.cpu.Seconds() * 1000 }
	rss := func(r agentRun) float64 { return mib(r.rss) }
	fmt.Fprintf(o.out, "\n| %d starts each, %d upstreams, %d mirror hosts; medians | ready after | CPU until then | resident memory, largest of %s | binary |\n|---|---:|---:|---:|---:|\n",
		o.rounds, upstreams, hosts, settle)
	for i, name := range names {
		fmt.Fprintf(o.out, "| %s | %.0f ms | %.0f ms | %.1f MiB | %.1f MB |\n", name, median(i, ready), median(i, cpu), median(i, rss), size[i]/1e6)
	}
	var errs []error
	for _, c := range []struct {
		what  string
		times float64
	}{
		{"ready", median(0, ready) / median(1, ready)}, {"CPU", median(0, cpu) / median(1, cpu)},
		{"memory", median(0, rss) / median(1, rss)}, {"binary", size[0] / size[1]},
	} {
		errs = append(errs, o.limit(c.times <= 1.1, "%s: %.3f times the other (at most 1.1)", c.what, c.times))
	}
	return errors.Join(errs...)
}

// once starts the agent, watches it for a time after it is ready, and stops it.
func (n *node) once(ctx context.Context, watch time.Duration) (agentRun, error) {
	begin := time.Now()
	if err := n.start(ctx); err != nil {
		return agentRun{}, err
	}
	r := agentRun{ready: time.Since(begin)}
	for end := time.Now().Add(watch); time.Now().Before(end); {
		u, err := usageOf(n.cmd.Process.Pid)
		if err != nil {
			return agentRun{}, err
		}
		if r.cpu == 0 {
			r.cpu = u.cpu
		}
		r.rss = max(r.rss, u.rss)
		if err := sleep(ctx, 100*time.Millisecond); err != nil {
			return agentRun{}, err
		}
	}
	_, err := n.stop()
	return r, err
}
