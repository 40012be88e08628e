package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// mirrors are registries that answer probes and serve no images.
type mirrors struct {
	servers []*http.Server
	addrs   []string
	wg      sync.WaitGroup
}

func startMirrors(n int) (*mirrors, error) {
	m := &mirrors{}
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, errors.Join(err, m.close())
		}
		s := &http.Server{Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})}
		m.servers, m.addrs = append(m.servers, s), append(m.addrs, l.Addr().String())
		m.wg.Go(func() { _ = s.Serve(l) })
	}
	return m, nil
}

func (m *mirrors) close() error {
	var errs []error
	for _, s := range m.servers {
		errs = append(errs, s.Close())
	}
	m.wg.Wait()
	return errors.Join(errs...)
}

// spread returns a config whose upstreams use these mirrors in turn, two each.
func spread(upstreams int, addrs []string, interval time.Duration) string {
	var b strings.Builder
	fmt.Fprintf(&b, "apiVersion: berth/v1alpha1\nkind: RegistryConfig\nhealth: {interval: %s, timeout: 1s}\nmirrors:\n", interval)
	for i := range upstreams {
		fmt.Fprintf(&b, "- upstream: %s\n  endpoints:\n  - url: http://%s/%[1]s\n  - url: http://%[3]s/%[1]s\n",
			upstream(i), addrs[i%len(addrs)], addrs[(i+1)%len(addrs)])
	}
	return b.String()
}

// idle compares an idle agent with a bare HTTP server.
func idle(ctx context.Context, o options) error {
	const upstreams, hosts = 100, 3
	m, err := startMirrors(hosts)
	if err != nil {
		return err
	}
	defer m.close()
	n, err := newNode(o, "idle")
	if err != nil {
		return err
	}
	defer n.close()
	if err := n.save(spread(upstreams, m.addrs, 15*time.Second)); err != nil {
		return err
	}
	if err := n.start(ctx); err != nil {
		return err
	}
	floor, err := startFloor(ctx, o)
	if err != nil {
		return err
	}
	defer func() {
		_ = floor.Process.Kill()
		_ = floor.Wait()
	}()
	if err := sleep(ctx, 20*time.Second); err != nil { // until it has settled
		return err
	}
	var ours, bare []int
	first, err := both(n.cmd.Process.Pid, floor.Process.Pid)
	if err != nil {
		return err
	}
	last := first
	for end := time.Now().Add(o.idle); time.Now().Before(end); {
		if err := sleep(ctx, 5*time.Second); err != nil {
			return err
		}
		if last, err = both(n.cmd.Process.Pid, floor.Process.Pid); err != nil {
			return err
		}
		ours, bare = append(ours, last[0].rss), append(bare, last[1].rss)
	}
	if _, err := n.stop(); err != nil {
		return err
	}
	share := func(i int) float64 { return 100 * (last[i].cpu - first[i].cpu).Seconds() / o.idle.Seconds() }
	fmt.Fprintf(o.out, "\n| nothing happens for %s, %d upstreams, %d mirror hosts | resident memory, largest | CPU, of one core | threads | open files |\n|---|---:|---:|---:|---:|\n",
		o.idle, upstreams, hosts)
	fmt.Fprintf(o.out, "| a bare HTTP server in Go | %.1f MiB | %.3f %% | %d | %d |\n", mib(slices.Max(bare)), share(1), last[1].threads, last[1].files)
	fmt.Fprintf(o.out, "| berth agent | %.1f MiB | %.3f %% | %d | %d |\n", mib(slices.Max(ours)), share(0), last[0].threads, last[0].files)
	return errors.Join(
		o.limit(mib(slices.Max(ours)) <= 36, "%.1f MiB resident (at most 36)", mib(slices.Max(ours))),
		o.limit(share(0) <= 0.1, "%.3f %% of a core (at most 0.1)", share(0)))
}

func mib(kib int) float64 { return float64(kib) / 1024 }

func both(a, b int) ([2]usage, error) {
	ua, err := usageOf(a)
	if err != nil {
		return [2]usage{}, err
	}
	ub, err := usageOf(b)
	return [2]usage{ua, ub}, err
}

func startFloor(ctx context.Context, o options) (*exec.Cmd, error) {
	program, err := build(ctx, o, "./test/benchagent/floor")
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, program)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	address, err := bufio.NewReader(out).ReadString('\n')
	if err == nil {
		// One request, so that the server's code is in memory.
		var response *http.Response
		if response, err = http.Get("http://" + strings.TrimSpace(address)); err == nil {
			err = response.Body.Close()
		}
	}
	if err != nil {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // killed
		return nil, err
	}
	return cmd, nil
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// growth watches memory and files over many probes.
func growth(ctx context.Context, o options) error {
	const hosts = 200
	m, err := startMirrors(hosts)
	if err != nil {
		return err
	}
	defer m.close()
	n, err := newNode(o, "probes")
	if err != nil {
		return err
	}
	defer n.close()
	if err := n.save(spread(hosts, m.addrs, time.Second)); err != nil {
		return err
	}
	if err := n.start(ctx); err != nil {
		return err
	}
	type sample struct {
		probes uint64
		usage  usage
	}
	var samples []sample
	for {
		if err := sleep(ctx, 2*time.Second); err != nil {
			return err
		}
		s, err := n.snapshot()
		if err != nil {
			return err
		}
		u, err := usageOf(n.cmd.Process.Pid)
		if err != nil {
			return err
		}
		var probes uint64
		for _, m := range s.Mirrors {
			probes += m.Endpoints[0].Probes // each host is the first of one upstream
		}
		samples = append(samples, sample{probes, u})
		if probes >= uint64(o.probes) {
			break
		}
	}
	if _, err := n.stop(); err != nil {
		return err
	}
	// Each quarter but the first, in which everything is new.
	peak := func(quarter int) (rss, files int) {
		for _, s := range samples[len(samples)*quarter/4 : len(samples)*(quarter+1)/4] {
			rss, files = max(rss, s.usage.rss), max(files, s.usage.files)
		}
		return rss, files
	}
	fmt.Fprintf(o.out, "\n| %d probes of %d hosts | 2nd quarter | 3rd | 4th |\n|---|---:|---:|---:|\n", samples[len(samples)-1].probes, hosts)
	var rss, files [4]int
	for q := range 4 {
		rss[q], files[q] = peak(q)
	}
	fmt.Fprintf(o.out, "| resident memory, largest | %.1f MiB | %.1f MiB | %.1f MiB |\n", mib(rss[1]), mib(rss[2]), mib(rss[3]))
	fmt.Fprintf(o.out, "| open files, most | %d | %d | %d |\n", files[1], files[2], files[3])
	return o.limit(float64(rss[3]) <= 1.1*float64(rss[1]), "memory of the last quarter %.2f times that of the second (at most 1.1)",
		float64(rss[3])/float64(rss[1]))
}
