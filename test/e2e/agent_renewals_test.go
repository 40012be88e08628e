package e2e

import (
	"context"
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/berth-registry/berth/test/e2e/registry"
	"github.com/berth-registry/berth/test/fakes/ecrstandin"
	"github.com/berth-registry/berth/test/fakes/fakeaws"
	"github.com/berth-registry/berth/test/fakes/upstream"
	"github.com/berth-registry/berth/test/sample"
)

// renewalTrial says how long it takes.
type renewalTrial struct {
	life     time.Duration // of a token
	renewals int           // while pulls go on
	last     time.Duration // life of the last one, which cannot be renewed
}

// TestAgentRenewals pulls through a mirror that takes only unexpired tokens of
// ECR, a new image every second, while the agent renews them. Docker Hub has
// every image too, so what the mirror refuses is served all the same, and seen.
// Then ECR denies the next token.
//
// The control has its header from "berth apply" and no agent, and must be
// caught by the same checks.
func TestAgentRenewals(t *testing.T) {
	set := trial(t)
	plan := renewalTrial{life: time.Minute, renewals: 3, last: 20 * time.Second}
	if soak() {
		plan.renewals, plan.last = 20, plan.life
	}
	images := newStock(t, set.Registry)
	n := &nodes{t: t, set: set, berth: berthBinary(t)}
	results := &table{head: "| containerd | pulls | renewals | failed | at Docker Hub | refused by the mirror | calls of ECR | slowest pull | header gone before expiry |"}
	n.onAll(func(s *scene, v variant) {
		node := newECRNode(s, images, plan.life)
		node.agent = s.startAgent(node.env, node.config())
		node.renewals(plan)
		kept := node.tally
		calls, upstream := node.aws.Count(fakeaws.ECR, ""), len(s.byContainerd(s.decoys[hub]))
		early := node.denied(plan)
		results.row(v.name, kept.pulls, plan.renewals, len(kept.failed), upstream, node.refused(), calls,
			kept.slowest.Round(time.Millisecond), early.Round(100*time.Millisecond))
	})
	all := variants(set)
	n.run("control", all[len(all)-1], func(s *scene) {
		node := newECRNode(s, images, plan.life)
		s.applyOnce(node.env, node.config())
		node.caught(plan)
	})
	n.wait.Wait()
	if soak() {
		results.print(t, all)
	}
}

// stock has a new image for each number: in the mirror's registry below hub/,
// and at Docker Hub.
type stock struct {
	mirror *registry.Registry
	hub    *upstream.Content

	mu   sync.Mutex
	made map[int]sample.Image
}

func newStock(t *testing.T, program string) *stock {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	r, err := registry.Start(ctx, program, registry.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { must(t, r.Close()) })
	return &stock{mirror: r, hub: upstream.NewContent(), made: map[int]sample.Image{}}
}

func (st *stock) image(s *scene, number int) sample.Image {
	s.Helper()
	st.mu.Lock()
	defer st.mu.Unlock()
	img, ok := st.made[number]
	if !ok {
		repository := fmt.Sprintf("library/app:t%d", number)
		img = s.image("hub/"+repository, st.mirror)
		s.push(repository, img, st.hub)
		st.made[number] = img
	}
	return img
}

// ecrNode is a node whose mirror is a private ECR registry.
type ecrNode struct {
	*scene
	images *stock
	aws    *fakeaws.Server
	ecr    *ecrstandin.Registry
	env    []string
	agent  *agentProcess // nil: none runs
	tally  tally
}

// tally is what became of the pulls.
type tally struct {
	pulls   int
	failed  []string
	slowest time.Duration
}

func newECRNode(s *scene, images *stock, life time.Duration) *ecrNode {
	s.Helper()
	aws := s.startAWS(life)
	ecr, err := ecrstandin.Start(aws, images.mirror.URL())
	if err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() { must(s.T, ecr.Close()) })
	s.hubTells()
	s.decoys[hub].Answer(images.hub)
	return &ecrNode{scene: s, images: images, aws: aws, ecr: ecr, env: s.awsEnv(aws)}
}

// config has the same mirror for two upstreams, of which one may be asked.
func (n *ecrNode) config() string {
	mirror := "http://" + n.ecr.Addr() + "/hub"
	return mirrorOf("docker.io", mirror) +
		strings.TrimPrefix(mirrorOf("quay.io", mirror), "mirrors:\n") + only +
		fmt.Sprintf("ecr:\n  registries:\n  - {host: %q, account: \"111122223333\", region: us-east-1}\n", n.ecr.Addr())
}

// pullNext pulls the next image, a second after the last one was begun.
func (n *ecrNode) pullNext() {
	n.Helper()
	next := time.NewTimer(time.Second)
	defer next.Stop()
	n.tally.pulls++
	img := n.images.image(n.scene, n.tally.pulls)
	ref := fmt.Sprintf("docker.io/library/app:t%d", n.tally.pulls)
	began := time.Now()
	ctx, cancel := context.WithTimeout(n.Context(), pullTime)
	defer cancel()
	got, err := n.daemon.Pull(ctx, ref, nil)
	switch {
	case err != nil:
		n.tally.failed = append(n.tally.failed, fmt.Sprintf("pull %s: %v", ref, err))
	case got.ID != img.Blobs[0]:
		n.tally.failed = append(n.tally.failed, fmt.Sprintf("pull %s: got image %s, want %s", ref, got.ID, img.Blobs[0]))
	}
	n.tally.slowest = max(n.tally.slowest, time.Since(began))
	n.images.image(n.scene, n.tally.pulls+1) // now, while nothing is measured
	<-next.C
}

