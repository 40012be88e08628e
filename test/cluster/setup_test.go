package cluster

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
)

// TestNodeSetup: the chart configures nodes whose containerd does not read certs.d, one after the
// other, with one restart of containerd each, while their pods go on running. If that fails on one
// node, the other node is not touched.
func TestNodeSetup(t *testing.T) {
	w := newFixture(t, "one", "two")
	machines := newMachines(w)
	ctx := t.Context()
	w.check(w.images.Push(ctx, "alive:v1", w.image()))
	w.check(w.first.Push(ctx, "library/first:v1", w.image()))
	values := w.values(w.buildImage())
	delete(values, "hostPaths")
	delete(values, "provider")
	values["readinessProbe"] = map[string]any{"periodSeconds": 2}
	w.kubectl("create", "secret", "generic", "logins", "-n", namespace, "--from-literal=mirror-password="+password)

	values["nodeSetup"] = map[string]any{"enabled": true}
	if _, err := w.try("helm", "install", "berth", chart, "-n", namespace, "-f", w.valuesFile(values)); err == nil || !strings.Contains(err.Error(), "helm upgrade") {
		t.Fatalf("nodeSetup at the first install, on all nodes at once: %v", err)
	}
	delete(values, "nodeSetup")
	w.helm("install", "berth", chart, "-n", namespace, "-f", w.valuesFile(values))
	w.ready()
	for _, m := range machines {
		w.runsOn(m.name, m.named("alive"), w.images.Addr()+"/alive:v1")
	}
	w.trapped(machines)
	alive, before := w.alive(machines), starts(machines)

	old, err := w.berthPods()
	w.check(err)
	rollout := w.watch(old)
	values["nodeSetup"] = map[string]any{"enabled": true}
	w.stopped(machines, old, values)
	w.renewed(old)
	rollout.judge()
	var turns []turn
	for _, m := range machines {
		turns = append(turns, m.turn())
	}
	if wrong := overlaps(turns); len(wrong) > 0 {
		t.Errorf("not one node after the other:\n%s", strings.Join(wrong, "\n"))
	}
	wired := starts(machines)
	for _, m := range machines {
		if had, has := before[m.name], wired[m.name]; len(had) != 1 || len(has) != 2 || !slices.Contains(has, had[0]) {
			t.Errorf("%s: containerd was started as %q, and before as %q: want one restart", m.name, has, had)
		}
		w.wired(m)
	}
	w.served(w.first, "/v2/library/first/", 200)

	// A configured node is not restarted again.
	values["podAnnotations"] = map[string]any{"berth.test/rollout": "again"}
	w.upgrade(values)
	again := starts(machines)
	for _, m := range machines {
		if !slices.Equal(wired[m.name], again[m.name]) {
			t.Errorf("%s: containerd was restarted again: %q, was %q", m.name, again[m.name], wired[m.name])
		}
	}
	for node, now := range w.alive(machines) {
		if was := alive[node]; now.ContainerID != was.ContainerID || now.RestartCount != 0 || now.State.Running == nil {
			t.Errorf("%s: the pod that was there did not live on: %+v, was %+v", node, now, was)
		}
	}
}

// named returns the name of a pod that is on this node.
func (m *machine) named(pod string) string { return pod + "-" + m.name }

// trapped checks that each machine has Berth's file, and a containerd that does not read it.
func (w *fixture) trapped(machines []*machine) {
	w.Helper()
	for _, m := range machines {
		if file := m.read(foreign); !strings.Contains(file, w.first.Addr()) {
			w.Errorf("%s: %s names no mirror:\n%s", m.name, foreign, file)
		}
		w.start(m.name, m.named("first"), "docker.io/library/first:v1")
	}
	for _, m := range machines {
		w.until("the pull on "+m.name+" has gone past the mirror and failed", func() error {
			pod, err := w.pod(m.named("first"))
			if err != nil {
				return err
			}
			for _, s := range pod.Status.ContainerStatuses {
				if s.State.Waiting != nil && slices.Contains([]string{"ErrImagePull", "ImagePullBackOff"}, s.State.Waiting.Reason) {
					return nil
				}
			}
			return fmt.Errorf("it is %+v", pod.Status.ContainerStatuses)
		})
	}
	if len(w.hub.Requests()) == 0 {
		w.Error("Docker Hub was not asked")
	}
}

