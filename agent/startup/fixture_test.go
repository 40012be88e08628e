package startup

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/berth-registry/berth/internal/kubeapi"
	"github.com/berth-registry/berth/test/fakes/fakekube"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type object = fakekube.Object

const (
	key      = "startup-taint.cluster-autoscaler.kubernetes.io/berth"
	podsPath = "namespaces/kube-system/pods/"
)

// fixture is an API server with controllers, in a bubble of synctest.
type fixture struct {
	*testing.T
	*fakekube.Server
	dir  string
	logs logs
}

// logs is what all controllers have logged, as lines of JSON.
type logs struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

// with returns the records with a message.
func (l *logs) with(message string) (found []map[string]any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for line := range strings.Lines(l.text.String()) {
		var record map[string]any
		if json.Unmarshal([]byte(line), &record) == nil && record["msg"] == message {
			found = append(found, record)
		}
	}
	return found
}

func newFixture(t *testing.T, dir string) *fixture {
	t.Helper()
	api, err := fakekube.Start(dir)
	if err != nil {
		t.Fatal(err)
	}
	return &fixture{T: t, Server: api, dir: dir}
}

// start runs a controller and returns a function that ends it.
func (f *fixture) start(failOpen time.Duration) (stop func()) {
	f.Helper()
	client, err := kubeapi.New(f.Address(), f.dir, f.Dial)
	if err != nil {
		f.Fatal(err)
	}
	ctx, cancel := context.WithCancel(f.Context())
	c := New(Options{
		API: client, Key: key, Namespace: "kube-system", Selector: "app=berth", FailOpen: failOpen,
		Log: slog.New(slog.NewJSONHandler(&f.logs, nil)),
	})
	var running sync.WaitGroup
	running.Go(func() { c.Run(ctx) })
	return func() {
		cancel()
		running.Wait()
		client.Close()
	}
}

// taintOf returns a taint as kubelet registers it.
func taintOf(key string) object { return object{"key": key, "effect": "NoSchedule"} }

// join makes a node that has the taint, and others. It ends an earlier life of that name.
func (f *fixture) join(name string, others ...string) {
	taints := []any{taintOf(key)}
	for _, other := range others {
		taints = append(taints, taintOf(other))
	}
	f.Change("nodes/"+name, func(object) object { return nil })
	f.Change("nodes/"+name, func(object) object { return object{"spec": object{"taints": taints}} })
}

// pod makes the pod of the DaemonSet on a node, not ready.
func (f *fixture) pod(node, name string) {
	f.Change(podsPath+name, func(object) object {
		return object{
			"metadata": object{
				"namespace": "kube-system", "labels": object{"app": "berth"},
				"ownerReferences": []any{object{"kind": "DaemonSet", "controller": true}},
			},
			"spec":   object{"nodeName": node},
			"status": object{"phase": "Pending"},
		}
	})
}

// report writes the status of a pod as its kubelet does.
func (f *fixture) report(name string, ready bool) {
	f.Change(podsPath+name, func(o object) object {
		if o == nil {
			return nil
		}
		status := "False"
		if ready {
			status = "True"
		}
		o["status"] = object{"phase": "Running", "conditions": []any{object{"type": "Ready", "status": status}}}
		fakekube.Metadata(o)["managedFields"] = []any{object{
			"manager": "kubelet", "subresource": "status", "time": time.Now().UTC().Format(time.RFC3339),
		}}
		return o
	})
}

// taints returns the keys of a node's taints.
func taints(node object) (keys []string) {
	spec, _ := node["spec"].(object)
	all, _ := spec["taints"].([]any)
	for _, t := range all {
		keys = append(keys, t.(object)["key"].(string))
	}
	return keys
}
