package cluster

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
)

const (
	startupKey   = "startup-taint.cluster-autoscaler.kubernetes.io/berth"
	otherKey     = "example.com/other"
	startupName  = "berth-startup-taint"
	mergePatch   = "application/merge-patch+json"
	startupLimit = 20 * time.Second
)

// TestStartupTaint: nodes join with the startup taint. One has a real kubelet and containerd, and
// runs the chart's Deployment. Twenty are Node objects: the real DaemonSet controller makes Berth's
// pods for them, the real scheduler binds pods to them, and the test reports the status of Berth's
// pods as kubelets would. No pod that does not tolerate the taint is bound before Berth is ready,
// also while the Deployment's pod is killed again and again.
func TestStartupTaint(t *testing.T) {
	w := newFixture(t, "node")
	w.taints = startupKey + "=:NoSchedule"
	w.startNode("", "")
	w.check(w.first.Push(t.Context(), "library/first:v1", w.image()))
	image := w.buildImage()
	w.kubectl("create", "secret", "generic", "logins", "-n", namespace, "--from-literal=mirror-password="+password)
	seen := w.watchBindings()
	w.waits("node", "docker.io/library/first:v1")

	values := w.values(image)
	values["startupTaint"] = map[string]any{
		"enabled": true, "hostNetwork": true, "port": w.freePort(),
		"nodeSelector": map[string]any{"kubernetes.io/hostname": "node"},
		"tolerations":  []map[string]any{{"key": "node.kubernetes.io/not-ready", "operator": "Exists"}},
		"extraEnv": []map[string]any{
			{"name": "KUBERNETES_SERVICE_HOST", "value": "127.0.0.1"}, {"name": "KUBERNETES_SERVICE_PORT", "value": w.plane.Port()},
		},
	}
	w.helm("install", "berth", chart, "-n", namespace, "-f", w.valuesFile(values))
	w.running("wait-node")
	w.served(w.first, "/v2/library/first/", 200)
	w.judgeBindings(seen, []string{"node"}, nil)

	w.policy()
	never := w.joins(seen)

	values["startupTaint"].(map[string]any)["failOpen"] = startupLimit.String()
	w.release(values)
	w.join("late")
	w.waits("late", "docker.io/library/first:v1")
	never = append(never, "late")
	w.untainted(never)
	w.until("the pods that waited for the limit are bound", func() error { return seen.bound(never) })
	w.afterLimit("late")
	if n := len(w.hub.Requests()); n > 0 {
		t.Errorf("Docker Hub was asked %d times: %v", n, w.hub.Requests())
	}
}

// joins lets twenty nodes join while the Deployment's pod is killed at random, and returns those on
// which Berth never became ready.
func (w *fixture) joins(seen *bindings) (never []string) {
	w.Helper()
	var nodes, good []string
	for i := range 20 {
		name := fmt.Sprintf("join-%02d", i)
		nodes = append(nodes, name)
		w.join(name)
		w.waits(name, "docker.io/library/first:v1")
	}
	pods := map[string]corev1.Pod{}
	w.until("each node has a pod of Berth", func() error {
		pods = w.agents()
		for _, n := range nodes {
			if pods[n].Name == "" {
				return fmt.Errorf("%s has none", n)
			}
		}
		return nil
	})
	random := rand.New(rand.NewPCG(1, 2))
	random.Shuffle(len(nodes), func(i, j int) { nodes[i], nodes[j] = nodes[j], nodes[i] })
	for i, n := range nodes {
		if random.IntN(3) == 0 {
			w.killDeployment()
		}
		switch i % 4 {
		case 0:
			w.report(pods[n], false, "ImagePullBackOff")
			never = append(never, n)
			continue
		case 1:
			w.report(pods[n], false, "CrashLoopBackOff")
			w.report(pods[n], false, "CrashLoopBackOff")
		}
		w.report(pods[n], true, "")
		good = append(good, n)
	}
	w.untainted(good)
	w.until("the pods that waited are bound", func() error { return seen.bound(good) })
	w.judgeBindings(seen, good, never)
	for _, n := range never {
		if keys := w.taintsOf(n); !slices.Contains(keys, startupKey) {
			w.Errorf("%s has no agent, and its taint is gone: %q", n, keys)
		}
	}
	return never
}

