package cluster

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	"github.com/berth-registry/berth/node/providerconfig"
)

const (
	certsDir = "/etc/containerd/certs.d"
	chart    = "../../manifests/chart"
	// foreign is a file that existed before Berth, where Berth would write.
	foreign = certsDir + "/docker.io/hosts.toml"
)

// TestCluster installs the chart, uses it, changes it and uninstalls it.
func TestCluster(t *testing.T) {
	w := newFixture(t, "node")
	w.startNode("", "")
	// The state before Berth: a foreign hosts.toml, with a mode and a time.
	w.check(os.MkdirAll(filepath.Join(w.root, filepath.Dir(foreign)), 0o750))
	w.check(os.WriteFile(filepath.Join(w.root, foreign), []byte("server = \"https://registry-1.docker.io\"\n\n[host]\n"), 0o640))
	past := time.Date(2020, 2, 3, 4, 5, 6, 0, time.UTC)
	w.check(os.Chtimes(filepath.Join(w.root, foreign), past, past))
	before := w.now()

	ctx := w.Context()
	w.check(w.first.Push(ctx, "library/first:v1", w.image()))
	w.check(w.second.Push(ctx, "library/second:v1", w.image()))
	w.check(w.ecrContent.Push(ctx, "app:v1", w.image()))
	w.check(w.ecrContent.Push(ctx, "other:v1", w.image()))
	image := w.buildImage()

	w.takesManifests()
	values := w.values(image)
	w.kubectl("create", "secret", "generic", "logins", "-n", namespace, "--from-literal=mirror-password="+password)
	w.helm("install", "berth", chart, "-n", namespace, "-f", w.valuesFile(values))
	w.ready()
	w.boundaries(w.agentAddress(values))
	w.metrics(values)
	w.documented("kubectl patch daemonset", "--dry-run=server")

	w.runs("first", "docker.io/library/first:v1")
	w.served(w.first, "/v2/library/first/", 200)
	w.ordinaryHasMore()
	w.runs("ecr", ecrHost+"/app:v1")
	w.letIn(1)

	w.editConfigMap()
	w.runs("second", "docker.io/library/second:v1")
	w.served(w.second, "/v2/library/second/", 200)

	quay := w.carry()
	values["preload"] = map[string]any{"enabled": true}
	values["podAnnotations"] = map[string]any{"berth.test/rollout": "second"}
	values["config"] = w.config(w.second.URL())
	w.upgrade(values)
	w.stillThere()
	w.preloaded(quay)

	// kubelet uses the files of the chart after the restart that its administrator must do.
	w.restartKubelet(filepath.Join(w.root, providerConfig), filepath.Join(w.root, providerDir))
	w.runs("other", otherECRHost+"/other:v1")
	w.letIn(2)

	if same := before.differences(w.now()); len(same) == 0 {
		t.Error("the comparison finds nothing while Berth's files are there: it proves nothing")
	}
	values["mode"] = "restore"
	w.upgrade(values)
	w.asBefore(before, "restored")
	// kubelet's flags still name the provider, and kubelet must start.
	w.restartKubelet(filepath.Join(w.root, providerConfig), filepath.Join(w.root, providerDir))
	w.restartKubelet("", "")
	values["provider"].(map[string]any)["remove"] = true
	w.upgrade(values)
	w.helm("uninstall", "berth", "-n", namespace)
	w.until("the pod is gone", func() error {
		out, err := w.try("kubectl", "get", "pods", "-n", namespace, "-o", "name")
		if err == nil && strings.TrimSpace(out) != "" {
			err = fmt.Errorf("there are still %s", out)
		}
		return err
	})
	w.asBefore(before, "uninstalled")
	w.nothingLeft()

	if n := len(w.hub.Requests()); n > 0 {
		t.Errorf("Docker Hub was asked %d times: %v", n, w.hub.Requests())
	}
	if refused := w.proxy.Refused(); len(refused) > 0 {
		t.Errorf("requests would have left the machine: %q", refused)
	}
}

// now returns the node's files, without the directories that kubelet makes for the pod's mounts.
func (w *fixture) now() tree { return look(w.T, w.root, "/var", "/run", "/usr", "/etc/berth") }

func (w *fixture) asBefore(before tree, when string) {
	w.Helper()
	if left := before.differences(w.now()); len(left) > 0 {
		w.Errorf("%s, but:\n%s", when, strings.Join(left, "\n"))
	}
}

// nothingLeft checks that the directories that kubelet made are empty. (A reboot clears /run.)
func (w *fixture) nothingLeft() {
	w.Helper()
	for _, dir := range []string{"/var", "/usr", "/etc/berth"} {
		for name, what := range look(w.T, filepath.Join(w.root, dir)) {
			if !strings.HasPrefix(what, "d") {
				w.Errorf("left behind: %s%s: %s", dir, name, what)
			}
		}
	}
}

// buildImage builds the image from the Dockerfile, pushes it, and returns its tag.
func (w *fixture) buildImage() string {
	w.Helper()
	const tag = "trial"
	dir, err := os.MkdirTemp(w.dir, "image-")
	w.check(err)
	began := time.Now()
	cmd := exec.CommandContext(w.Context(), "./image.sh", dir, w.images.Addr()+"/berth:"+tag)
	if out, err := cmd.CombinedOutput(); err != nil {
		w.Fatalf("image.sh: %v\n%s", err, out)
	}
	w.Logf("image built and pushed: after %.1f s", time.Since(began).Seconds())
	return tag
}

