package chart

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	monitoring "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"sigs.k8s.io/yaml"
)

const (
	top   = "../.."
	chart = top + "/manifests/chart"
)

// rendered is the rendered chart.
type rendered struct {
	daemonSet *appsv1.DaemonSet            // the first one of the agent
	pools     map[string]*appsv1.DaemonSet // those of the agent by name, the first one too
	preload   *appsv1.DaemonSet
	configs   map[string]*corev1.ConfigMap
	account   *corev1.ServiceAccount
	role      *rbacv1.ClusterRole
	binding   *rbacv1.ClusterRoleBinding
	monitor   *monitoring.PodMonitor
	rule      *monitoring.PrometheusRule
	startup   startupObjects
}

// helm runs the helm that parts.sh has built; it does not build it.
func helm(t *testing.T, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), filepath.Join("..", "cluster", "parts.sh"), "-n", "helm").Output()
	if err != nil {
		t.Fatalf("helm is missing: run test/cluster/parts.sh helm: %v", err)
	}
	fields := strings.Fields(string(out))
	cmd := exec.CommandContext(t.Context(), filepath.Join(fields[len(fields)-1], "helm"), args...)
	cmd.Env = []string{"HOME=" + t.TempDir(), "PATH=/usr/bin:/bin"}
	var o, e bytes.Buffer
	cmd.Stdout, cmd.Stderr = &o, &e
	err = cmd.Run()
	return o.String(), e.String(), err
}

// template renders with values in YAML; with upgrade as for a release that exists.
func template(t *testing.T, values string, upgrade bool, args ...string) (string, error) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "values.yaml")
	if err := os.WriteFile(file, []byte(values), 0o600); err != nil {
		t.Fatal(err)
	}
	args = append([]string{"template", "berth", chart, "-n", "kube-system", "-f", file}, args...)
	if upgrade {
		args = append(args, "--is-upgrade")
	}
	out, stderr, err := helm(t, args...)
	if err != nil {
		return "", fmt.Errorf("%w: %s", err, stderr)
	}
	return out, nil
}

// render decodes the rendered chart, each document strictly.
func render(t *testing.T, values string, args ...string) rendered {
	t.Helper()
	out, err := template(t, values, true, args...)
	if err != nil {
		t.Fatal(err)
	}
	r, err := decode(out)
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return r
}

// decode reads documents into the types of the API server; an unknown or duplicate field is an
// error.
func decode(out string) (rendered, error) {
	r := rendered{configs: map[string]*corev1.ConfigMap{}, pools: map[string]*appsv1.DaemonSet{}}
	for doc := range strings.SplitSeq("\n"+out, "\n---") {
		var kind struct {
			APIVersion string `json:"apiVersion"`
			Kind       string `json:"kind"`
		}
		if err := yaml.Unmarshal([]byte(doc), &kind); err != nil {
			return r, err
		}
		var into any
		config, daemonSet := &corev1.ConfigMap{}, &appsv1.DaemonSet{}
		if ofStartupTaint(doc) {
			if err := r.startup.add(kind.Kind, doc); err != nil {
				return r, err
			}
			continue
		}
		switch kind.APIVersion + "/" + kind.Kind {
		case "/":
			continue // a comment
		case "apps/v1/DaemonSet":
			into = daemonSet
		case "v1/ConfigMap":
			into = config
		case "rbac.authorization.k8s.io/v1/ClusterRole":
			r.role = &rbacv1.ClusterRole{}
			into = r.role
		case "rbac.authorization.k8s.io/v1/ClusterRoleBinding":
			r.binding = &rbacv1.ClusterRoleBinding{}
			into = r.binding
		case "v1/ServiceAccount":
			r.account = &corev1.ServiceAccount{}
			into = r.account
		case "monitoring.coreos.com/v1/PodMonitor":
			r.monitor = &monitoring.PodMonitor{}
			into = r.monitor
		case "monitoring.coreos.com/v1/PrometheusRule":
			r.rule = &monitoring.PrometheusRule{}
			into = r.rule
		default:
			return r, fmt.Errorf("unexpected object %s %s", kind.APIVersion, kind.Kind)
		}
		if err := yaml.UnmarshalStrict([]byte(doc), into); err != nil {
			return r, fmt.Errorf("%s: %w", kind.Kind, err)
		}
		switch into {
		case any(config):
			r.configs[config.Name] = config
		case any(daemonSet):
			if isPreload(daemonSet) {
				r.preload = daemonSet
				continue
			}
			r.pools[daemonSet.Name] = daemonSet
			if r.daemonSet == nil {
				r.daemonSet = daemonSet
			}
		}
	}
	if r.daemonSet == nil {
		return r, fmt.Errorf("no DaemonSet")
	}
	return r, nil
}

// isPreload tells the DaemonSet of preload from those of the agent.
func isPreload(d *appsv1.DaemonSet) bool {
	c := d.Spec.Template.Spec.Containers
	return len(c) == 1 && c[0].Name == "preload"
}

func (r rendered) pod() corev1.PodSpec { return r.daemonSet.Spec.Template.Spec }

// agent returns the main container.
func (r rendered) agent() corev1.Container { return r.pod().Containers[0] }

// volume returns a volume by its name.
func (r rendered) volume(name string) *corev1.Volume {
	for _, v := range r.pod().Volumes {
		if v.Name == name {
			return &v
		}
	}
	return nil
}

// An unknown field, a duplicate field and an unexpected object must be found.
func TestDecodeIsStrict(t *testing.T) {
	const start = "apiVersion: apps/v1\nkind: DaemonSet\n"
	for name, doc := range map[string]string{
		"unknown field": start + "spec: {template: {spec: {hostNetwrok: true}}}\n",
		"field twice":   start + "spec: {minReadySeconds: 1, minReadySeconds: 2}\n",
		"wrong type":    start + "spec: {minReadySeconds: soon}\n",
		"another kind":  "apiVersion: rbac.authorization.k8s.io/v1\nkind: Role\n",
		"nothing":       "# empty\n",
	} {
		if _, err := decode(doc); err == nil {
			t.Errorf("%s: is taken", name)
		}
	}
}

// TestRenderedFiles: the files beside the chart are what it renders.
func TestRenderedFiles(t *testing.T) {
	dir := t.TempDir()
	if out, err := exec.CommandContext(t.Context(), "./render.sh", dir).CombinedOutput(); err != nil {
		t.Fatalf("render.sh: %v\n%s", err, out)
	}
	for _, name := range []string{
		"manifests/berth.yaml", "manifests/chart/files/berth.rules.yaml", "manifests/chart/files/berth-dashboard.json",
	} {
		want, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(filepath.Join(top, name))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s is not what the chart renders: run make generate", name)
		}
	}
	raw, err := os.ReadFile(filepath.Join(top, "manifests/berth.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := decode(string(raw)); err != nil {
		t.Errorf("berth.yaml: %v", err)
	}
}

func TestLint(t *testing.T) {
	if out, stderr, err := helm(t, "lint", "--strict", chart); err != nil {
		t.Errorf("helm lint: %v\n%s%s", err, out, stderr)
	}
}