// policy checks that the service account, even as an administrator, may do nothing about nodes
// except take away the taint.
func (w *fixture) policy() {
	w.Helper()
	w.join("table")
	// What RBAC gives is not the question here.
	w.kubectl("create", "clusterrolebinding", "too-much", "--clusterrole=cluster-admin", "--serviceaccount="+namespace+":"+startupName)
	token := strings.TrimSpace(w.kubectl("create", "token", startupName, "-n", namespace))
	const path = "/api/v1/nodes/table"
	taint := func(keys ...string) string {
		all := []string{}
		for _, k := range keys {
			all = append(all, fmt.Sprintf(`{"key":%q,"effect":"NoSchedule"}`, k))
		}
		return `{"spec":{"taints":[` + strings.Join(all, ",") + `]}}`
	}
	w.until("the policy is in force", func() error {
		a, err := w.plane.Request(w.Context(), token, http.MethodPatch, path, mergePatch, `{"metadata":{"labels":{"probe":"x"}}}`)
		if err == nil && a.Code != http.StatusForbidden {
			err = fmt.Errorf("%d", a.Code)
		}
		return err
	})
	w.kubectl("label", "node", "table", "probe-") // it may have been set before
	for name, c := range map[string]struct{ method, path, body string }{
		"label":                 {http.MethodPatch, path, `{"metadata":{"labels":{"a":"b"}}}`},
		"label removed":         {http.MethodPatch, path, `{"metadata":{"labels":{"kubernetes.io/os":null}}}`},
		"annotation":            {http.MethodPatch, path, `{"metadata":{"annotations":{"a":"b"}}}`},
		"finalizer":             {http.MethodPatch, path, `{"metadata":{"finalizers":["a/b"]}}`},
		"owner":                 {http.MethodPatch, path, `{"metadata":{"ownerReferences":[{"apiVersion":"v1","kind":"Pod","name":"a","uid":"b"}]}}`},
		"cordon":                {http.MethodPatch, path, `{"spec":{"unschedulable":true}}`},
		"provider id":           {http.MethodPatch, path, `{"spec":{"providerID":"a://b"}}`},
		"pod addresses":         {http.MethodPatch, path, `{"spec":{"podCIDR":"10.1.0.0/24","podCIDRs":["10.1.0.0/24"]}}`},
		"another taint":         {http.MethodPatch, path, taint(startupKey, otherKey, "example.com/more")},
		"other taint removed":   {http.MethodPatch, path, taint(startupKey)},
		"all taints removed":    {http.MethodPatch, path, `{"spec":{"taints":null}}`},
		"effect changed":        {http.MethodPatch, path, strings.Replace(taint(startupKey, otherKey), "NoSchedule", "NoExecute", 1)},
		"ours and a label":      {http.MethodPatch, path, strings.Replace(taint(otherKey), `{"spec"`, `{"metadata":{"labels":{"a":"b"}},"spec"`, 1)},
		"status":                {http.MethodPatch, path + "/status", `{"status":{"conditions":[{"type":"Ready","status":"False"}]}}`},
		"deletion":              {http.MethodDelete, path, ""},
		"creation":              {http.MethodPost, "/api/v1/nodes", `{"kind":"Node","apiVersion":"v1","metadata":{"name":"more"}}`},
		"requests to a kubelet": {http.MethodPost, path + "/proxy/run", "{}"},
	} {
		contentType := mergePatch
		if c.method != http.MethodPatch {
			contentType = "application/json"
		}
		a, err := w.plane.Request(w.Context(), token, c.method, c.path, contentType, c.body)
		w.check(err)
		if a.Code != http.StatusForbidden || !strings.Contains(a.Body, "ValidatingAdmissionPolicy '"+startupName+"'") {
			w.Errorf("%s: %d %s", name, a.Code, a.Body)
		}
	}
	// The administrator may, and the service account may do what it is for.
	for name, c := range map[string]struct{ token, body string }{
		"label by the administrator": {"", `{"metadata":{"labels":{"a":"b"}}}`},
		"nothing":                    {token, `{}`},
		"the taint":                  {token, taint(otherKey)},
	} {
		a, err := w.plane.Request(w.Context(), c.token, http.MethodPatch, path, mergePatch, c.body)
		w.check(err)
		if a.Code != http.StatusOK {
			w.Errorf("%s: %d %s", name, a.Code, a.Body)
		}
	}
	if keys := w.taintsOf("table"); slices.Contains(keys, startupKey) || !slices.Contains(keys, otherKey) {
		w.Errorf("the node has the taints %q", keys)
	}
	w.until("the expressions are checked against the types of nodes", func() error {
		out, err := w.try("kubectl", "get", "validatingadmissionpolicy", startupName, "-o", "jsonpath={.status.observedGeneration} {.status.typeChecking.expressionWarnings}")
		if err == nil && !strings.HasPrefix(out, "1 ") {
			err = errNotYet
		}
		if _, warnings, _ := strings.Cut(out, " "); err == nil && warnings != "" {
			w.Errorf("warnings: %s", warnings)
		}
		return err
	})
	w.kubectl("delete", "clusterrolebinding", "too-much")
}

