package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	corev1 "k8s.io/api/core/v1"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

const poolLabel = "berth.test/pool"

// TestPools: each node has the files of its pool. A node whose label changes follows, and none of its
// pulls fails meanwhile. A mistake in the config of one pool stops the rollout of that pool: its nodes
// keep their files, also one that is restarted meanwhile, and the other pools roll on.
func TestPools(t *testing.T) {
	w := newFixture(t, "one", "two", "three")
	machines := newMachines(w)
	ctx := t.Context()
	w.check(w.first.Push(ctx, "library/app:v1", w.image()))
	w.check(w.second.Push(ctx, "library/app:v1", w.image()))
	one, two, three := machines[0], machines[1], machines[2]
	three.replaceContainerd()
	for _, m := range machines {
		m.readsCertsDir()
	}
	w.kubectl("create", "secret", "generic", "logins", "-n", namespace, "--from-literal=mirror-password="+password)
	w.kubectl("label", "node", "one", poolLabel+"=a")
	w.kubectl("label", "node", "two", poolLabel+"=b")

	values := w.values(w.buildImage())
	delete(values, "hostPaths")
	delete(values, "provider")
	values["configRollout"] = true
	values["readinessProbe"] = map[string]any{"periodSeconds": 1, "failureThreshold": 1}
	base := values["config"].(map[string]any)
	base["registries"] = append(base["registries"].([]map[string]any)[:1],
		w.config(w.second.URL())["registries"].([]map[string]any)[0])
	base["mirrors"] = append(base["mirrors"].([]map[string]any), w.mirror("quay.io", w.first.URL()))
	pool := func(value string, mirrors ...map[string]any) map[string]any {
		return map[string]any{"value": value, "config": map[string]any{"mirrors": mirrors}}
	}
	setPools := func(items ...map[string]any) {
		values["pools"] = map[string]any{"label": poolLabel, "items": items}
	}
	a, b := pool("a", w.mirror("docker.io", w.second.URL())), pool("b", w.mirror("ghcr.io", w.first.URL()))
	setPools(a, b)
	w.helm("install", "berth", chart, "-n", namespace, "-f", w.valuesFile(values))
	w.documented("kubectl rollout status -n kube-system daemonset -l", "")
	w.allReady(nil)
	one.holds("docker.io", w.second.Addr())
	two.holds("ghcr.io", w.first.Addr())
	three.holds("docker.io", w.first.Addr())
	three.holds("quay.io", w.first.Addr())
	two.lacks("docker.io")
	one.lacks("quay.io")

	// A node moves, with a pull each second.
	old, err := w.berthPods()
	w.check(err)
	pulls := three.pull("docker.io/library/app:v1")
	w.kubectl("label", "node", "three", poolLabel+"=a")
	w.until("three is a node of the pool a", func() error {
		if text := three.read(certsDir + "/docker.io/hosts.toml"); !strings.Contains(text, w.second.Addr()) {
			return fmt.Errorf("it has\n%s", text)
		}
		_, err := os.Stat(three.path(certsDir + "/quay.io/hosts.toml"))
		if !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("the file of quay.io is there: %v", err)
		}
		return nil
	})
	w.allReady(map[string]corev1.Pod{"three": old["three"]})
	n, err := pulls()
	if n < 2 || err != nil {
		t.Errorf("after %d pulls: %v", n, err)
	}
	w.served(w.second, "/v2/library/app/", 200)

	// A mistake that the chart's schema does not know.
	old, err = w.berthPods()
	w.check(err)
	setPools(pool("a", w.mirror("docker.io", w.first.URL()), w.mirror("docker.io", w.second.URL())), b)
	w.release(values)
	w.until("one node of the pool has the mistake", func() error { return w.stoppedAt("berth-pool-a", 1, 1) })
	w.until("its agent tells the mistake", func() error {
		if said := w.podLogs("agent"); !strings.Contains(said, "already has a mirror on line") {
			return fmt.Errorf("the agents say\n%s", said)
		}
		return nil
	})
	// Another pool rolls out completely, and the first one still stands where it stood.
	b["config"].(map[string]any)["mirrors"] = []map[string]any{w.mirror("ghcr.io", w.second.URL())}
	setPools(pool("a", w.mirror("docker.io", w.first.URL()), w.mirror("docker.io", w.second.URL())), b)
	w.release(values)
	w.until("the pool b has its new config", func() error {
		_, err := w.try("kubectl", "rollout", "status", "-n", namespace, "daemonset/berth-pool-b", "--timeout=5s")
		return err
	})
	two.holds("ghcr.io", w.second.Addr())
	w.check(w.stoppedAt("berth-pool-a", 1, 1))
	for _, m := range []*machine{one, three} {
		m.holds("docker.io", w.second.Addr())
		_, err := m.pullOnce("docker.io/library/app:v1")
		w.check(err)
	}

	stale := one
	if now, err := w.berthPods(); err != nil {
		t.Fatal(err)
	} else if now["one"].UID != old["one"].UID {
		stale = three
	}
	w.restartsWhileStopped(stale)

	w.documented("helm rollback berth", "1")
	w.until("the pool a is whole again", func() error { return w.stoppedAt("berth-pool-a", 2, 0) })
}

