package cluster

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// podChange is the state of one agent's pod, as the API server reported it. The API server reports all
// changes of pods in the order in which they were made.
type podChange struct {
	node, pod string
	renewed   bool // it did not exist when the rollout began
	ready     bool
	leaving   bool // being deleted, or deleted
}

// String is for messages.
func (s podChange) String() string {
	return fmt.Sprintf("%s on %s: renewed %t, ready %t, leaving %t", s.pod, s.node, s.renewed, s.ready, s.leaving)
}

// together returns the violations of a rollout from node to node: each time when a second node had
// no ready agent. A node has none from the moment its old pod is deleted until its new pod, which
// first sets the node up, is ready.
func together(nodes []string, seen []podChange) []string {
	var wrong []string
	now := map[string]map[string]podChange{} // by node and pod
	setUp := map[string]bool{}
	several := false
	for i, s := range seen {
		if now[s.node] == nil {
			now[s.node] = map[string]podChange{}
		}
		now[s.node][s.pod] = s
		if s.renewed && !s.ready && !s.leaving {
			setUp[s.node] = true
		}
		if i+1 < len(nodes) {
			continue // the API server has not reported all yet
		}
		var without []string
		for _, node := range nodes {
			if !served(now[node]) {
				without = append(without, node)
			}
		}
		if len(without) > 1 && !several {
			wrong = append(wrong, fmt.Sprintf("%s had no ready agent when %s", strings.Join(without, " and "), s))
		}
		several = len(without) > 1
	}
	for _, node := range nodes {
		if !setUp[node] {
			wrong = append(wrong, node+" was never seen while it was set up")
		}
	}
	if !over(nodes, seen) {
		wrong = append(wrong, "it is not over")
	}
	return wrong
}

// served reports whether one of a node's pods is ready, and none must still become ready.
func served(pods map[string]podChange) bool {
	ready := false
	for _, s := range pods {
		if s.leaving {
			continue
		}
		if !s.ready {
			return false
		}
		ready = true
	}
	return ready
}

// over reports whether each node has a new pod that is ready.
func over(nodes []string, seen []podChange) bool {
	last := map[string]podChange{} // of new pods, by node
	for _, s := range seen {
		if s.renewed {
			last[s.node] = s
		}
	}
	for _, node := range nodes {
		if s := last[node]; !s.ready || s.leaving {
			return false
		}
	}
	return true
}

// turn holds the times, to the second, of the set-up of one node, as the node and the API server
// report them afterwards.
type turn struct {
	node      string
	created   time.Time // the new pod
	started   time.Time // its node-setup
	restarted time.Time // containerd was ready again
	finished  time.Time // node-setup
	ready     time.Time // the new pod
}

// overlaps returns the turns that did not follow each other.
func overlaps(turns []turn) []string {
	var wrong []string
	turns = slices.Clone(turns)
	slices.SortFunc(turns, func(a, b turn) int { return a.created.Compare(b.created) })
	for i, t := range turns {
		times := []time.Time{t.created, t.started, t.restarted, t.finished, t.ready}
		if t.created.IsZero() || !slices.IsSortedFunc(times, time.Time.Compare) {
			wrong = append(wrong, fmt.Sprintf("%s: created, set up from, containerd, until, ready: %v", t.node, times))
		}
		if i > 0 && t.created.Before(turns[i-1].ready) {
			wrong = append(wrong, fmt.Sprintf("the pod of %s was made at %s, and that of %s was ready only at %s",
				t.node, t.created.Format(time.TimeOnly), turns[i-1].node, turns[i-1].ready.Format(time.TimeOnly)))
		}
	}
	return wrong
}

// TestTogether: together finds the faults of made-up rollouts.
func TestTogether(t *testing.T) {
	// Each letter is a change: capitals for node A, small letters for node B.
	changes := map[rune]podChange{
		'O': {node: "A", pod: "old-a", ready: true}, 'o': {node: "B", pod: "old-b", ready: true},
		'N': {node: "A", pod: "old-a"}, 'n': {node: "B", pod: "old-b"},
		'L': {node: "A", pod: "old-a", ready: true, leaving: true}, 'l': {node: "B", pod: "old-b", ready: true, leaving: true},
		'S': {node: "A", pod: "new-a", renewed: true}, 's': {node: "B", pod: "new-b", renewed: true},
		'R': {node: "A", pod: "new-a", renewed: true, ready: true}, 'r': {node: "B", pod: "new-b", renewed: true, ready: true},
	}
	for rollout, want := range map[string]string{
		"OoLSRlsr":   "",
		"oOlsrLSR":   "",
		"OoLSSSRlsr": "",
		"OoLlSRsr":   "A and B had no ready agent when old-b",
		"OoLSlRsr":   "A and B had no ready agent when old-b",
		"OoLSnRolsr": "A and B had no ready agent when old-b",
		"OoSsRr":     "A and B had no ready agent when new-b",
		"OoLSRlSsRr": "A and B had no ready agent when new-a",
		"OoLSRlr":    "B was never seen while it was set up",
		"OoLSRls":    "it is not over",
		"OoLSR":      "it is not over",
		"Oo":         "it is not over",
		"":           "it is not over",
	} {
		var seen []podChange
		for _, c := range rollout {
			seen = append(seen, changes[c])
		}
		judged(t, rollout, together([]string{"A", "B"}, seen), want)
	}
}

// TestOverlaps: overlaps finds the faults of made-up times.
func TestOverlaps(t *testing.T) {
	at := func(node string, seconds ...int64) turn {
		moment := func(i int) time.Time { return time.Unix(seconds[i], 0) }
		return turn{node, moment(0), moment(1), moment(2), moment(3), moment(4)}
	}
	first := at("A", 10, 12, 13, 15, 16)
	for name, c := range map[string]struct {
		second turn
		want   string
	}{
		"after":                       {at("B", 17, 18, 19, 20, 21), ""},
		"in the same second":          {at("B", 16, 16, 16, 16, 16), ""},
		"before":                      {at("B", 1, 2, 3, 4, 5), ""},
		"made before the other's end": {at("B", 15, 18, 19, 20, 21), "the pod of B was made at"},
		"both at once":                {at("B", 10, 12, 13, 15, 16), "was ready only at"},
		"within":                      {at("B", 11, 12, 13, 14, 15), "the pod of B was made at"},
		"around":                      {at("B", 9, 12, 13, 15, 20), "the pod of A was made at"},
		"not restarted":               {at("B", 17, 18, 1, 20, 21), "B: created"},
		"restarted later":             {at("B", 17, 18, 21, 20, 22), "B: created"},
		"nothing known":               {turn{node: "B"}, "B: created"},
	} {
		judged(t, name, overlaps([]turn{first, c.second}), c.want)
	}
}

// judged checks that one of the complaints contains want, or that there is none if
// want is "".
func judged(t *testing.T, what string, complaints []string, want string) {
	t.Helper()
	holds := func(one string) bool { return strings.Contains(one, want) }
	if want == "" && len(complaints) > 0 || want != "" && !slices.ContainsFunc(complaints, holds) {
		t.Errorf("%s: %q, want %q", what, complaints, want)
	}
}
