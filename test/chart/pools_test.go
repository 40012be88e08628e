package chart

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"
)

const pools = `
config:
  mirrors: [{upstream: docker.io, endpoints: [{url: https://mirror.corp}]}]
  health: {interval: 30s, failures: 3}
  docker: {certsDir: /etc/docker/certs.d}
  kubelet: {configJSON: true}
kubeletConfigJSON: {enabled: true}
pools:
  label: example.com/pool
  items:
  - value: gpu
    config:
      mirrors: [{upstream: quay.io, endpoints: [{url: https://gpu.corp}]}]
      health: {failures: 5}
      docker: null
      kubelet: {configJSON: false}
      containerd: {certsDir: /srv/certs.d}
  - value: A.b_c
`

// selects reports whether the pods of d may run on a node with these labels.
func selects(t *testing.T, d *appsv1.DaemonSet, labels map[string]string) bool {
	t.Helper()
	terms := d.Spec.Template.Spec.Affinity.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution.NodeSelectorTerms
	return slices.ContainsFunc(terms, func(term corev1.NodeSelectorTerm) bool {
		for _, e := range term.MatchExpressions {
			value, ok := labels[e.Key]
			switch listed := ok && slices.Contains(e.Values, value); e.Operator {
			case corev1.NodeSelectorOpIn:
				if !listed {
					return false
				}
			case corev1.NodeSelectorOpNotIn: // a node without the label is selected too
				if listed {
					return false
				}
			default:
				t.Fatalf("operator %s", e.Operator)
			}
		}
		return true
	})
}

// TestPools: each node has one DaemonSet, and each DaemonSet the config of its pool.
func TestPools(t *testing.T) {
	for _, affinity := range []string{
		"", "affinity: null\n", "affinity: {podAffinity: {}}\n",
		`affinity: {nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: [
  {matchExpressions: [{key: a, operator: NotIn, values: [x]}]}, {matchExpressions: [{key: b, operator: NotIn, values: [x]}]}]}}}` + "\n",
	} {
		r := render(t, affinity+pools)
		if len(r.pools) != 3 {
			t.Fatalf("%v", slices.Collect(maps.Keys(r.pools)))
		}
		for _, c := range []struct {
			labels map[string]string
			want   string
		}{
			{nil, "berth"},
			{map[string]string{"example.com/pool": ""}, "berth"},
			{map[string]string{"example.com/pool": "other"}, "berth"},
			{map[string]string{"example.com/pool": "gpu"}, "berth-pool-gpu"},
			{map[string]string{"example.com/pool": "A.b_c"}, "berth-pool-a-b-c-2f2e99c8"},
		} {
			var chosen []string
			for name, d := range r.pools {
				if selects(t, d, c.labels) {
					chosen = append(chosen, name)
				}
			}
			if len(chosen) != 1 || chosen[0] != c.want {
				t.Errorf("%s%v is a node of %q, want %s", affinity, c.labels, chosen, c.want)
			}
		}
	}

	r := render(t, pools)
	alone := render(t, strings.ReplaceAll(pools, "\npools:", "\nglobal:"))
	for name, d := range r.pools {
		labels := d.Spec.Template.Labels
		for key, value := range d.Spec.Selector.MatchLabels {
			if labels[key] != value {
				t.Errorf("%s selects %s=%s, its pods have %v", name, key, value, labels)
			}
		}
		if _, ok := d.Spec.Selector.MatchLabels["berth/pool"]; ok == (d == r.daemonSet) {
			t.Errorf("%s selects %v", name, d.Spec.Selector.MatchLabels)
		}
	}
	// An existing release gets pools: its DaemonSet keeps its name and selector, which cannot change.
	r.daemonSet.Spec.Template.Spec.Affinity = alone.daemonSet.Spec.Template.Spec.Affinity
	if a, b := asYAML(t, r.daemonSet), asYAML(t, alone.daemonSet); a != b {
		t.Errorf("the default DaemonSet is\n%s\nwithout pools\n%s", a, b)
	}
	if a, b := asYAML(t, r.configs["berth"]), asYAML(t, alone.configs["berth"]); a != b {
		t.Errorf("the default config is\n%s\nwithout pools\n%s", a, b)
	}

	const want = head + `containerd:
  certsDir: /srv/certs.d
health:
  failures: 5
  interval: 30s
kubelet:
  configJSON: false
mirrors:
- endpoints:
  - url: https://gpu.corp
  upstream: quay.io
`
	if got := r.configs["berth-pool-gpu"].Data["config.yaml"]; got != want {
		t.Errorf("the config of the pool is\n%s\nwant\n%s", got, want)
	}
	if got, want := r.configs["berth-pool-a-b-c-2f2e99c8"].Data["config.yaml"], r.configs["berth"].Data["config.yaml"]; got != want {
		t.Errorf("a pool without a config has\n%s\nwant\n%s", got, want)
	}
	gpu := rendered{daemonSet: r.pools["berth-pool-gpu"]}
	if v := gpu.volume("config"); v.ConfigMap.Name != "berth-pool-gpu" {
		t.Errorf("the pool mounts %s", v.ConfigMap.Name)
	}
	if paths := hostPaths(gpu.pod(), gpu.agent()); paths["/srv/certs.d"] != "rw /host/srv/certs.d" {
		t.Errorf("%v", paths)
	}
	if env := gpu.agent().Env; len(env) != 2 || env[0].Name != "BERTH_POOL" || env[0].Value != "gpu" {
		t.Errorf("%v", env)
	}
}

