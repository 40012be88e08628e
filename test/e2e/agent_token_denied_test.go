package e2e

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/berth-registry/berth/test/fakes/ecrstandin"
	"github.com/berth-registry/berth/test/fakes/fakeaws"
)

// denial is AWS's answer to a role without the permission to get a token.
const denial = "User: arn:aws:sts::111122223333:assumed-role/node/i-0123456789abcdef0 is not authorized to perform: ecr:GetAuthorizationToken on resource: *"

// denied removes the permission. The current token is used for the rest of its life; then the agent
// removes the header, pulls go where the config says, and the agent reports the reason, until there
// is a token again. denied returns how long before the end of the token's life the last header was
// removed.
func (n *ecrNode) denied(plan renewalTrial) (early time.Duration) {
	n.aws.Inject(fakeaws.Fault{Point: fakeaws.ECR, KeyID: nodeKey().ID, Status: http.StatusBadRequest, Code: "AccessDeniedException", Message: denial})
	// A renewal that had begun may have succeeded.
	n.pullNext()
	issued, ok := n.aws.Token(n.headerToken())
	if !ok {
		n.Fatalf("there is no token that ECR has issued:\n%s", indent(n.hostsFile("docker.io")))
	}
	gone := n.watchHeaders(issued.Expires.Add(patience))
	for waiting := true; waiting; {
		select {
		case at := <-gone:
			waiting = false
			if at.IsZero() {
				n.Fatalf("the header stays though the token has expired:\n%s", indent(n.hostsFile("docker.io")))
			}
			early = issued.Expires.Sub(at)
		default:
			n.pullNext()
		}
	}
	if early <= 0 {
		n.Errorf("the header was removed %s after the token had expired", -early)
	}
	n.whyDenied()
	n.pullsWithoutToken()
	n.permitted()
	if len(n.tally.failed) > 0 {
		n.Errorf("pulls that Docker Hub could have served:\n%s", indent(strings.Join(n.tally.failed, "\n")))
	}
	for _, r := range n.ecr.Requests() {
		if r.Verdict == ecrstandin.Expired || r.Verdict == ecrstandin.Foreign {
			n.Errorf("the mirror was asked: %s", r)
		}
	}
	told := []string{n.agent.get("/"), n.agent.get("/metrics"), n.agent.get("/status")}
	n.agent.stop()
	n.keepTokens(append(told, n.agent.Log())...)
	return early
}

// watchHeaders sends the time at which the last header below certs.d was removed, or the zero time
// if there was one until the end.
func (n *ecrNode) watchHeaders(end time.Time) <-chan time.Time {
	gone := make(chan time.Time, 1)
	ctx, cancel := context.WithDeadline(n.Context(), end)
	var watcher sync.WaitGroup
	watcher.Go(func() {
		for ctx.Err() == nil {
			if with, err := headers(n.root); err == nil && len(with) == 0 {
				gone <- time.Now()
				return
			}
			time.Sleep(5 * time.Millisecond)
		}
		gone <- time.Time{}
	})
	n.Cleanup(func() {
		cancel()
		watcher.Wait()
	})
	return gone
}

// whyDenied checks that metrics, page and status report why there is no header.
func (n *ecrNode) whyDenied() {
	for _, want := range []struct {
		value, name string
		labels      []string
	}{
		{"0", "berth_ecr_token_valid", []string{`service="ecr"`, `region="us-east-1"`}},
		{"1", "berth_alarm", []string{`name="TokenMissing"`}},
	} {
		n.until(fmt.Sprintf("%s%s is %s", want.name, want.labels, want.value), patience, func() bool {
			got, ok := n.agent.metric(want.name, want.labels...)
			return ok && got == want.value
		})
	}
	if got, ok := n.agent.metric("berth_ecr_token_renewal_failures_total", `reason="access_denied"`); !ok || got == "0" {
		n.Errorf("no failure for the reason access_denied in\n%s", indent(n.agent.get("/metrics")))
	}
	for _, path := range []string{"/", "/status"} {
		if body := n.agent.get(path); !strings.Contains(body, "is not authorized to perform: ecr:GetAuthorizationToken") {
			n.Errorf("%s does not say why there is no token:\n%s", path, indent(body))
		}
	}
}

// pullsWithoutToken: Docker Hub may be asked, and serves; quay.io may not be asked.
func (n *ecrNode) pullsWithoutToken() {
	before := len(n.byContainerd(n.decoys[hub]))
	n.pullNext()
	if after := len(n.byContainerd(n.decoys[hub])); after == before {
		n.Error("the image came from nowhere: the mirror needs a login, and Docker Hub was not asked")
	}
	n.pullFails(fmt.Sprintf("quay.io/library/app:t%d", n.tally.pulls)) // finish checks that quay.io is not asked
}

// permitted makes the mirror serve again. The long trial restores the permission; the short one
// writes other keys into the config, which is faster.
func (n *ecrNode) permitted() {
	if soak() {
		n.aws.Heal()
	} else {
		key := fakeaws.Key{ID: "AKIASTATIC", Secret: "secret of the keys"}
		n.aws.AddKey(key)
		n.writeConfig(n.config() + fmt.Sprintf("  credentials:\n  - instanceProfile: {}\n  - static: {accessKeyID: %s, secretAccessKeyFile: %q}\n",
			key.ID, n.file("key", key.Secret)))
	}
	n.until("there is a header again", 2*patience, func() bool { return n.headerToken() != "" })
	before := len(n.byContainerd(n.decoys[hub]))
	n.pullNext()
	if after := n.byContainerd(n.decoys[hub]); len(after) > before {
		n.Errorf("Docker Hub was asked %s though there is a token", after[before])
	}
}
