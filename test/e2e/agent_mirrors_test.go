package e2e

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/berth-registry/berth/test/e2e/registry"
	"github.com/berth-registry/berth/test/fakes/upstream"
)

// mirrorTrial is the length of a trial, and its limits.
type mirrorTrial struct {
	dialTimeout  time.Duration
	pairs, fewer int     // pulls that are compared: with the mirror that fails first, and elsewhere
	rounds       int     // of pairs, until the ratio is good
	good, bad    float64 // ratio to a healthy pull: stop measuring at or below good, fail above bad
	agents       []agentTrial

	// still lets one version measure at a time.
	still        *sync.Mutex
	pulls, times *table
}

// agentTrial is one run of the agent.
type agentTrial struct {
	health  string
	allowed time.Duration // from its failure until it is out of hosts.toml, and from its return until it is in
	deaths  int           // of each kind
	pulls   bool          // compare pulls
}

// TestAgentMirrors makes the first mirror of an upstream fail in two ways, several times, and pulls
// images of four layers. Without the agent the pulls show the cost of a dead mirror. With the
// agent, which must remove the mirror from hosts.toml and add it again, a dead mirror must cost
// nothing.
//
// A second upstream must not be asked itself and has only mirrors that never answer, one of them an
// ECR registry.
func TestAgentMirrors(t *testing.T) {
	set := trial(t)
	plan := mirrorTrial{
		dialTimeout: 500 * time.Millisecond,
		// With a dead mirror the ratio would be about 7.
		pairs: 9, fewer: 3, rounds: 3, good: 1.2, bad: 4,
		// On a busy machine the living mirror, which is in this process, has taken more than a
		// second to answer, twice in a row.
		agents: []agentTrial{{health: "{interval: 3s, timeout: 3s, failures: 2, successes: 2}", allowed: patience, deaths: 1, pulls: true}},
		still:  new(sync.Mutex),
		pulls:  &table{head: "| containerd | the first mirror | pull | healthy pull | ratio | of pulls | requests to the first mirror | to others |"},
		times:  &table{head: "| containerd | interval, timeout | the first mirror | deaths | withdrawn after, longest | back after, longest | allowed |"},
	}
	if soak() {
		plan.dialTimeout = 2 * time.Second
		plan.pairs, plan.fewer, plan.bad = 21, 21, plan.good
		plan.agents = []agentTrial{
			{health: "{interval: 1s, timeout: 500ms, failures: 2, successes: 2}", allowed: 4 * time.Second, deaths: 10, pulls: true},
			{health: "{interval: 15s, timeout: 2s, failures: 2, successes: 2}", allowed: 32 * time.Second, deaths: 2}, // the defaults
		}
	}
	n := &nodes{t: t, set: set, berth: berthBinary(t)}
	n.onAll(func(s *fixture, v variant) {
		node := newMirrorNode(s, plan, v)
		node.withoutAgent()
		for _, a := range plan.agents {
			node.withAgent(a)
		}
	})
	n.wait.Wait()
	if soak() {
		plan.pulls.print(t, variants(set))
		plan.times.print(t, variants(set))
	}
}

// mirrorNode is a node with a mirror that fails in front of one that always answers.
type mirrorNode struct {
	*fixture
	plan     mirrorTrial
	variant  variant
	first    *failingMirror
	second   *failingMirror // which always answers
	dead     *deadUpstream
	env      []string
	numbered int // number of images so far

	mirrored, healthy path // with and without the mirror that fails, from the second mirror
	hub, direct       path // the same, from the upstream
	reference         time.Duration
}

func newMirrorNode(s *fixture, plan mirrorTrial, v variant) *mirrorNode {
	s.Helper()
	ca, store := s.authority("mirrors"), s.registry(registry.Options{})
	n := &mirrorNode{fixture: s, plan: plan, variant: v, first: s.failingMirror(ca, store), second: s.failingMirror(ca, store)}
	n.dead = newDeadUpstream(s, s.file("ca.pem", string(ca.PEM())))
	n.env = s.awsEnv(n.dead.aws)
	s.hubTells()
	content := upstream.NewContent()
	for _, host := range []string{"ghcr.io", "gcr.io"} {
		s.claimed[s.behindProxy(host, content)] = true
	}
	n.mirrored, n.healthy = path{"docker.io", store}, path{"quay.io", store}
	n.hub, n.direct = path{"ghcr.io", content}, path{"gcr.io", content}
	return n
}