// restartsWhileStopped cuts the power of a node with an old pod, whose ConfigMap helm has removed, while
// the rollout of the pool a is stopped. The node comes up with its files. Kubernetes replaces its pod by
// one with the mistake, whose agent keeps the node as the last good config says; no other pod is touched.
func (w *fixture) restartsWhileStopped(m *machine) {
	w.Helper()
	before, err := w.berthPods()
	w.check(err)
	m.restart()
	m.holds("docker.io", w.second.Addr())
	w.until("a pull through the mirror", func() error {
		_, err := m.pullOnce("docker.io/library/app:v1")
		return err
	})
	w.until("Kubernetes has replaced the pod of "+m.name, func() error {
		now, err := w.berthPods()
		if err == nil && now[m.name].UID == before[m.name].UID {
			err = errNotYet
		}
		return err
	})
	file := certsDir + "/docker.io/hosts.toml"
	w.check(os.Remove(m.path(file)))
	w.until("the agent has repaired the file", func() error {
		raw, err := os.ReadFile(m.path(file))
		if err == nil && !strings.Contains(string(raw), w.second.Addr()) {
			err = fmt.Errorf("it is\n%s", raw)
		}
		return err
	})
	w.until("both nodes of the pool have the mistake", func() error { return w.stoppedAt("berth-pool-a", 2, 2) })
	now, err := w.berthPods()
	w.check(err)
	for node, pod := range before {
		if node != m.name && now[node].UID != pod.UID {
			w.Errorf("the pod of %s was replaced", node)
		}
	}
}

// mirror returns a mirror of the config.
func (w *fixture) mirror(upstream, url string) map[string]any {
	return map[string]any{"upstream": upstream, "endpoints": []map[string]any{{"url": url}}, "upstreamFallback": false}
}

// allReady waits until each node has one ready pod, and none of those in old.
func (w *fixture) allReady(old map[string]corev1.Pod) {
	w.Helper()
	w.until("each node has a ready pod", func() error {
		pods, err := w.berthPods()
		for node, pod := range pods {
			if was, ok := old[node]; ok && was.UID == pod.UID {
				err = errors.Join(err, fmt.Errorf("%s still has %s", node, pod.Name))
			}
			if condition(pod, corev1.PodReady).Status != corev1.ConditionTrue {
				err = errors.Join(err, fmt.Errorf("%s is not ready: %s", pod.Name, w.podLogs("agent")))
			}
		}
		return err
	})
}