// tokens counts the tokens with which containerd has been let in.
func (n *ecrNode) tokens() int {
	seen := map[string]bool{}
	for _, r := range n.ecr.Requests() {
		if r.ByContainerd() && r.Verdict == ecrstandin.LetIn {
			seen[r.Token] = true
		}
	}
	return len(seen)
}

// refused counts the requests of containerd that the mirror has refused though
// they came with a login.
func (n *ecrNode) refused() int {
	count := 0
	for _, r := range n.ecr.Requests() {
		if r.ByContainerd() && r.Verdict != ecrstandin.LetIn && r.Verdict != ecrstandin.NoLogin {
			count++
		}
	}
	return count
}

// troubles lists what must not happen as long as tokens can be had.
func (n *ecrNode) troubles() []string {
	found := append([]string(nil), n.tally.failed...)
	for _, r := range n.byContainerd(n.decoys[hub]) {
		found = append(found, "Docker Hub was asked: "+r.String())
	}
	for _, r := range n.ecr.Requests() {
		if r.ByContainerd() && r.Verdict != ecrstandin.LetIn {
			found = append(found, "the mirror was asked: "+r.String())
		}
	}
	return found
}

// renewals pulls until so many renewed tokens were used.
func (n *ecrNode) renewals(plan renewalTrial) {
	n.until("the header is written", patience, func() bool { return n.headerToken() != "" })
	end := time.Now().Add(time.Duration(plan.renewals+2) * plan.life)
	for n.tokens() <= plan.renewals {
		if time.Now().After(end) {
			n.Errorf("only %d tokens were used in %d pulls", n.tokens(), n.tally.pulls)
			break
		}
		if n.aws.Count(fakeaws.ECR, "") >= plan.renewals {
			n.aws.SetTokenLife(plan.last) // of the one after this
		}
		n.pullNext()
	}
	if found := n.troubles(); len(found) > 0 {
		n.Errorf("while tokens were renewed:\n%s", indent(strings.Join(found, "\n")))
	}
	// A token is renewed at half of its life.
	seconds, share := plan.renewals*int(plan.life/2/time.Second), 5
	if soak() {
		share = 1
	}
	if n.tally.pulls < seconds*9/10/share {
		n.Errorf("only %d pulls in some %d seconds", n.tally.pulls, seconds)
	}
	n.Logf("%d pulls with %d tokens, the slowest took %s", n.tally.pulls, n.tokens(), n.tally.slowest)
}

// caught wants the control to be caught: its token expires and nobody renews
// it.
func (n *ecrNode) caught(plan renewalTrial) {
	token := n.headerToken()
	issued, ok := n.aws.Token(token)
	if !ok {
		n.Fatalf("berth apply wrote no token:\n%s", indent(n.hostsFile("docker.io")))
	}
	for len(n.troubles()) == 0 {
		if time.Now().After(issued.Expires.Add(patience)) {
			n.Fatalf("%d pulls, and nobody noticed that the token has expired", n.tally.pulls)
		}
		n.pullNext()
	}
	if now := time.Now(); now.Before(issued.Expires) {
		n.Errorf("%s before the token expires:\n%s", issued.Expires.Sub(now), indent(strings.Join(n.troubles(), "\n")))
	}
	if n.refused() == 0 || len(n.byContainerd(n.decoys[hub])) == 0 {
		n.Errorf("the mirror refuses and Docker Hub serves, but seen was\n%s", indent(strings.Join(n.troubles(), "\n")))
	}
	n.keepTokens()
}

// headerToken is the token in the header of docker.io's mirror, "" for none.
func (n *ecrNode) headerToken() string {
	n.Helper()
	return tokenIn(n.hostsFile("docker.io"))
}

// tokenIn finds the first token of ECR in a hosts.toml.
func tokenIn(hosts string) string {
	m := regexp.MustCompile(`Authorization = "Basic ([^"]+)"`).FindStringSubmatch(hosts)
	if m == nil {
		return ""
	}
	login, err := base64.StdEncoding.DecodeString(m[1])
	if err != nil {
		return ""
	}
	return strings.TrimPrefix(string(login), "AWS:")
}

// keepTokens declares every token that was used a secret, which no decoy may
// have seen, and wants the files and what the agent tells to keep them.
func (n *ecrNode) keepTokens(told ...string) {
	n.Helper()
	seen := map[string]bool{}
	for _, r := range n.ecr.Requests() {
		if r.Token != "" && !seen[r.Token] {
			seen[r.Token] = true
			n.keepSecret("AWS", r.Token, nil)
		}
	}
	if len(seen) == 0 {
		n.Error("no token was used")
	}
	n.secretsAreKept()
	for _, text := range told {
		for _, secret := range n.secrets {
			if strings.Contains(text, secret.password) || strings.Contains(text, secret.basic) {
				n.Errorf("a token is told:\n%s", indent(text))
			}
		}
	}
}

// headers lists the files of certs.d below root that log in somewhere.
func headers(root string) ([]string, error) {
	files, err := filepath.Glob(filepath.Join(root, certsDir, "*", "hosts.toml"))
	if err != nil {
		return nil, err
	}
	var with []string
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		if strings.Contains(string(content), "Authorization") {
			with = append(with, file)
		}
	}
	return with, nil
}
