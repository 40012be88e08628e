package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"go.yaml.in/yaml/v3"
)

// chartLimit returns the memory limit of the chart's pods in bytes.
func chartLimit() (int64, error) {
	text, err := os.ReadFile("manifests/chart/values.yaml")
	if err != nil {
		return 0, err
	}
	var values struct {
		Resources struct{ Limits struct{ Memory string } }
	}
	if err := yaml.Unmarshal(text, &values); err != nil {
		return 0, err
	}
	var mebibytes int64
	if _, err := fmt.Sscanf(values.Resources.Limits.Memory, "%dMi", &mebibytes); err != nil {
		return 0, fmt.Errorf("values.yaml: resources.limits.memory: %q: %w", values.Resources.Limits.Memory, err)
	}
	return mebibytes << 20, nil
}

// limited runs an agent with the chart's memory limit while none of its 300 endpoints answers, and
// while clients flood its page. The kernel must not kill it for memory. The control is an agent that
// frees no memory: it must be killed, or get stuck because no page of the program stays in memory.
func limited(ctx context.Context, o options) error {
	limit, err := chartLimit()
	if err != nil {
		return err
	}
	control, err := o.underLimit(ctx, "control", limit, o.flood, "GOGC=off")
	errControl := o.limit(err != nil || control.kills > 0, "the control, killed for memory %d times, does not get through (%v)", control.kills, err)
	fmt.Fprintf(o.out, "\n| %d MiB, 300 endpoints that accept and do not answer | largest anonymous memory | peak with file cache | killed for memory |\n|---|---:|---:|---:|\n", limit>>20)
	dead, err := o.underLimit(ctx, "dead", limit, 0)
	fmt.Fprintf(o.out, "| probes alone | %.1f MiB | %.1f MiB | %d |\n", float64(dead.anon)/(1<<20), float64(dead.peak)/(1<<20), dead.kills)
	flooded, errFlood := o.underLimit(ctx, "flood", limit, o.flood)
	fmt.Fprintf(o.out, "| and %d connections to the page | %.1f MiB | %.1f MiB | %d |\n", o.flood, float64(flooded.anon)/(1<<20), float64(flooded.peak)/(1<<20), flooded.kills)
	return errors.Join(errControl, err, errFlood,
		o.limit(dead.kills+flooded.kills == 0, "killed for memory %d times (never)", dead.kills+flooded.kills),
		o.limit(max(dead.anon, flooded.anon) <= limit*3/4, "largest anonymous memory %.1f MiB (at most three quarters of the limit)",
			float64(max(dead.anon, flooded.anon))/(1<<20)))
}

// underLimit runs an agent with a memory limit until each endpoint was probed several times and the
// connections were made. The memory is valid with an error too.
func (o options) underLimit(ctx context.Context, name string, limit int64, connections int, env ...string) (m memory, err error) {
	silent, err := net.Listen("tcp", ":0") // all of 127.0.0.0/8
	if err != nil {
		return m, err
	}
	var accepting sync.WaitGroup
	accepting.Go(func() { holdAll(silent) })
	defer accepting.Wait()
	defer silent.Close()
	n, err := newNode(o, "memory-"+name)
	if err != nil {
		return m, err
	}
	defer n.close()
	n.env = env
	// As in the pod, whose /tmp counts as memory.
	if n.tmp, err = os.MkdirTemp("/dev/shm", "benchagent-"); err != nil {
		return m, err
	}
	defer os.RemoveAll(n.tmp)
	if n.cgroup, err = newCgroup(fmt.Sprintf("benchagent-%d-%s", os.Getpid(), name), limit); err != nil {
		return m, err
	}
	defer func() {
		n.close()
		err = errors.Join(err, n.cgroup.remove(ctx))
	}()
	port := silent.Addr().(*net.TCPAddr).Port
	if err := n.save(deadEndpoints(port)); err != nil {
		return m, err
	}
	look := func() error {
		now, err := n.cgroup.memory()
		now.anon = max(now.anon, m.anon)
		m = now
		return err
	}
	if err := n.start(ctx); err != nil {
		return m, errors.Join(err, look())
	}
	flooded := make(chan error, 1)
	go func() { flooded <- flood(ctx, n.page, connections) }()
	const probes = 3 // of each endpoint
	var done bool
	err = until(ctx, 10*time.Minute, "the endpoints are probed", func() bool {
		if err = look(); err != nil || m.kills > 0 {
			return true
		}
		if !done {
			select {
			case err = <-flooded:
				done = true
			default:
				return false
			}
		}
		s, errStatus := n.snapshot()
		if errStatus != nil {
			return false
		}
		for _, mirror := range s.Mirrors {
			for _, e := range mirror.Endpoints {
				if e.Probes < probes {
					return false
				}
			}
		}
		return s.Ready.Ready && len(s.Mirrors) == 100
	})
	if !done {
		<-flooded
	}
	return m, errors.Join(err, look())
}

