package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"

	corev1 "k8s.io/api/core/v1"
)

// podWatch records each change of all pods, in the order of the API server.
type podWatch struct {
	mu   sync.Mutex
	seen []corev1.Pod
	err  error
}

// watchPods begins to record.
func (w *fixture) watchPods() *podWatch {
	w.Helper()
	ctx, cancel := context.WithCancel(w.Context())
	cmd := w.client(ctx, "kubectl", "get", "pods", "-A", "-o", "json", "--watch", "--output-watch-events")
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
	r := &podWatch{}
	done := make(chan struct{})
	go func() {
		defer close(done)
		var err error
		for d := json.NewDecoder(out); err == nil; {
			var event struct {
				Object corev1.Pod `json:"object"`
			}
			if err = d.Decode(&event); err == nil {
				r.mu.Lock()
				r.seen = append(r.seen, event.Object)
				r.mu.Unlock()
			}
		}
		cancel()
		err = errors.Join(err, cmd.Wait())
		r.mu.Lock()
		defer r.mu.Unlock()
		r.err = fmt.Errorf("the watch has ended: %w\n%s", err, stderr.String())
	}()
	w.Cleanup(func() {
		cancel()
		<-done
	})
	return r
}

// sofar returns the pods of all events; the caller must not change them.
func (r *podWatch) sofar() ([]corev1.Pod, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.seen[:len(r.seen):len(r.seen)], r.err
}