// config has two upstreams with the mirror that fails, one with the other mirror alone, and one
// whose mirrors never answer.
func (n *mirrorNode) config(health string) string {
	first, second := n.first.url(), n.second.url()
	return mirrorOf("docker.io", first) + fmt.Sprintf("    dialTimeout: %s\n  - url: %q\n", n.plan.dialTimeout, second) +
		fmt.Sprintf("- upstream: ghcr.io\n  endpoints:\n  - {url: %q, dialTimeout: %s}\n", first, n.plan.dialTimeout) +
		fmt.Sprintf("- upstream: quay.io\n  endpoints:\n  - url: %q\n", second) +
		n.dead.config() +
		fmt.Sprintf("registries:\n- {host: %q, tls: {caFile: %q}}\n- {host: %q, tls: {caFile: %q}}\n", n.first.addr(), n.dead.ca, n.second.addr(), n.dead.ca) +
		"health: " + health + "\n"
}

// listed reports whether hosts.toml names the mirror that fails, for both upstreams and for at
// least one.
func (n *mirrorNode) listed() (both, either bool) {
	n.Helper()
	a, b := strings.Contains(n.hostsFile("docker.io"), n.first.addr()), strings.Contains(n.hostsFile("ghcr.io"), n.first.addr())
	return a && b, a || b
}

// withoutAgent measures the cost of a dead mirror. It is also the control of the rest: the request
// to a dead mirror is seen, and the pull is slow.
func (n *mirrorNode) withoutAgent() {
	n.applyOnce(n.env, n.config("{mode: off}"))
	n.first.fail(blackHole)
	if soak() {
		n.hosts("alone.example", fmt.Sprintf("[host.%q]\ncapabilities = [\"pull\", \"resolve\"]\nca = %q\n[host.%q]\ncapabilities = [\"pull\", \"resolve\"]\nca = %q\n",
			n.first.url(), n.dead.ca, n.second.url(), n.dead.ca))
		n.pullPast("black hole, no dial_timeout", path{"alone.example", n.healthy.at}, 10*time.Minute)
		n.pullPast("black hole, dial_timeout", n.mirrored, 10*time.Minute)
	} else {
		n.pullPast("black hole, dial_timeout", n.mirrored, pullTime)
	}
	n.first.restore()
	n.first.fail(hanging)
	if soak() {
		n.pullPast("hangs, dial_timeout", n.mirrored, 10*time.Minute)
	} else if n.older {
		// The pull would not end here, and ends after minutes elsewhere.
		n.pullPast("hangs, dial_timeout", n.mirrored, 3*time.Second)
	}
	n.first.restore()
}

// pullPast makes one pull past the dead mirror, which must be slow. The pull is given up after limit.
func (n *mirrorNode) pullPast(situation string, p path, limit time.Duration) {
	if n.first.how == hanging && n.older {
		limit = min(limit, 3*time.Minute) // it waits for ever
	}
	if !soak() && n.older {
		limit = 3 * time.Second // 1.6 does not know dial_timeout and waits 30 s for each request
	}
	t := n.next(p, limit)
	dead, all := asked([]timing{t}, n.first.addr())
	if dead == 0 {
		n.Errorf("%s: the dead mirror was not asked: %v", situation, t.asked)
	}
	// Four requests follow each other, and each waits.
	if least := min(limit, 4*n.plan.dialTimeout); t.took < least {
		n.Errorf("%s: the pull took %s only, which is less than %s", situation, t.took, least)
	}
	took, others := short(t.took), fmt.Sprint(all-dead)
	switch {
	case t.err != nil && t.took >= limit:
		// Requests of the pull that was given up have no meaning.
		took, others = "not within "+limit.String(), "–"
	case t.err != nil:
		n.Errorf("%s: %v", situation, t.err)
	}
	n.Logf("%s: %s, %d requests to the dead mirror, %s to others", situation, took, dead, others)
	n.plan.pulls.row(n.variant.name, situation, took, short(n.idle()), fmt.Sprintf("%.0f", t.took.Seconds()/n.idle().Seconds()), 1, dead, others)
}