// holdAll accepts connections and answers none, until the listener is closed.
func holdAll(l net.Listener) {
	var held []net.Conn
	for {
		conn, err := l.Accept()
		if err != nil {
			break
		}
		held = append(held, conn)
		if len(held) == 600 { // the clients of the first ones have given up
			held[0].Close()
			held = held[1:]
		}
	}
	for _, conn := range held {
		conn.Close()
	}
}

// deadEndpoints is a config of 100 upstreams with 300 endpoints of 300 hosts.
func deadEndpoints(port int) string {
	var b strings.Builder
	b.WriteString("apiVersion: berth/v1alpha1\nkind: RegistryConfig\nhealth: {interval: 2s, timeout: 1s}\nmirrors:\n")
	for i := range 100 {
		fmt.Fprintf(&b, "- upstream: %s\n  endpoints:\n", upstream(i))
		for j := range 3 {
			fmt.Fprintf(&b, "  - url: https://127.1.%d.%d:%d/%s\n", j, i+1, port, upstream(i))
		}
	}
	return b.String()
}

// flood makes connections to the page, a hundred at a time: with headers that do not end, with
// headers that are too large, and with requests for large answers that are not read.
func flood(ctx context.Context, page string, connections int) error {
	address := strings.TrimPrefix(page, "http://")
	var made atomic.Int64
	var clients sync.WaitGroup
	var refused atomic.Pointer[error]
	for range 100 {
		clients.Go(func() {
			for i := made.Add(1); i <= int64(connections) && ctx.Err() == nil; i = made.Add(1) {
				if err := attack(address, int(i)); err != nil {
					refused.Store(&err)
					return
				}
			}
		})
	}
	clients.Wait()
	if err := refused.Load(); err != nil {
		return *err
	}
	if connections == 0 {
		return nil
	}
	response, err := http.Get(page + "/livez")
	if err != nil {
		return fmt.Errorf("after the flood: %w", err)
	}
	return response.Body.Close()
}

// attack makes one connection and holds it for a moment. The page may close it at any time.
func attack(address string, i int) error {
	conn, err := net.DialTimeout("tcp", address, time.Minute)
	if err != nil {
		return fmt.Errorf("connection %d: %w", i, err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(2 * time.Second))
	switch i % 4 {
	case 0: // one byte after the other
		for _, c := range "GET / HTTP/1.1\r\nX: " {
			_, _ = conn.Write([]byte{byte(c)})
			time.Sleep(10 * time.Millisecond)
		}
	case 1:
		_, _ = io.WriteString(conn, "GET / HTTP/1.1\r\nX: "+strings.Repeat("x", 1<<20))
	default:
		path := []string{"/", "/metrics", "/status"}[i/4%3]
		_, _ = io.WriteString(conn, "GET "+path+" HTTP/1.1\r\nHost: x\r\n\r\n")
		time.Sleep(100 * time.Millisecond)
	}
	return nil
}
