package startup

import "time"

// verdict is what is to be done with the taint of one node.
type verdict struct {
	node   node
	remove bool
	// reason says why the taint is removed or stays: a sentence about the node's agent.
	reason string
	// open: it is removed although the agent is not ready, because the limit has passed.
	open bool
	// again is when the verdict changes without an event; zero for never.
	again time.Time
}

// judge decides about a node that has the taint. pods are those that are bound to it; now is the
// time of the API server, by whose clock the node was created. limit is how long after its creation
// the taint is removed without a ready agent; 0 for never.
func judge(n node, pods []pod, now time.Time, limit time.Duration) verdict {
	v := verdict{node: n, reason: "no pod of Berth is on the node"}
	created := n.Metadata.CreationTimestamp
	for _, p := range pods {
		if !p.ofDaemonSet() {
			continue
		}
		fault := p.notReady()
		if fault == "" {
			// A machine that was installed again joins under its old name. The pod of the old one
			// may still be bound to that name, and ready: kubelet of the new one has not looked yet.
			if p.Metadata.CreationTimestamp.Before(created) && !p.reportedAfter(created) {
				fault = "is older than the node, and its status too; delete the pod if this stays"
			} else {
				v.remove, v.reason = true, "pod "+p.Metadata.Name+" is ready"
				return v
			}
		}
		v.reason = "pod " + p.Metadata.Name + " " + fault
	}
	if limit > 0 {
		if deadline := created.Add(limit); !now.Before(deadline) {
			v.remove, v.open = true, true
		} else {
			v.again = deadline
		}
	}
	return v
}
