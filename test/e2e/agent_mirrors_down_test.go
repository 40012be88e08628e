package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/berth-registry/berth/test/fakes/blackhole"
	"github.com/berth-registry/berth/test/fakes/fakeaws"
)

// deadUpstream is registry.k8s.io with upstreamFallback: false and two mirrors that never answer.
// The first mirror is an ECR registry, whose header is renewed although it never answers.
type deadUpstream struct {
	aws    *fakeaws.Server
	hole   *blackhole.Port
	closed string // the other mirror
	ca     string // file
}

func newDeadUpstream(s *fixture, ca string) *deadUpstream {
	s.Helper()
	hole, err := blackhole.Listen()
	if err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() { must(s.T, hole.Close()) })
	if _, err := hole.Swallow(); err != nil {
		s.Fatal(err)
	}
	return &deadUpstream{aws: s.startAWS(20 * time.Second), hole: hole, closed: s.closedPort(), ca: ca}
}

func (d *deadUpstream) config() string {
	return strings.TrimPrefix(mirrorOf("registry.k8s.io", d.hole.URL("http"), "http://"+d.closed), "mirrors:\n") + only +
		fmt.Sprintf("ecr:\n  registries:\n  - {host: %q, account: \"111122223333\", region: us-east-1}\n", d.hole.Addr().String())
}

// listed reports whether a hosts.toml has both mirrors.
func (d *deadUpstream) listed(hosts string) bool {
	return strings.Contains(hosts, d.hole.URL("http")) && strings.Contains(hosts, `server = "http://`+d.closed)
}

// rules is a record of the hosts.toml files that a goroutine has read.
type rules struct {
	fixture *fixture
	cancel  context.CancelFunc
	wait    sync.WaitGroup
	known   atomic.Bool // the agent knows by now that all are down

	problems []string
	tokens   map[string]bool
	looks    int
}

// watch reads hosts.toml in a loop. There must always be a mirror and nothing else, and both
// mirrors once the agent knows that both are down.
func (d *deadUpstream) watch(s *fixture) *rules {
	ctx, cancel := context.WithCancel(s.Context())
	r := &rules{fixture: s, cancel: cancel, tokens: map[string]bool{}}
	file := filepath.Join(s.root, certsDir, "registry.k8s.io", "hosts.toml")
	r.wait.Go(func() {
		for ctx.Err() == nil {
			known := r.known.Load() // before the file is read
			content, err := os.ReadFile(file)
			r.look(d, string(content), known, err)
			time.Sleep(5 * time.Millisecond)
		}
	})
	s.Cleanup(func() {
		cancel()
		r.wait.Wait()
	})
	return r
}

// allKnown tells the goroutine that the agent knows about the mirrors from now on.
func (r *rules) allKnown() { r.known.Store(true) }

func (r *rules) look(d *deadUpstream, hosts string, known bool, err error) {
	r.looks++
	var lines []string
	for line := range strings.Lines(hosts) {
		if !strings.HasPrefix(line, "#") {
			lines = append(lines, line)
		}
	}
	hosts = strings.Join(lines, "")
	if token := tokenIn(hosts); token != "" {
		r.tokens[token] = true
	}
	listed := d.listed(hosts) || !known && strings.Contains(hosts, "http://127.0.0.1:")
	if (err != nil || !listed || strings.Contains(hosts, "k8s.io")) && len(r.problems) < 3 {
		r.problems = append(r.problems, fmt.Sprintf("hosts.toml of registry.k8s.io must list its two mirrors and nothing else (%v):\n%s", err, indent(hosts)))
	}
}

// end stops the goroutine and reports violations.
func (r *rules) end() {
	r.fixture.Helper()
	r.cancel()
	r.wait.Wait()
	for _, p := range r.problems {
		r.fixture.Error(p)
	}
	if r.looks < 100 {
		r.fixture.Errorf("looked %d times only", r.looks)
	}
	if len(r.tokens) < 2 {
		r.fixture.Errorf("%d tokens were seen in the header of a dead mirror, it must be renewed all the same", len(r.tokens))
	}
	for token := range r.tokens {
		r.fixture.keepSecret("AWS", token, nil)
	}
	r.fixture.secretsAreKept()
}

// stays checks that the agent reports all mirrors as down and withdraws none. A pull fails or
// waits; finish checks that the upstream is not asked.
func (d *deadUpstream) stays(agent *agentProcess) {
	s := agent.fixture
	s.Helper()
	for _, mirror := range []string{d.hole.Addr().String(), d.closed} {
		for name, want := range map[string]string{"berth_mirror_up": "0", "berth_mirror_withdrawn": "0"} {
			if got, ok := agent.metric(name, `upstream="registry.k8s.io"`, mirror); !ok || got != want {
				s.Errorf("%s of %s is %q, want %s", name, mirror, got, want)
			}
		}
	}
	if got, ok := agent.metric("berth_alarm", `name="AllMirrorsDown"`); !ok || got != "1" {
		s.Errorf("alarm AllMirrorsDown is %q, want 1", got)
	}
	ctx, cancel := context.WithTimeout(s.Context(), 3*time.Second)
	defer cancel()
	if got, err := s.daemon.Pull(ctx, "registry.k8s.io/library/app:v1", nil); err == nil {
		s.Errorf("pull: got %q of registries that are dead", got.RepoDigests)
	}
	if before := d.aws.Count(fakeaws.ECR, ""); before < 2 {
		s.Errorf("ECR was called %d times", before)
	}
}