// A config that is a file takes an overlay too; without one it stays as it is, with its comments.
func TestPoolsOfAFile(t *testing.T) {
	r := render(t, `config: "# Mine.\nhealth: {interval: 30s}\n"
pools: {label: l, items: [{value: a}, {value: b, config: "health: {failures: 5}"}]}`)
	for name, want := range map[string]string{
		"berth": "# Mine.\nhealth: {interval: 30s}\n", "berth-pool-a": "# Mine.\nhealth: {interval: 30s}\n",
		"berth-pool-b": head + "health:\n  failures: 5\n  interval: 30s\n",
	} {
		if got := r.configs[name].Data["config.yaml"]; got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
}

// With configRollout a change of the config is one of the pods of that pool alone.
func TestConfigRollout(t *testing.T) {
	volume := func(d *appsv1.DaemonSet) string { return rendered{daemonSet: d}.volume("config").ConfigMap.Name }
	before := render(t, "configRollout: true\n"+pools)
	after := render(t, "configRollout: true\n"+strings.ReplaceAll(pools, "gpu.corp", "gpu2.corp"))
	for name, d := range before.pools {
		changed := volume(d) != volume(after.pools[name])
		if changed != (name == "berth-pool-gpu") {
			t.Errorf("%s: changed %t", name, changed)
		}
		config := before.configs[volume(d)]
		if config == nil || config.Immutable == nil || !*config.Immutable || !strings.HasPrefix(config.Name, name+"-") {
			t.Errorf("%s mounts %+v", name, config)
		}
	}
	if c := render(t, pools).configs["berth"]; c == nil || c.Immutable != nil {
		t.Errorf("without configRollout: %+v", c)
	}
}

func TestVariables(t *testing.T) {
	names := func(c corev1.Container) string {
		var found []string
		for _, e := range c.Env {
			if e.ValueFrom == nil {
				continue // GOMEMLIMIT
			}
			found = append(found, fmt.Sprintf("%s=%s", e.Name, e.ValueFrom.FieldRef.FieldPath))
		}
		return strings.Join(found, " ")
	}
	const (
		all = "NODE_IP=status.hostIP NODE_NAME=spec.nodeName REGION=metadata.labels['topology.kubernetes.io/region'] " +
			"ZONE=metadata.labels['topology.kubernetes.io/zone']"
		mirrors = "config: {mirrors: [{upstream: docker.io, endpoints: [{url: \"http://${NODE_IP}:5000\"}]}]}\n"
	)
	for values, want := range map[string]string{
		"":                           "",
		mirrors:                      "NODE_IP=status.hostIP",
		"config: \"# ${NODE_NAME}\"": "NODE_NAME=spec.nodeName",
		"existingConfigMap: mine\nvariables: [ZONE, REGION, NODE_IP, NODE_NAME]": all,
		mirrors + "metrics: {expose: true}":                                      "NODE_IP=status.hostIP HOST_IP=status.hostIP",
	} {
		if got := names(render(t, values).agent()); got != want {
			t.Errorf("%s: %q, want %q", values, got, want)
		}
	}
}

func TestPoolsRefused(t *testing.T) {
	for values, why := range map[string]string{
		"pools: {label: l, items: [{value: a}, {value: b}, {value: a}]}":           "pools.items has the value a twice",
		"pools: {items: [{value: a}]}":                                             "pools.label is empty",
		"pools: {label: l, items: [{value: a b}]}":                                 "/pools/items/0/value",
		"pools: {label: l, items: [{value: \"\"}]}":                                "/pools/items/0/value",
		"pools: {label: l, items: [{name: a}]}":                                    "name",
		"pools: {label: l, items: [{value: a, config: {mirors: []}}]}":             "mirors",
		"pools: {label: l, items: [{value: a, config: \"mirrors: [\"}]}":           "pools: config of a: ",
		"pools: {label: l, items: [{value: a, config: {docker: {mode: \"on\"}}}]}": "set docker.enabled to true",
		"pools: {label: l, items: [{value: a}]}\nexistingConfigMap: mine":          "pools and existingConfigMap are given",
		"configRollout: true\nexistingConfigMap: mine":                             "configRollout and existingConfigMap are given",
		"variables: [HOME]": "/variables/0",
	} {
		if _, err := template(t, values, true); err == nil || !strings.Contains(err.Error(), why) || crashed(err) {
			t.Errorf("%s: %v, want something about %q", values, err, why)
		}
	}
}

func asYAML(t *testing.T, object any) string {
	t.Helper()
	text, err := yaml.Marshal(object)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
