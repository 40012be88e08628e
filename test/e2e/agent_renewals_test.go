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

// renewalTrial is the length of a trial.
type renewalTrial struct {
	life     time.Duration // of a token
	renewals int           // while pulls go on
	last     time.Duration // life of the last one, which cannot be renewed
}

// TestAgentRenewals pulls a new image every second through a mirror that accepts only unexpired
// tokens of ECR, while the agent renews them. Docker Hub has every image too: it serves a pull that
// the mirror refuses, and the test sees that. Then ECR denies the next token.
//
// The control has its header from "berth apply" and no agent; the same checks must find it.
func TestAgentRenewals(t *testing.T) {
	set := trial(t)
	plan := renewalTrial{life: time.Minute, renewals: 3, last: 20 * time.Second}
	if soak() {
		plan.renewals, plan.last = 20, plan.life
	}
	images := newStock(t, set.Registry)
	n := &nodes{t: t, set: set, berth: berthBinary(t)}
	results := &table{head: "| containerd | pulls | renewals | failed | at Docker Hub | refused by the mirror | calls of ECR | slowest pull | header gone before expiry |"}
	n.onAll(func(s *fixture, v variant) {
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
	n.run("control", all[len(all)-1], func(s *fixture) {
		node := newECRNode(s, images, plan.life)
		s.applyOnce(node.env, node.config())
		node.caught(plan)
	})
	n.wait.Wait()
	if soak() {
		results.print(t, all)
	}
}

// stock adds a new image for each number: to the mirror's registry below hub/, and to Docker Hub.
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

func (st *stock) image(s *fixture, number int) sample.Image {
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
	*fixture
	images *stock
	aws    *fakeaws.Server
	ecr    *ecrstandin.Registry
	env    []string
	agent  *agentProcess // nil if no agent runs
	tally  tally
}

// tally counts the outcomes of the pulls.
type tally struct {
	pulls   int
	failed  []string
	slowest time.Duration
}

func newECRNode(s *fixture, images *stock, life time.Duration) *ecrNode {
	s.Helper()
	aws := s.startAWS(life)
	ecr, err := ecrstandin.Start(aws, images.mirror.URL())
	if err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() { must(s.T, ecr.Close()) })
	s.hubTells()
	s.decoys[hub].Answer(images.hub)
	return &ecrNode{fixture: s, images: images, aws: aws, ecr: ecr, env: s.awsEnv(aws)}
}

// config has the same mirror for two upstreams, of which one may be asked.
func (n *ecrNode) config() string {
	mirror := "http://" + n.ecr.Addr() + "/hub"
	return mirrorOf("docker.io", mirror) +
		strings.TrimPrefix(mirrorOf("quay.io", mirror), "mirrors:\n") + only +
		fmt.Sprintf("ecr:\n  registries:\n  - {host: %q, account: \"111122223333\", region: us-east-1}\n", n.ecr.Addr())
}

// pullNext pulls the next image, one second after the previous pull began.
func (n *ecrNode) pullNext() {
	n.Helper()
	next := time.NewTimer(time.Second)
	defer next.Stop()
	n.tally.pulls++
	img := n.images.image(n.fixture, n.tally.pulls)
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
	n.images.image(n.fixture, n.tally.pulls+1) // outside the measured time
	<-next.C
}

// tokens returns the number of tokens with which containerd was admitted.
func (n *ecrNode) tokens() int {
	seen := map[string]bool{}
	for _, r := range n.ecr.Requests() {
		if r.ByContainerd() && r.Verdict == ecrstandin.LetIn {
			seen[r.Token] = true
		}
	}
	return len(seen)
}

// refused returns the number of requests of containerd that had a login and that the mirror
// refused.
func (n *ecrNode) refused() int {
	count := 0
	for _, r := range n.ecr.Requests() {
		if r.ByContainerd() && r.Verdict != ecrstandin.LetIn && r.Verdict != ecrstandin.NoLogin {
			count++
		}
	}
	return count
}

// troubles returns events that must not happen while ECR issues tokens.
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

// renewals pulls until the given number of renewed tokens was used.
func (n *ecrNode) renewals(plan renewalTrial) {
	n.until("the header is written", patience, func() bool { return n.headerToken() != "" })
	end := time.Now().Add(time.Duration(plan.renewals+2) * plan.life)
	for n.tokens() <= plan.renewals {
		if time.Now().After(end) {
			n.Errorf("only %d tokens were used in %d pulls", n.tokens(), n.tally.pulls)
			break
		}
		if n.aws.Count(fakeaws.ECR, "") >= plan.renewals {
			n.aws.SetTokenLife(plan.last) // of the token after this one
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

// caught checks that the control is found: its token expires and is not renewed.
func (n *ecrNode) caught(plan renewalTrial) {
	token := n.headerToken()
	issued, ok := n.aws.Token(token)
	if !ok {
		n.Fatalf("berth apply wrote no token:\n%s", indent(n.hostsFile("docker.io")))
	}
	for len(n.troubles()) == 0 {
		if time.Now().After(issued.Expires.Add(patience)) {
			n.Fatalf("%d pulls, and the expired token was not noticed", n.tally.pulls)
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

// headerToken returns the token in the header of docker.io's mirror, "" for none.
func (n *ecrNode) headerToken() string {
	n.Helper()
	return tokenIn(n.hostsFile("docker.io"))
}

// tokenIn returns the first token of ECR in a hosts.toml.
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

// keepTokens declares every token that was used a secret, which no decoy may have seen, and checks
// that the files and the agent's output do not reveal it.
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
				n.Errorf("a token is shown:\n%s", indent(text))
			}
		}
	}
}

// headers returns the files of certs.d below root that contain a login.
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
