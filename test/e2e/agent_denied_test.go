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

// denial is what AWS says to whoever may not have a token.
const denial = "User: arn:aws:sts::111122223333:assumed-role/node/i-0123456789abcdef0 is not authorized to perform: ecr:GetAuthorizationToken on resource: *"

// denied takes the permission away. The token that there is serves for the rest
// of its life; then the header goes, pulls go where the config says, and the
// agent tells why, until there is one again. It returns how long before the
// end of the token's life the last header was gone.
func (n *ecrNode) denied(plan renewalTrial) (early time.Duration) {
	n.aws.Inject(fakeaws.Fault{Point: fakeaws.ECR, KeyID: nodeKey().ID, Status: http.StatusBadRequest, Code: "AccessDeniedException", Message: denial})
	// A renewal that was under way may still have come through.
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

// watchHeaders tells when the last header below certs.d was gone; the zero time
// says that one was there until the end.
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

// whyDenied wants metrics, page and status to say why there is no header.
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

// pullsWithoutToken: Docker Hub may be asked, and serves; quay.io may not.
func (n *ecrNode) pullsWithoutToken() {
	before := len(n.byContainerd(n.decoys[hub]))
	n.pullNext()
	if after := len(n.byContainerd(n.decoys[hub])); after == before {
		n.Error("the image came from nowhere: the mirror needs a login, and Docker Hub was not asked")
	}
	n.pullFails(fmt.Sprintf("quay.io/library/app:t%d", n.tally.pulls)) // and quay.io is not asked, says finish
}

// permitted makes the mirror serve again: the long trial gives the permission
// back, the short one puts keys into the config that have it, which is faster.
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
