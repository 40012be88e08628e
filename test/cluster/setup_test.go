package cluster

import (
	"fmt"
	"strings"
	"testing"
)

// TestNodeSetup: a node whose containerd does not look into certs.d is wired by
// the chart, with one restart of containerd, and its pods live on.
func TestNodeSetup(t *testing.T) {
	w := newWorld(t)
	m := newMachine(w)
	ctx := t.Context()
	w.check(w.images.Push(ctx, "alive:v1", w.image()))
	w.check(w.first.Push(ctx, "library/first:v1", w.image()))
	values := w.values(w.buildImage())
	delete(values, "hostPaths")
	delete(values, "provider")
	w.kubectl("create", "secret", "generic", "logins", "-n", namespace, "--from-literal=mirror-password="+password)

	values["nodeSetup"] = map[string]any{"enabled": true}
	if _, err := w.try("helm", "install", "berth", chart, "-n", namespace, "-f", w.valuesFile(values)); err == nil || !strings.Contains(err.Error(), "helm upgrade") {
		t.Fatalf("nodeSetup at the first install, on all nodes at once: %v", err)
	}
	delete(values, "nodeSetup")
	w.helm("install", "berth", chart, "-n", namespace, "-f", w.valuesFile(values))
	w.ready()

	// The trap: Berth's file lies there, and containerd does not look.
	w.runs("alive", w.images.Addr()+"/alive:v1")
	w.start("first", "docker.io/library/first:v1")
	w.until("the pull has gone past the mirror and failed", func() error {
		if len(w.hub.Requests()) == 0 {
			return errNotYet
		}
		return nil
	})
	alive, err := w.pod("alive")
	w.check(err)
	before := m.invocation()

	values["nodeSetup"] = map[string]any{"enabled": true}
	w.upgrade(values)
	wired := m.invocation()
	if wired == before {
		t.Error("containerd was not restarted")
	}
	w.wired("first")
	w.served(w.first, "/v2/library/first/", 200)

	now, err := w.pod("alive")
	w.check(err)
	if a, b := alive.Status.ContainerStatuses[0], now.Status.ContainerStatuses[0]; a.ContainerID != b.ContainerID || b.RestartCount != 0 || b.State.Running == nil {
		t.Errorf("the pod that was there did not live on: %+v, was %+v", b, a)
	}
	// What is wired is not restarted again.
	values["podAnnotations"] = map[string]any{"berth.test/rollout": "again"}
	w.upgrade(values)
	if again := m.invocation(); again != wired {
		t.Error("containerd was restarted a second time")
	}
}

// wired waits until a pod that could not be pulled runs after all. kubelet waits
// longer after each failure, so it is made anew.
func (w *world) wired(name string) {
	w.Helper()
	w.kubectl("delete", "pod", name, "--grace-period=0", "--force")
	w.runs(name, fmt.Sprintf("docker.io/library/%s:v1", name))
}
