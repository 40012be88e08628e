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

// podMemory is how the chart bounds the memory of an agent.
type podMemory struct {
	limit      int64  // of the pod, in bytes
	goMemLimit string // GOMEMLIMIT of the agent
}

// chartMemory returns it from the rendered chart.
func chartMemory() (podMemory, error) {
	const manifest = "manifests/berth.yaml"
	f, err := os.Open(manifest)
	if err != nil {
		return podMemory{}, err
	}
	defer f.Close()
	for documents := yaml.NewDecoder(f); ; {
		var object struct {
			Kind string
			Spec struct {
				Template struct {
					Spec struct {
						Containers []struct {
							Env       []struct{ Name, Value string }
							Resources struct{ Limits struct{ Memory string } }
						}
					}
				}
			}
		}
		if err := documents.Decode(&object); err != nil {
			return podMemory{}, fmt.Errorf("%s: no DaemonSet: %w", manifest, err)
		}
		if object.Kind != "DaemonSet" {
			continue
		}
		var m podMemory
		agent := object.Spec.Template.Spec.Containers[0]
		if _, err := fmt.Sscanf(agent.Resources.Limits.Memory, "%dMi", &m.limit); err != nil {
			return m, fmt.Errorf("%s: limits.memory: %q: %w", manifest, agent.Resources.Limits.Memory, err)
		}
		m.limit <<= 20
		for _, e := range agent.Env {
			if e.Name == "GOMEMLIMIT" {
				m.goMemLimit = e.Value
			}
		}
		return m, nil
	}
}

// memoryTime is how long an agent with a memory limit is watched at most.
const memoryTime = 2 * time.Minute

// tooLittle is a memory limit in bytes that an agent with 300 endpoints cannot live with.
const tooLittle = 24 << 20

// limited runs an agent with the chart's memory limit while none of its 300 endpoints answers, and
// while clients flood its page. The kernel must not kill it for memory, and the agent must answer after
// the flood: it does not for minutes if so little is left for the pages of the program that the kernel
// evicts them and reads them again. The control is the same with a limit that is too small: the kernel
// must kill it. There those pages do not count.
func limited(ctx context.Context, o options) error {
	pod, err := chartMemory()
	if err != nil {
		return err
	}
	control, err := o.underLimit(ctx, "control", podMemory{tooLittle, pod.goMemLimit}, true)
	errControl := o.limit(control.kills > 0, "the control, with %d MiB, is killed for memory %d times (%v)", tooLittle>>20, control.kills, err)
	m, err := o.underLimit(ctx, "flood", pod, false)
	fmt.Fprintf(o.out, "\n| %d MiB and GOMEMLIMIT=%s, 300 endpoints that accept and do not answer | largest anonymous memory | peak with file cache | killed for memory |\n|---|---:|---:|---:|\n", pod.limit>>20, pod.goMemLimit)
	fmt.Fprintf(o.out, "| probes, then %d connections to the page | %.1f MiB, then %.1f MiB | %.1f MiB | %d |\n", o.flood, mebibytes(m.quiet), mebibytes(m.anon), mebibytes(m.peak), m.kills)
	return errors.Join(errControl, err,
		o.limit(m.kills == 0, "killed for memory %d times (never)", m.kills),
		o.limit(m.anon <= pod.limit*5/8, "largest anonymous memory %.1f MiB (at most five eighths of the limit: the program needs the rest)", mebibytes(m.anon)))
}

func mebibytes(n int64) float64 { return float64(n) / (1 << 20) }

// errKilled ends a trial early.
var errKilled = errors.New("the agent was killed for memory")

// underLimit runs an agent with a memory limit until each endpoint was probed, and then until the
// connections were made and each endpoint was probed again. The memory is valid with an error too.
func (o options) underLimit(ctx context.Context, name string, pod podMemory, cached bool) (m memory, err error) {
	ctx, cancel := context.WithTimeout(ctx, memoryTime)
	defer cancel()
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
	n.cached, n.goMemLimit = cached, pod.goMemLimit
	// As in the pod, whose /tmp counts as memory.
	if n.tmp, err = os.MkdirTemp("/dev/shm", "benchagent-"); err != nil {
		return m, err
	}
	defer os.RemoveAll(n.tmp)
	if n.cgroup, err = newCgroup(fmt.Sprintf("benchagent-%d-%s", os.Getpid(), name), pod.limit); err != nil {
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
		time.Sleep(20 * time.Millisecond) // the kernel adds up the figures at each look
		now, err := n.cgroup.memory()
		if err != nil {
			return err
		}
		now.anon, now.quiet = max(now.anon, m.anon), m.quiet
		if m = now; m.kills > 0 {
			return errKilled
		}
		return nil
	}
	// probed waits until each endpoint was probed this often, and a condition is true.
	probed := func(times uint64, also func() bool) error {
		var failed error
		err := until(ctx, memoryTime, "the endpoints are probed", func() bool {
			if failed = look(); failed != nil {
				return true
			}
			if !also() {
				return false
			}
			s, err := n.snapshot()
			if err != nil { // the flood is on
				return false
			}
			for _, mirror := range s.Mirrors {
				for _, e := range mirror.Endpoints {
					if e.Probes < times {
						return false
					}
				}
			}
			return s.Ready.Ready && len(s.Mirrors) == 100
		})
		return errors.Join(failed, err)
	}
	if err := errors.Join(n.start(ctx), look()); err != nil {
		return m, err
	}
	if err := probed(1, func() bool { return true }); err != nil {
		return m, err
	}
	m.quiet = m.anon
	flooding, stop := context.WithCancel(ctx)
	defer stop()
	flooded := make(chan error, 1)
	go func() { flooded <- flood(flooding, n.page, o.flood) }()
	over, errFlood := false, error(nil)
	err = probed(2, func() bool {
		select {
		case errFlood = <-flooded:
			over = true
		default:
		}
		return over
	})
	if !over {
		stop()
		errFlood = <-flooded
	}
	return m, errors.Join(err, errFlood, look())
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
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, page+"/livez", http.NoBody)
	if err != nil {
		return err
	}
	begin := time.Now()
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return fmt.Errorf("after the flood: no answer for %s: %w", time.Since(begin).Round(time.Second), err)
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
