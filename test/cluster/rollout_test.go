package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	corev1 "k8s.io/api/core/v1"
)

// rollout records each change of the agents' pods from the start of one rollout.
type rollout struct {
	*fixture
	stop func()
	done chan struct{}

	mu   sync.Mutex
	seen []podChange
	err  error
}

// watch begins to record, while the DaemonSet has the pods old, by node.
func (w *fixture) watch(old map[string]corev1.Pod) *rollout {
	w.Helper()
	ctx, cancel := context.WithCancel(w.Context())
	r := &rollout{fixture: w, stop: cancel, done: make(chan struct{})}
	cmd := w.client(ctx, "kubectl", "get", "pods", "-n", namespace, "-l", selector, "-o", "json", "--watch", "--output-watch-events")
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		cancel()
		w.Fatal(err)
	}
	go func() {
		defer close(r.done)
		err := r.record(json.NewDecoder(out), old)
		cancel() // it is over, even if kubectl disagrees
		err = errors.Join(err, cmd.Wait())
		r.mu.Lock()
		defer r.mu.Unlock()
		r.err = fmt.Errorf("the watch has ended: %w\n%s", err, stderr.String())
	}()
	w.Cleanup(func() { r.end() })
	// The present pods come first: from then on no change is missed.
	w.until("the watch has begun", func() error {
		seen, err := r.sofar()
		if err == nil && len(seen) < len(old) {
			err = errNotYet
		}
		return err
	})
	return r
}

// record reads events until there are no more.
func (r *rollout) record(events *json.Decoder, old map[string]corev1.Pod) error {
	for {
		var event struct {
			Type   string     `json:"type"` // ADDED, MODIFIED, DELETED
			Object corev1.Pod `json:"object"`
		}
		if err := events.Decode(&event); err != nil {
			return err
		}
		pod := event.Object
		if pod.Spec.NodeName == "" {
			continue // the scheduler must do as the DaemonSet says
		}
		r.mu.Lock()
		r.seen = append(r.seen, podChange{
			node: pod.Spec.NodeName, pod: pod.Name,
			renewed: old[pod.Spec.NodeName].UID != pod.UID,
			ready:   condition(pod, corev1.PodReady).Status == corev1.ConditionTrue,
			leaving: event.Type == "DELETED" || pod.DeletionTimestamp != nil,
		})
		r.mu.Unlock()
	}
}

func (r *rollout) sofar() ([]podChange, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.seen), r.err
}

// judge waits until all pods are new and ready, and checks that they became so one after the other.
func (r *rollout) judge() {
	r.Helper()
	var seen []podChange
	r.until("the watch has seen the rollout's end", func() error {
		var err error
		if seen, err = r.sofar(); err == nil && !over(r.nodes, seen) {
			err = fmt.Errorf("not over: %v", seen)
		}
		return err
	})
	r.end()
	if wrong := together(r.nodes, seen); len(wrong) > 0 {
		r.Errorf("not one node after the other:\n%s\nthe pods were\n%v", strings.Join(wrong, "\n"), seen)
		return
	}
	r.Logf("one node after the other in %d changes of pods", len(seen))
}

func (r *rollout) end() {
	r.stop()
	<-r.done
}

// condition returns a condition of a pod, or an empty one.
func condition(pod corev1.Pod, kind corev1.PodConditionType) corev1.PodCondition {
	for _, c := range pod.Status.Conditions {
		if c.Type == kind {
			return c
		}
	}
	return corev1.PodCondition{}
}

// nodeSetup returns the status of the init container that sets a node up.
func nodeSetup(pod corev1.Pod) corev1.ContainerStatus {
	for _, s := range pod.Status.InitContainerStatuses {
		if s.Name == "node-setup" {
			return s
		}
	}
	return corev1.ContainerStatus{}
}
