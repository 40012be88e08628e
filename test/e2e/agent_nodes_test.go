package e2e

import (
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/berth-registry/berth/test/e2e/parts"
	"github.com/berth-registry/berth/test/fakes/upstream"
)

// soak reports whether the trials of the agent run in full length, against the promised limits, and
// print the tables of docs/benchmarks.md. Otherwise they are short, and their limits hold on a
// busy machine.
func soak() bool { return os.Getenv("BERTH_SOAK") != "" }

// trial prepares a test of the agent. The short tests run in parallel, because they mostly wait.
func trial(t *testing.T) parts.Set {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("containerd needs root: run make e2e as root")
	}
	if !soak() {
		t.Parallel()
	}
	set, err := parts.Locate(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// nodes runs tests in parallel, independent of the number of processors, each on its own
// containerd, which must not be restarted.
type nodes struct {
	t     *testing.T
	set   parts.Set
	berth string
	wait  sync.WaitGroup
}

func (n *nodes) run(name string, v variant, row func(*fixture)) {
	n.wait.Go(func() {
		n.t.Run(name, func(t *testing.T) {
			b := newDaemonFixture(t, n.set, v)
			b.berth = n.berth
			before := b.identity(t)
			row(newFixture(t, b))
			if after := b.identity(t); after != before {
				t.Errorf("containerd was restarted: it was %s, now it is %s", before, after)
			}
		})
	})
}

// onAll runs a test on each version of containerd.
func (n *nodes) onAll(row func(*fixture, variant)) {
	for _, v := range variants(n.set) {
		n.run(v.name, v, func(s *fixture) { row(s, v) })
	}
}

// byContainerd returns the requests of pulls to a decoy; the agent sends requests too.
func (s *fixture) byContainerd(d *upstream.Decoy) []upstream.Request {
	s.claimed[d] = true
	var pulls []upstream.Request
	for _, r := range d.Requests() {
		if strings.HasPrefix(r.Header.Get("User-Agent"), "containerd/") {
			pulls = append(pulls, r)
		}
	}
	return pulls
}

// hubTells allows the agent to ask Docker Hub for the remaining pulls; those requests do not belong
// to a pull.
func (s *fixture) hubTells() {
	s.Helper()
	d := s.behindProxy("auth.docker.io", upstream.Token("anonymous"))
	s.claimed[d] = true
	s.claimed[s.decoys[hub]] = true
}

// table collects rows of a Markdown table from parallel tests.
type table struct {
	head string
	mu   sync.Mutex
	rows map[string][]string // by version
}

func (r *table) row(version string, cells ...any) {
	line := "| " + version + " |"
	for _, c := range cells {
		line += fmt.Sprintf(" %v |", c)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.rows == nil {
		r.rows = map[string][]string{}
	}
	r.rows[version] = append(r.rows[version], line)
}

// print logs the rows in the order of versions.
func (r *table) print(t *testing.T, versions []variant) {
	t.Helper()
	columns := strings.Count(r.head, "|") - 1
	text := r.head + "\n|" + strings.Repeat("---|", columns) + "\n"
	for _, v := range versions {
		for _, row := range r.rows[v.name] {
			text += row + "\n"
		}
	}
	t.Logf("\n%s", text)
}