// stoppedAt checks that a DaemonSet of two nodes has this many pods of the last release, and this many
// that are not ready.
func (w *fixture) stoppedAt(daemonSet string, updated, unavailable int) error {
	out, err := w.try("kubectl", "get", "daemonset", daemonSet, "-n", namespace, "-o",
		"jsonpath={.metadata.generation} {.status.observedGeneration} {.status.updatedNumberScheduled} {.status.numberUnavailable}")
	if err != nil {
		return err
	}
	f := append(strings.Fields(out), "0") // numberUnavailable is left out when it is 0
	if len(f) < 4 || f[0] != f[1] || f[2] != strconv.Itoa(updated) || f[3] != strconv.Itoa(unavailable) {
		return fmt.Errorf("generation, observed, updated, unavailable: %s", out)
	}
	return nil
}

func (m *machine) holds(upstream, host string) {
	m.Helper()
	if text := m.read(filepath.Join(certsDir, upstream, "hosts.toml")); !strings.Contains(text, host) {
		m.Errorf("%s: the file of %s does not name %s:\n%s", m.name, upstream, host, text)
	}
}

func (m *machine) lacks(upstream string) {
	m.Helper()
	if _, err := os.Stat(m.path(filepath.Join(certsDir, upstream, "hosts.toml"))); !errors.Is(err, os.ErrNotExist) {
		m.Errorf("%s has a file of %s: %v", m.name, upstream, err)
	}
}

// replaceContainerd gives the machine containerd 1.7 in its default configuration.
func (m *machine) replaceContainerd() {
	m.Helper()
	parts := m.set.Between
	out, err := m.run("systemctl stop containerd")
	if err != nil {
		m.Fatalf("%s: %v: %s", m.name, err, out)
	}
	m.command("cp", "--remove-destination", parts.Daemon, filepath.Join(parts.BinDir, "containerd-shim-runc-v2"), m.path("/usr/local/bin/"))
	config, err := m.run("containerd config default")
	m.check(err)
	m.write(containerdConfig, strings.NewReplacer("restrict_oom_score_adj = false", "restrict_oom_score_adj = true",
		"disable_apparmor = false", "disable_apparmor = true").Replace(config))
}

// configPath is the setting in the formats of both releases.
var configPath = regexp.MustCompile(`(?m)\bconfig_path = .*$`)

// readsCertsDir makes containerd read hosts.toml files.
func (m *machine) readsCertsDir() {
	m.Helper()
	before := m.read(containerdConfig)
	after := configPath.ReplaceAllString(before, "config_path = '"+certsDir+"'")
	if after == before {
		m.Fatalf("%s: no config_path in\n%s", m.name, before)
	}
	m.write(containerdConfig, after)
	if out, err := m.run("systemctl restart containerd"); err != nil {
		m.Fatalf("%s: %v: %s", m.name, err, out)
	}
}

// pull pulls an image each second, until the returned function is called: it returns the number of
// pulls, and the error of the first one that failed.
func (m *machine) pull(image string) func() (int, error) {
	ctx, cancel := context.WithCancel(m.Context())
	type result struct {
		pulls int
		err   error
	}
	done := make(chan result, 1)
	go func() {
		var r result
		defer func() { done <- r }()
		for r.err == nil && ctx.Err() == nil {
			if _, err := m.pullOnce(image); err != nil {
				r.err = fmt.Errorf("pull %d: %w", r.pulls+1, err)
				return
			}
			r.pulls++
			select {
			case <-ctx.Done():
			case <-time.After(time.Second):
			}
		}
	}()
	return func() (int, error) {
		cancel()
		r := <-done
		return r.pulls, r.err
	}
}

// pullOnce pulls an image as kubelet does.
func (m *machine) pullOnce(image string) (string, error) {
	socket := filepath.Join("/proc", strconv.Itoa(m.leader), "root/run/containerd/containerd.sock")
	conn, err := grpc.NewClient("unix://"+socket, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return "", err
	}
	defer conn.Close()
	answer, err := cri.NewImageServiceClient(conn).PullImage(m.Context(), &cri.PullImageRequest{Image: &cri.ImageSpec{Image: image}})
	return answer.GetImageRef(), err
}