// idle is a healthy pull, to compare the slow ones with.
func (n *mirrorNode) idle() time.Duration {
	n.Helper()
	if n.reference == 0 {
		var all []timing
		for range n.plan.fewer {
			all = append(all, n.mustNext(n.healthy))
		}
		n.reference = median(all)
	}
	return n.reference
}

// withAgent makes the mirror fail and return while the agent runs.
func (n *mirrorNode) withAgent(a agentTrial) {
	agent := n.startAgent(n.env, n.config(a.health))
	rules := n.dead.watch(n.fixture)
	limit := patience + 2*a.allowed
	n.until("all is known about the mirrors", limit, func() bool {
		return agent.mirrorIs("1", "docker.io", n.first.addr()) && agent.mirrorIs("1", "quay.io", n.second.addr()) &&
			agent.mirrorIs("0", "registry.k8s.io", n.dead.hole.Addr().String()) && agent.mirrorIs("0", "registry.k8s.io", n.dead.closed)
	})
	n.until("both mirrors of registry.k8s.io are listed", patience, func() bool { return n.dead.listed(n.hostsFile("registry.k8s.io")) })
	rules.allKnown()
	n.serves()
	if soak() && a.pulls {
		n.ratio("answers", n.plan.pairs, n.mirrored, n.healthy)
	}
	for _, how := range []outage{blackHole, hanging} {
		var gone, back time.Duration
		for i := range a.deaths {
			died := n.first.fail(how)
			n.until("the dead mirror is withdrawn", limit, func() bool { _, either := n.listed(); return !either })
			gone = max(gone, time.Since(died))
			if i == 0 && a.pulls {
				n.ratio(string(how)+", withdrawn: from the second", n.plan.pairs, n.mirrored, n.healthy)
				n.ratio(string(how)+", withdrawn: from the upstream", n.plan.fewer, n.hub, n.direct)
			}
			risen := n.first.restore()
			n.until("the mirror is back", limit, func() bool { both, _ := n.listed(); return both })
			back = max(back, time.Since(risen))
			n.serves()
		}
		n.Logf("%s: withdrawn after %s, back after %s", how, gone, back)
		n.plan.times.row(n.variant.name, a.health, how, a.deaths, short(gone), short(back), short(a.allowed))
		if gone > a.allowed || back > a.allowed {
			n.Errorf("%s: withdrawn after %s, back after %s, allowed are %s", how, gone, back, a.allowed)
		}
	}
	n.dead.stays(agent)
	rules.end()
	agent.stop()
}

// serves checks that the first mirror serves a pull.
func (n *mirrorNode) serves() {
	n.Helper()
	before := n.first.answered()
	if t := n.mustNext(n.mirrored); n.first.answered()-before != requests {
		n.Errorf("the first mirror has answered %d requests, not %d: %v", n.first.answered()-before, requests, t.asked)
	}
}

// ratio checks that pulls along suspect are as fast as along healthy, on which there is no dead
// mirror, and that they do not ask a dead mirror.
func (n *mirrorNode) ratio(situation string, pairs int, suspect, healthy path) {
	if soak() {
		n.plan.still.Lock()
		defer n.plan.still.Unlock()
	}
	var with, without []timing
	var ratio float64
	for round := 0; round < n.plan.rounds && (round == 0 || ratio > n.plan.good); round++ {
		a, b := n.pairs(pairs, suspect, healthy)
		with, without = append(with, a...), append(without, b...)
		ratio = float64(median(with)) / float64(median(without))
	}
	n.Logf("%s: %s, healthy %s, ratio %.2f of %d pulls each", situation, median(with), median(without), ratio, len(with))
	if ratio > n.plan.bad {
		n.Errorf("%s: a pull takes %s, %.2f times a healthy one", situation, median(with), ratio)
	}
	first, all := asked(with, n.first.addr())
	if n.first.how != "" && first > 0 {
		n.Errorf("%s: a pull has asked the dead mirror %d times", situation, first)
	}
	n.plan.pulls.row(n.variant.name, situation, short(median(with)), short(median(without)), fmt.Sprintf("%.2f", ratio), len(with), first, all-first)
}