// bindings is what a watch of all pods has seen: when Berth's pods became ready, and when the
// waiting pods were bound, in the order of the API server.
type bindings struct {
	events      *podWatch
	ready, bind map[string]int // by node, the number of the event
	n           int
}

// watchBindings begins to watch all pods.
func (w *fixture) watchBindings() *bindings {
	w.Helper()
	return &bindings{events: w.watchPods(), ready: map[string]int{}, bind: map[string]int{}}
}

// read takes what the watch has seen since the last call.
func (b *bindings) read() error {
	pods, err := b.events.sofar()
	for _, p := range pods[b.n:] {
		b.n++
		into := b.bind
		if p.Labels["app.kubernetes.io/name"] == "berth" {
			into = b.ready
			if condition(p, corev1.PodReady).Status != corev1.ConditionTrue {
				continue
			}
		} else if !strings.HasPrefix(p.Name, "wait-") {
			continue
		}
		if node := p.Spec.NodeName; node != "" && into[node] == 0 {
			into[node] = b.n
		}
	}
	return err
}

// bound returns an error while the waiting pod of a node is not bound.
func (b *bindings) bound(nodes []string) error {
	err := b.read()
	for _, n := range nodes {
		if b.bind[n] == 0 {
			err = errors.Join(err, fmt.Errorf("the pod for %s waits", n))
		}
	}
	return err
}

// judgeBindings checks that the waiting pods of good were bound after Berth was ready there, and those
// of never not at all.
func (w *fixture) judgeBindings(b *bindings, good, never []string) {
	w.Helper()
	w.check(b.read())
	for _, n := range good {
		if b.ready[n] == 0 || b.bind[n] < b.ready[n] {
			w.Errorf("%s: its pod was bound in event %d, and Berth was ready in event %d", n, b.bind[n], b.ready[n])
		}
	}
	for _, n := range never {
		if b.bind[n] != 0 {
			w.Errorf("%s: a pod was bound, and Berth was never ready", n)
		}
	}
}

// join makes a Node object with both taints, as its kubelet would.
func (w *fixture) join(name string) {
	w.Helper()
	now := time.Now().UTC().Format(time.RFC3339)
	room := `{"cpu":"4","memory":"8Gi","pods":"110","ephemeral-storage":"10Gi"}`
	w.post("/api/v1/nodes", fmt.Sprintf(`{"kind":"Node","apiVersion":"v1",
		"metadata":{"name":%q,"labels":{"kubernetes.io/os":"linux","kubernetes.io/hostname":%[1]q}},
		"spec":{"taints":[{"key":%q,"effect":"NoSchedule"},{"key":%q,"effect":"NoSchedule"}]},
		"status":{"allocatable":%s,"capacity":%[4]s,"conditions":[{"type":"Ready","status":"True","reason":"KubeletReady",
		"lastHeartbeatTime":%q,"lastTransitionTime":%[5]q}]}}`, name, startupKey, otherKey, room, now))
}

// waits makes a pod for a node that tolerates every taint except the startup taint.
func (w *fixture) waits(node, image string) {
	w.Helper()
	w.post("/api/v1/namespaces/default/pods", fmt.Sprintf(`{"kind":"Pod","apiVersion":"v1","metadata":{"name":"wait-%s"},"spec":{
		"nodeSelector":{"kubernetes.io/hostname":%[1]q},"hostNetwork":true,"terminationGracePeriodSeconds":0,
		"automountServiceAccountToken":false,"enableServiceLinks":false,
		"tolerations":[{"key":"node.kubernetes.io/not-ready","operator":"Exists"},{"key":%q,"operator":"Exists"}],
		"containers":[{"name":"wait","image":%q}]}}`, node, otherKey, image))
}

