package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	corev1 "k8s.io/api/core/v1"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// removePods stops and removes all pods of a containerd, and their cgroups.
func removePods(ctx context.Context, socket string) error {
	conn, err := grpc.NewClient("unix://"+socket, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	defer conn.Close()
	client := cri.NewRuntimeServiceClient(conn)
	sandboxes, err := client.ListPodSandbox(ctx, &cri.ListPodSandboxRequest{})
	if err != nil {
		return err
	}
	var errs []error
	for _, p := range sandboxes.GetItems() {
		if _, err := client.StopPodSandbox(ctx, &cri.StopPodSandboxRequest{PodSandboxId: p.GetId()}); err != nil {
			errs = append(errs, err)
			continue
		}
		_, err := client.RemovePodSandbox(ctx, &cri.RemovePodSandboxRequest{PodSandboxId: p.GetId()})
		errs = append(errs, err)
	}
	return errors.Join(append(errs, removeCgroups(ctx))...)
}

// removeCgroups removes the cgroup that containerd puts pods into if kubelet names no parent,
// unless it holds other pods: an empty one is not missed.
func removeCgroups(ctx context.Context) error {
	var errs []error
	for _, pattern := range []string{"/sys/fs/cgroup/k8s.io", "/sys/fs/cgroup/*/k8s.io"} {
		dirs, err := filepath.Glob(pattern)
		if err != nil {
			return err
		}
		for _, dir := range dirs {
			errs = append(errs, removeSoon(ctx, dir))
		}
	}
	return errors.Join(errs...)
}

// removeSoon waits a moment, because the kernel keeps a cgroup after its last process has ended.
func removeSoon(ctx context.Context, dir string) error {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	for {
		if err := os.Remove(dir); err == nil || errors.Is(err, os.ErrNotExist) {
			return nil
		}
		select {
		case <-ctx.Done():
			return nil // pods of another program
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// pod gets a pod from the API.
func (w *fixture) pod(name string) (corev1.Pod, error) {
	var p corev1.Pod
	out, err := w.try("kubectl", "get", "pod", name, "-o", "json")
	if err != nil {
		return p, err
	}
	return p, json.Unmarshal([]byte(out), &p)
}

// selector selects the pods of the DaemonSet.
const selector = "app.kubernetes.io/name=berth"

// berthPods returns the pods of the DaemonSet, by node: exactly one each, without those that are
// being deleted.
func (w *fixture) berthPods() (map[string]corev1.Pod, error) {
	out, err := w.try("kubectl", "get", "pods", "-n", namespace, "-l", selector, "-o", "json")
	if err != nil {
		return nil, err
	}
	var list corev1.PodList
	if err := json.Unmarshal([]byte(out), &list); err != nil {
		return nil, err
	}
	found := map[string]corev1.Pod{}
	for _, pod := range list.Items {
		if pod.DeletionTimestamp == nil {
			found[pod.Spec.NodeName] = pod
		}
	}
	if len(list.Items) != len(w.nodes) || len(found) != len(w.nodes) {
		return nil, fmt.Errorf("%d pods on %d nodes, some about to go", len(list.Items), len(found))
	}
	return found, nil
}

// berthPod returns the only pod of the DaemonSet.
func (w *fixture) berthPod() (corev1.Pod, error) {
	pods, err := w.berthPods()
	return pods[w.nodes[0]], err
}

// ready waits until the DaemonSet's pods are ready and match the DaemonSet.
func (w *fixture) ready() {
	w.Helper()
	w.until("DaemonSet ready", func() error {
		_, err := w.try("kubectl", "rollout", "status", "-n", namespace, "daemonset/berth", "--timeout=5s")
		if err != nil {
			return fmt.Errorf("%w\n%s", err, w.why())
		}
		return nil
	})
}

// why collects the reasons why a pod does not start.
func (w *fixture) why() string {
	events, err := w.try("kubectl", "get", "events", "-A", "--sort-by=.lastTimestamp",
		"-o", "custom-columns=:.lastTimestamp,:.involvedObject.name,:.reason,:.message", "--no-headers")
	if err != nil {
		events = err.Error()
	}
	return tail(events, 12) + "\n" + w.podLogs("agent")
}

// podLogs returns the ends of the logs of all containers with a name.
func (w *fixture) podLogs(container string) string {
	var files []string
	for _, dir := range w.podLogDirs {
		some, err := filepath.Glob(filepath.Join(dir, "*", container, "*.log"))
		if err != nil {
			return err.Error()
		}
		files = append(files, some...)
	}
	var all strings.Builder
	for _, f := range files {
		raw, err := os.ReadFile(f)
		if err != nil {
			return err.Error()
		}
		all.WriteString(tail(string(raw), 15) + "\n")
	}
	return all.String()
}

// start starts a pod with an image, on a node if one is named.
func (w *fixture) start(node, name, image string) {
	w.Helper()
	w.startAs("default", node, name, image)
}

// startAs starts a pod with a service account.
func (w *fixture) startAs(account, node, name, image string) {
	w.Helper()
	file := filepath.Join(w.dir, name+".yaml")
	w.check(os.WriteFile(file, fmt.Appendf(nil, `apiVersion: v1
kind: Pod
metadata: {name: %s}
spec:
  nodeName: %q
  serviceAccountName: %s
  hostNetwork: true
  automountServiceAccountToken: false
  enableServiceLinks: false
  terminationGracePeriodSeconds: 0
  tolerations: [{operator: Exists}]
  containers:
  - {name: %[1]s, image: %[4]q, imagePullPolicy: IfNotPresent}
`, name, node, account, image), 0o600))
	w.kubectl("apply", "-f", file)
}

// runs starts a pod with an image and waits until it runs.
func (w *fixture) runs(name, image string) {
	w.Helper()
	w.runsOn("", name, image)
}

// runsOn starts a pod on a node.
func (w *fixture) runsOn(node, name, image string) {
	w.Helper()
	w.start(node, name, image)
	w.until("pod "+name+" runs", func() error {
		p, err := w.pod(name)
		if err != nil {
			return err
		}
		if p.Status.Phase != corev1.PodRunning {
			return fmt.Errorf("pod %s is %s: %v", name, p.Status.Phase, p.Status.ContainerStatuses)
		}
		return nil
	})
}
