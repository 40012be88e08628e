package agent

import (
	"net/http"
	"testing"
	"time"

	"github.com/berth-registry/berth/agent/status"
	"github.com/berth-registry/berth/config"
	"github.com/berth-registry/berth/node/reconcile"
	"github.com/berth-registry/berth/test/fakes/fakeaws"
)

// waitForEmptyPlan waits until a plan, made by another process, finds no difference on the node
// of a running agent.
func (n *node) waitForEmptyPlan() *reconcile.Node {
	n.Helper()
	other := openNode(n.T, n.root)
	n.eventually("plan sees no difference", func() bool {
		file, err := config.ReadOnNode(other.Root, n.config)
		if err != nil {
			n.Fatal(err)
		}
		cfg, _, err := file.Parse()
		if err != nil {
			n.Fatal(err)
		}
		plan, err := other.Plan(n.Context(), cfg)
		if err != nil {
			n.Fatal(err)
		}
		return !plan.Differs()
	})
	return other
}

// A plan beside a converged agent shows no difference, with the agent's token.
func TestPlanAgreesOnAToken(t *testing.T) {
	n, _ := ecrNode(t, time.Hour)
	n.start()
	n.eventually("the header", func() bool { return n.authorization() != "" })
	n.converged()
	n.waitForEmptyPlan()
}

// Nor without a token that the agent does not get.
func TestPlanAgreesOnAMissingToken(t *testing.T) {
	n, aws := ecrNode(t, time.Hour)
	aws.Inject(fakeaws.Fault{Point: fakeaws.ECR, Status: http.StatusBadRequest, Code: "AccessDeniedException", Message: "not allowed"})
	n.o.firstAnswers = time.Millisecond
	n.start()
	n.converged()
	n.eventually("the token is missing", func() bool {
		for _, a := range status.Alarms(n.agent.Snapshot()) {
			if a.Name == "TokenMissing" {
				return true
			}
		}
		return false
	})
	n.waitForEmptyPlan()
}