func (w *fixture) post(path, body string) {
	w.Helper()
	a, err := w.plane.Request(w.Context(), "", http.MethodPost, path, "application/json", body)
	w.check(err)
	if a.Code != http.StatusCreated {
		w.Fatalf("%s: %d %s", path, a.Code, a.Body)
	}
}

// agents returns Berth's pods by node.
func (w *fixture) agents() map[string]corev1.Pod {
	w.Helper()
	var list corev1.PodList
	w.check(json.Unmarshal([]byte(w.kubectl("get", "pods", "-n", namespace, "-l", selector, "-o", "json")), &list))
	found := map[string]corev1.Pod{}
	for _, p := range list.Items {
		if p.Spec.NodeName != "" {
			found[p.Spec.NodeName] = p
		}
	}
	return found
}

// report writes the status of a pod as a kubelet would.
func (w *fixture) report(p corev1.Pod, ready bool, waiting string) {
	w.Helper()
	status := fmt.Sprintf(`{"status":{"phase":"Pending","conditions":[{"type":"Ready","status":"False"}],
		"containerStatuses":[{"name":"agent","image":"x","imageID":"","ready":false,"restartCount":0,"state":{"waiting":{"reason":%q}}}]}}`, waiting)
	if ready {
		status = `{"status":{"phase":"Running","conditions":[{"type":"Ready","status":"True"}],
			"containerStatuses":[{"name":"agent","image":"x","imageID":"","ready":true,"restartCount":0,"state":{"running":{}}}]}}`
	}
	a, err := w.plane.Request(w.Context(), "", http.MethodPatch, "/api/v1/namespaces/"+namespace+"/pods/"+p.Name+"/status", mergePatch, status)
	w.check(err)
	if a.Code != http.StatusOK {
		w.Fatalf("status of %s: %d %s", p.Name, a.Code, a.Body)
	}
}

// killDeployment deletes the Deployment's pods without a grace period; another one follows.
func (w *fixture) killDeployment() {
	w.Helper()
	w.kubectl("delete", "pods", "-n", namespace, "-l", "app.kubernetes.io/name="+startupName, "--grace-period=0", "--force", "--wait=false")
}

func (w *fixture) taintsOf(node string) []string {
	w.Helper()
	return strings.Fields(w.kubectl("get", "node", node, "-o", "jsonpath={.spec.taints[*].key}"))
}

// untainted waits until nodes have lost the startup taint, and checks that they have kept the other.
func (w *fixture) untainted(nodes []string) {
	w.Helper()
	w.until("no startup taint is left", func() error {
		var list corev1.NodeList
		if err := json.Unmarshal([]byte(w.kubectl("get", "nodes", "-o", "json")), &list); err != nil {
			return err
		}
		for _, n := range list.Items {
			if !slices.Contains(nodes, n.Name) {
				continue
			}
			has := func(key string) bool {
				return slices.ContainsFunc(n.Spec.Taints, func(t corev1.Taint) bool { return t.Key == key })
			}
			if has(startupKey) {
				return fmt.Errorf("%s has it\n%s", n.Name, w.podLogs("startup-taint"))
			}
			if !has(otherKey) {
				w.Fatalf("%s has lost another taint: %v", n.Name, n.Spec.Taints)
			}
		}
		return nil
	})
}

// afterLimit checks by the API server's clock that the waiting pod of a node was bound after the
// limit.
func (w *fixture) afterLimit(node string) {
	w.Helper()
	created, err := time.Parse(time.RFC3339, w.kubectl("get", "node", node, "-o", "jsonpath={.metadata.creationTimestamp}"))
	w.check(err)
	p, err := w.pod("wait-" + node)
	w.check(err)
	if at := condition(p, corev1.PodScheduled).LastTransitionTime.Time; at.Before(created.Add(startupLimit)) {
		w.Errorf("%s was created at %s, and its pod was bound at %s", node, created, at)
	}
}