// stopped starts the rollout with configurations that cannot be edited, and checks that it does not
// go beyond the first node until that one is fixed.
func (w *fixture) stopped(machines []*machine, old map[string]corev1.Pod, values map[string]any) {
	w.Helper()
	good := machines[0].read(containerdConfig)
	broken := good + "\n[this is no table\n"
	for _, m := range machines {
		m.write(containerdConfig, broken)
	}
	before := starts(machines)
	w.release(values)

	var first *machine
	failed := func() (int32, error) {
		pods, err := w.berthPods()
		if err != nil {
			return 0, err
		}
		for _, m := range machines {
			s := nodeSetup(pods[m.name])
			for _, state := range []corev1.ContainerState{s.State, s.LastTerminationState} {
				if state.Terminated != nil && state.Terminated.ExitCode == 1 {
					first = m
					return s.RestartCount, nil
				}
			}
		}
		return 0, fmt.Errorf("nothing has failed: %s", w.podLogs("node-setup"))
	}
	var times int32
	w.until("a node cannot be set up", func() error {
		var err error
		times, err = failed()
		return err
	})
	other := machines[0]
	if other == first {
		other = machines[1]
	}
	// It could be set up, but it is not its turn.
	other.write(containerdConfig, good)
	w.until(first.name+" has failed again", func() error {
		now, err := failed()
		if err == nil && now <= times {
			err = errNotYet
		}
		return err
	})
	if said := w.podLogs("node-setup"); !strings.Contains(said, containerdConfig) {
		w.Errorf("node-setup does not tell which file is broken:\n%s", said)
	}
	pods, err := w.berthPods()
	w.check(err)
	if pod := pods[other.name]; pod.UID != old[other.name].UID || condition(pod, corev1.PodReady).Status != corev1.ConditionTrue {
		w.Errorf("%s was not left alone when %s failed: %+v", other.name, first.name, pod.Status)
	}
	for _, m := range machines {
		w.runsOn(m.name, m.named("meanwhile"), w.images.Addr()+"/alive:v1")
	}
	if now := starts(machines); !slices.Equal(now["one"], before["one"]) || !slices.Equal(now["two"], before["two"]) {
		w.Errorf("containerd was started as %q, and before the failure as %q", now, before)
	}
	if first.read(containerdConfig) != broken || other.read(containerdConfig) != good {
		w.Error("a configuration was edited that could not be, or too early")
	}
	first.write(containerdConfig, good)
}

// alive returns the containers of the pods that must go on running, by node.
func (w *fixture) alive(machines []*machine) map[string]corev1.ContainerStatus {
	w.Helper()
	found := map[string]corev1.ContainerStatus{}
	for _, m := range machines {
		pod, err := w.pod(m.named("alive"))
		w.check(err)
		found[m.name] = pod.Status.ContainerStatuses[0]
	}
	return found
}

// turn returns the times of the node's set-up.
func (m *machine) turn() turn {
	m.Helper()
	pods, err := m.berthPods()
	m.check(err)
	pod := pods[m.name]
	t := turn{
		node: m.name, created: pod.CreationTimestamp.Time, restarted: m.activeSince(),
		ready: condition(pod, corev1.PodReady).LastTransitionTime.Time,
	}
	if ended := nodeSetup(pod).State.Terminated; ended != nil {
		t.started, t.finished = ended.StartedAt.Time, ended.FinishedAt.Time
	}
	m.Logf("%s: its pod was made at %s, set it up from %s to %s, containerd was ready at %s, the pod at %s", t.node,
		t.created.Format("15:04:05"), t.started.Format("15:04:05"), t.finished.Format("15:04:05"), t.restarted.Format("15:04:05"), t.ready.Format("15:04:05"))
	return t
}

// wired waits until the pod runs that could not be pulled. kubelet waits longer after each failure,
// so the pod is created again.
func (w *fixture) wired(m *machine) {
	w.Helper()
	w.kubectl("delete", "pod", m.named("first"), "--grace-period=0", "--force")
	w.runsOn(m.name, m.named("first"), "docker.io/library/first:v1")
}

// starts returns the invocations of each machine's containerd, from its journal.
func starts(machines []*machine) map[string][]string {
	found := map[string][]string{}
	for _, m := range machines {
		m.Helper()
		now := m.invocation()
		m.until("the journal of "+m.name+" has the last start", func() error {
			out, err := m.run("journalctl --quiet --no-pager --output=verbose --output-fields=_SYSTEMD_INVOCATION_ID _SYSTEMD_UNIT=containerd.service | sed -n 's/^ *_SYSTEMD_INVOCATION_ID=//p' | sort -u")
			if err != nil {
				return fmt.Errorf("%w: %s", err, out)
			}
			found[m.name] = strings.Fields(out)
			if !slices.Contains(found[m.name], now) {
				err = fmt.Errorf("%q without %s", found[m.name], now)
			}
			return err
		})
	}
	return found
}
