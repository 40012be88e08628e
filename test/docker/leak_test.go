//go:build e2e

package docker

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"

	"github.com/berth-registry/berth/test/fakes/upstream"
)

// leakTrials is the number of random nodes, and controlTrials that of the control.
var leakTrials = flag.Int("nodes", controlTrials, "random nodes of TestLeaks")

const controlTrials = 30

// TestLeaks puts random mirrors, logins and settings of Docker on a node and pulls or builds. No
// decoy may see the login of another host.
//
// The control has the same nodes, but Docker's own settings change after berth apply: that must be
// found.
func TestLeaks(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	used, found := 0, 0
	for seed := range uint64(*leakTrials) {
		t.Run(fmt.Sprintf("seed-%d", seed), func(t *testing.T) {
			if newLeakNode(t, m, seed).pull(false) {
				used++
			}
		})
	}
	if used < *leakTrials/4 {
		t.Errorf("only %d of %d trials used a login", used, *leakTrials)
	}
	for seed := range uint64(controlTrials) {
		t.Run(fmt.Sprintf("control-%d", seed), func(t *testing.T) {
			node := newLeakNode(t, m, seed)
			node.pull(true)
			if len(node.leaks()) > 0 {
				found++
			}
			node.secrets = nil // no fault here
		})
	}
	t.Logf("matrix: of %d nodes %d used a login; %d of %d leak in the control", *leakTrials, used, found, controlTrials)
	if found == 0 {
		t.Error("the control sends no login to another host, so this test can find none")
	}
}

// leakNode is a random node.
type leakNode struct {
	*fixture
	random   *rand.Rand
	config   string
	docker   settings
	client   *login // of the client of the API, or of the docker command
	base     string // the image
	upstream *decoy
}

// chance reports true in one of n cases.
func (n *leakNode) chance(of int) bool { return n.random.IntN(of) == 0 }

func newLeakNode(t *testing.T, m *machine, seed uint64) *leakNode {
	t.Helper()
	n := &leakNode{fixture: newFixture(t, m), random: rand.New(rand.NewPCG(seed, 0))}
	// BuildKit remembers a repository, so each trial has its own.
	path := fmt.Sprintf("library/app%d-%d:v1", seed, n.logSize())
	c, _ := n.stocked(path)
	name := "docker.io"
	n.upstream = n.decoys[hub]
	if n.chance(2) {
		name = "quay.io"
		n.upstream = n.decoys["quay.io"]
	}
	n.base = name + "/" + path
	realm := n.behindProxy("auth.corp", oauth("granted"))
	var logins strings.Builder

	// The upstream: open, with a login of the config or the client, or with tokens.
	at := []*decoy{n.upstream}
	switch n.random.IntN(4) {
	case 0:
		n.upstream.answerWith(c)
	case 1:
		n.upstream.answerWith(upstream.Basic("registry", "of the registry", c))
		logins.WriteString(n.entry(name, "registry", "of the registry", n.upstream))
	case 2:
		n.upstream.answerWith(upstream.Basic("client", "of the client", c))
	case 3:
		n.upstream.answerWith(upstream.Bearer("https://auth.corp/token", "granted", c))
		at = append(at, realm)
		logins.WriteString(n.entry(name, "registry", "of the registry", n.upstream))
	}
	if n.chance(2) {
		n.client = &login{Username: "client", Password: "of the client"}
	}
	// The mirrors. What does not have the image challenges, so that it would receive a login.
	var endpoints []string
	for i := range n.random.IntN(3) {
		user, word := fmt.Sprintf("mirror%d", i), fmt.Sprintf("of mirror %d", i)
		var answer http.Handler = c
		if n.chance(2) {
			answer = upstream.Status(http.StatusNotFound)
		}
		switch n.random.IntN(3) {
		case 0:
			answer = upstream.Basic("another", "login", answer)
		case 1:
			answer = upstream.Basic(user, word, answer)
		case 2:
			answer = upstream.Bearer("https://auth.corp/token", "granted", answer)
		}
		d := n.mirror(answer)
		endpoints = append(endpoints, d.url())
		if n.chance(2) {
			logins.WriteString(n.entry(d.Addr(), user, word, d))
		}
	}
	if len(endpoints) > 0 {
		of := name
		if n.chance(4) {
			of = "*"
		}
		n.config = mirrorOf(of, endpoints...)
		if n.chance(2) {
			n.config += only
		}
	}
	if logins.Len() > 0 {
		n.config += "registries:\n" + logins.String()
	}
	if n.config == "" {
		n.config = "mirrors: []\n"
	}

	// Docker's own settings.
	if n.chance(2) {
		n.docker.Mirrors = []string{n.mirror(upstream.Basic("another", "login", c)).url()}
	}
	if n.chance(4) {
		n.docker.Insecure = []string{"quay.io"}
		if n.upstream.name == "quay.io" { // and an impostor in its place
			impostor, _ := n.private("quay.io:443", nil, upstream.Basic("another", "login", c))
			at = append(at, impostor) // Docker sends its client's login there; that is its setting
		}
	}
	n.keep("client", "of the client", at...)
	for _, d := range n.decoys {
		d.claimed = true
	}
	return n
}

// entry returns an entry of registries with a login that only d may see.
func (n *leakNode) entry(host, username, password string, d *decoy) string {
	n.keep(username, password, d)
	return fmt.Sprintf("- {host: %q, username: %s, password: %q, auth: basic}\n", host, username, password)
}

// pull applies the config and pulls or builds, and reports whether a login reached its own host. It
// may fail: a mirror may lack the image. In the control, Docker's settings come late.
func (n *leakNode) pull(control bool) (used bool) {
	n.Helper()
	if !control {
		n.daemonJSON(n.docker)
	}
	n.apply(n.config)
	if control {
		n.daemonJSON(n.docker)
	}
	ctx, cancel := context.WithTimeout(n.Context(), patience)
	defer cancel()
	if n.chance(4) {
		config := noLogins
		if n.client != nil {
			config = fmt.Sprintf(`{"auths": {%q: {"auth": %q}}}`, strings.Split(n.base, "/")[0],
				strings.TrimPrefix(basic(n.client.Username, n.client.Password), "Basic "))
		}
		_, _ = n.build(ctx, n.base, config)
	} else {
		_, _ = n.engine.pull(ctx, n.base, n.client)
	}
	if ctx.Err() != nil {
		n.Fatal(ctx.Err())
	}
	for _, secret := range n.secrets {
		for _, d := range secret.at {
			used = used || d.saw(secret)
		}
	}
	return used
}