// values returns the chart's values for this cluster.
func (w *fixture) values(tag string) map[string]any {
	w.Helper()
	var env []map[string]any
	for _, v := range w.aws.Env() {
		name, value, _ := strings.Cut(v, "=")
		env = append(env, map[string]any{"name": name, "value": value})
	}
	return map[string]any{
		"image":           map[string]any{"repository": w.images.Addr() + "/berth", "tag": tag},
		"hostPaths":       map[string]any{"root": w.root},
		"existingSecrets": []map[string]any{{"name": "logins"}},
		"metrics":         map[string]any{"port": w.freePort()},
		"extraEnv":        env,
		"provider":        map[string]any{"configuration": w.providerConfiguration(providerconfig.Config())},
		"config":          w.config(w.first.URL()),
	}
}

// config returns a config with a mirror for Docker Hub and a registry in ECR.
func (w *fixture) config(mirror string) map[string]any {
	host := strings.TrimPrefix(mirror, "https://")
	return map[string]any{
		"mirrors": []map[string]any{{
			"upstream": "docker.io", "endpoints": []map[string]any{{"url": mirror}}, "upstreamFallback": false,
		}},
		"registries": []map[string]any{
			{"host": host, "username": username, "passwordFile": "/etc/berth/secrets/mirror-password", "plainHTTP": false},
			{"host": ecrHost},
		},
		"health":     map[string]any{"interval": "1s", "timeout": "1s"},
		"containerd": map[string]any{"onConflict": "adopt"},
		"proxy":      map[string]any{"httpsProxy": w.proxyURL(), "noProxy": "127.0.0.1"},
	}
}

func (w *fixture) proxyURL() string {
	for _, v := range w.proxy.Env() {
		if url, ok := strings.CutPrefix(v, "HTTPS_PROXY="); ok {
			return url
		}
	}
	w.Fatal("the proxy has no address")
	return ""
}

func (w *fixture) freePort() int {
	w.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	w.check(err)
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

func (w *fixture) valuesFile(values map[string]any) string {
	w.Helper()
	raw, err := yaml.Marshal(values)
	w.check(err)
	file := filepath.Join(w.dir, "values.yaml")
	w.check(os.WriteFile(file, raw, 0o600))
	return file
}

// upgrade changes the release and waits until its pods are new and ready.
func (w *fixture) upgrade(values map[string]any) {
	w.Helper()
	old, err := w.berthPods()
	w.check(err)
	w.release(values)
	w.renewed(old)
}

// release changes the release and does not wait for pods.
func (w *fixture) release(values map[string]any) {
	w.Helper()
	// By default Helm does not overwrite fields that another client has edited.
	w.helm("upgrade", "berth", chart, "-n", namespace, "-f", w.valuesFile(values), "--force-conflicts")
}

// renewed waits until all pods of the DaemonSet are ready and none is old.
func (w *fixture) renewed(old map[string]corev1.Pod) {
	w.Helper()
	w.ready()
	w.until("other pods", func() error {
		pods, err := w.berthPods()
		for node, pod := range pods {
			if pod.UID == old[node].UID {
				err = errors.Join(err, fmt.Errorf("still %s", pod.Name))
			}
		}
		return err
	})
}

// editConfigMap changes the mirror as kubectl edit would, and waits until the node has it. Neither
// containerd nor kubelet nor the agent is restarted.
func (w *fixture) editConfigMap() {
	w.Helper()
	pod, err := w.berthPod()
	w.check(err)
	containerd, err := w.daemon.Identity()
	w.check(err)
	config := w.config(w.second.URL())
	config["apiVersion"], config["kind"] = "berth/v1alpha1", "RegistryConfig"
	text, err := yaml.Marshal(config)
	w.check(err)
	patch, err := yaml.Marshal(map[string]any{"data": map[string]any{"config.yaml": string(text)}})
	w.check(err)
	w.kubectl("patch", "configmap", "berth", "-n", namespace, "--type", "merge", "--patch", string(patch))
	w.until("the edited ConfigMap is in hosts.toml", func() error {
		raw, err := os.ReadFile(filepath.Join(w.root, foreign))
		if err == nil && !strings.Contains(string(raw), w.second.Addr()) {
			err = fmt.Errorf("it says\n%s\n%s", raw, w.podLogs("agent"))
		}
		return err
	})
	now, err := w.berthPod()
	w.check(err)
	if now.UID != pod.UID || now.Status.ContainerStatuses[0].RestartCount != 0 {
		w.Error("the agent was restarted")
	}
	if again, err := w.daemon.Identity(); err != nil || again != containerd {
		w.Errorf("containerd was restarted: %v", err)
	}
}

// stillThere checks that Berth's file has not changed with a new agent.
func (w *fixture) stillThere() {
	w.Helper()
	raw, err := os.ReadFile(filepath.Join(w.root, foreign))
	w.check(err)
	if !strings.Contains(string(raw), w.second.Addr()) {
		w.Errorf("after the upgrade %s says\n%s", foreign, raw)
	}
}
