package chart

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
)

func has(args []string, arg string) bool { return slices.Contains(args, arg) }

// values are settings of users, with the expected result.
var values = []struct {
	name, values string
	check        func(t *testing.T, r rendered)
}{
	{"defaults", "", func(t *testing.T, r rendered) {
		p, d := r.pod(), r.daemonSet.Spec
		if !p.HostNetwork || p.DNSPolicy != corev1.DNSDefault || p.PriorityClassName != "system-node-critical" {
			t.Errorf("host network %t, DNS %s, priority %s", p.HostNetwork, p.DNSPolicy, p.PriorityClassName)
		}
		if len(p.Tolerations) != 1 || p.Tolerations[0] != (corev1.Toleration{Operator: corev1.TolerationOpExists}) {
			t.Errorf("tolerations %v", p.Tolerations)
		}
		if u := d.UpdateStrategy.RollingUpdate; u == nil || u.MaxSurge.String() != "0" {
			t.Errorf("update strategy %v", d.UpdateStrategy)
		}
		for _, probe := range []*corev1.Probe{r.agent().StartupProbe, r.agent().LivenessProbe, r.agent().ReadinessProbe} {
			if probe == nil || probe.HTTPGet.Host != "127.0.0.1" || probe.HTTPGet.Port.IntValue() != 9474 {
				t.Errorf("probe %+v", probe)
			}
		}
		// A full /tmp leaves the agent its memory.
		limits := r.agent().Resources.Limits
		if tmp, limit := r.volume("tmp").EmptyDir, limits.Memory(); tmp.Medium != corev1.StorageMediumMemory || 2*tmp.SizeLimit.Value() > limit.Value() {
			t.Errorf("/tmp: %+v, and a memory limit of %s", tmp, limit)
		}
		// Go's limit leaves 24 MiB and more for the pages of the program.
		if e := r.agent().Env; len(e) != 1 || e[0].Name != "GOMEMLIMIT" || e[0].Value != "36MiB" || limits.Memory().Value() != 64<<20 {
			t.Errorf("environment %v with a memory limit of %s", e, limits.Memory())
		}
		if v := r.volume("config"); v.ConfigMap.Name != "berth" || *v.ConfigMap.DefaultMode != 0o400 {
			t.Errorf("config: %+v", v.ConfigMap)
		}
		if r.monitor != nil || r.rule != nil || len(r.configs) != 1 {
			t.Errorf("more than was asked for: %v, %v, %d ConfigMaps", r.monitor, r.rule, len(r.configs))
		}
	}},
	{"image", `image: {repository: registry.corp:5000/berth, digest: "sha256:` + strings.Repeat("0", 64) + `"}
imagePullSecrets: [{name: pull}]`, func(t *testing.T, r rendered) {
		for _, c := range slices.Concat(r.pod().InitContainers, r.pod().Containers) {
			if c.Image != "registry.corp:5000/berth@sha256:"+strings.Repeat("0", 64) {
				t.Errorf("%s: %s", c.Name, c.Image)
			}
		}
		if got := r.pod().ImagePullSecrets; len(got) != 1 || got[0].Name != "pull" {
			t.Errorf("pull secrets %v", got)
		}
	}},
	{"tag", "image: {tag: v9}", func(t *testing.T, r rendered) {
		if !strings.HasSuffix(r.agent().Image, "/berth:v9") {
			t.Error(r.agent().Image)
		}
	}},
	{"secrets", `existingSecrets:
- {name: logins}
- {name: pull, optional: true, items: [{key: .dockerconfigjson, path: pull-secret.json}]}`, func(t *testing.T, r rendered) {
		v := r.volume("secrets")
		if v == nil || v.Projected == nil || len(v.Projected.Sources) != 2 || *v.Projected.DefaultMode != 0o400 {
			t.Fatalf("secrets: %+v", v)
		}
		if s := v.Projected.Sources[1].Secret; s.Name != "pull" || s.Items[0].Path != "pull-secret.json" || !*s.Optional {
			t.Errorf("the second secret: %+v", s)
		}
		for _, m := range r.agent().VolumeMounts {
			if m.Name == "secrets" && (m.MountPath != "/etc/berth/secrets" || !m.ReadOnly) {
				t.Errorf("mounted: %+v", m)
			}
		}
	}},
	{"existing ConfigMap", `existingConfigMap: mine
hostPaths: {certsDir: /etc/k0s/containerd.d/certs.d}`, func(t *testing.T, r rendered) {
		if len(r.configs) != 0 || r.volume("config").ConfigMap.Name != "mine" {
			t.Errorf("%d ConfigMaps, %s", len(r.configs), r.volume("config").ConfigMap.Name)
		}
		if v := r.volume("certs-d"); v.HostPath.Path != "/etc/k0s/containerd.d/certs.d" {
			t.Error(v.HostPath.Path)
		}
	}},
	{"certs.d of k3s", "config: {containerd: {certsDir: /var/lib/rancher/k3s/agent/etc/containerd/certs.d}}", func(t *testing.T, r rendered) {
		const dir = "/var/lib/rancher/k3s/agent/etc/containerd/certs.d"
		if got := hostPaths(r.pod(), r.agent())[dir]; got != "rw /host"+dir {
			t.Errorf("mounted %q", got)
		}
	}},
	{"certs.d by value", "hostPaths: {certsDir: /srv/certs.d}", func(t *testing.T, r rendered) {
		if text := r.configs["berth"].Data["config.yaml"]; !strings.Contains(text, "certsDir: /srv/certs.d") {
			t.Errorf("the config does not say so:\n%s", text)
		}
	}},
	{"empty sections", "hostNetwork: false\nhostPaths: {certsDir: /srv/certs.d}\nconfig: {containerd: null, health: null, mirrors: null}", func(t *testing.T, r rendered) {
		text := r.configs["berth"].Data["config.yaml"]
		if !strings.Contains(text, "certsDir: /srv/certs.d") || !strings.Contains(text, "mode: report") {
			t.Errorf("the config is\n%s", text)
		}
	}},
	{"no config", "config: null", func(t *testing.T, r rendered) {
		if text := r.configs["berth"].Data["config.yaml"]; text != "apiVersion: berth/v1alpha1\nkind: RegistryConfig\n" {
			t.Errorf("the config is\n%s", text)
		}
	}},
	{"no probe fails in a start that goes well", "", func(t *testing.T, r rendered) {
		// The agent waits for first tokens and probes for 3 s. kubelet makes no other probe before
		// the startup probe has succeeded.
		p := r.agent().StartupProbe
		if p == nil || p.HTTPGet.Path != "/livez" || p.InitialDelaySeconds <= 3 || p.PeriodSeconds*p.FailureThreshold < 60 {
			t.Errorf("probe %+v", p)
		}
	}},
	{"probes as Kubernetes has them", "startupProbe: null\nlivenessProbe: null\nreadinessProbe: null", func(t *testing.T, r rendered) {
		for _, probe := range []*corev1.Probe{r.agent().StartupProbe, r.agent().LivenessProbe, r.agent().ReadinessProbe} {
			if probe == nil || probe.HTTPGet == nil || probe.PeriodSeconds != 0 {
				t.Errorf("probe %+v", probe)
			}
		}
	}},
	{"Docker", "docker: {enabled: true, socket: true}", func(t *testing.T, r rendered) {
		paths := hostPaths(r.pod(), r.agent())
		for dir, want := range map[string]string{
			"/etc/docker": "ro /host/etc/docker", "/etc/docker/certs.d": "rw /host/etc/docker/certs.d",
			"/run/docker.sock": "ro /host/run/docker.sock",
		} {
			if paths[dir] != want {
				t.Errorf("%s: %q, want %q", dir, paths[dir], want)
			}
		}
	}},
	{"Docker without its socket", "docker: {enabled: true}", func(t *testing.T, r rendered) {
		if paths := hostPaths(r.pod(), r.agent()); paths["/run/docker.sock"] != "" || paths["/etc/docker/certs.d"] == "" {
			t.Errorf("%v", paths)
		}
	}},
	{"preload", "preload: {enabled: true, hostPath: /srv/images, socket: /run/k3s/containerd/containerd.sock}", func(t *testing.T, r rendered) {
		if r.preload == nil {
			t.Fatal("no DaemonSet")
		}
		p := r.preload.Spec.Template.Spec
		paths := hostPaths(p, p.Containers[0])
		if len(paths) != 2 || paths["/srv/images"] != "ro /images" || paths["/run/k3s/containerd/containerd.sock"] != "ro /run/runtime.sock" {
			t.Errorf("%v", paths)
		}
		if args := p.Containers[0].Args; !has(args, "--pin") || !has(args, "--follow") || !has(args, "--snapshotter=overlayfs") || args[len(args)-1] != "/images" {
			t.Errorf("%q", args)
		}
		// Neither DaemonSet selects the pods of the other one, and the agent has no part in it.
		for _, two := range [][2]*appsv1.DaemonSet{{r.preload, r.daemonSet}, {r.daemonSet, r.preload}} {
			selects := func(labels map[string]string) bool {
				for name, value := range two[0].Spec.Selector.MatchLabels {
					if labels[name] != value {
						return false
					}
				}
				return true
			}
			if !selects(two[0].Spec.Template.Labels) || selects(two[1].Spec.Template.Labels) {
				t.Errorf("%s selects %v", two[0].Name, two[0].Spec.Selector.MatchLabels)
			}
		}
		if paths := hostPaths(r.pod(), r.agent()); paths["/srv/images"] != "" || len(p.Containers[0].SecurityContext.Capabilities.Add) > 0 {
			t.Errorf("%v", paths)
		}
	}},
	{"no preload", "preload: {pin: false}", func(t *testing.T, r rendered) {
		if r.preload != nil {
			t.Error("a DaemonSet that was not asked for")
		}
	}},
	{"no preload while the node is restored", "preload: {enabled: true}\nmode: restore", func(t *testing.T, r rendered) {
		if r.preload != nil {
			t.Error("a DaemonSet that loads images")
		}
	}},
	{"kubelet's config.json", "kubeletConfigJSON: {enabled: true, rootDir: /data/kubelet}\nconfig: {kubelet: {configJSON: true}}", func(t *testing.T, r rendered) {
		paths := hostPaths(r.pod(), r.agent())
		if paths["/data/kubelet"] != "rw /host/data/kubelet" || paths["/proc"] != "ro /host/proc" {
			t.Errorf("%v", paths)
		}
		c := r.agent().SecurityContext
		if len(c.Capabilities.Add) != 1 || c.Capabilities.Add[0] != "SYS_PTRACE" || len(c.Capabilities.Drop) != 1 || c.AppArmorProfile == nil || c.AppArmorProfile.Type != corev1.AppArmorProfileTypeUnconfined {
			t.Errorf("%+v", c)
		}
		for _, init := range r.pod().InitContainers {
			if len(init.SecurityContext.Capabilities.Add) > 0 || init.SecurityContext.AppArmorProfile != nil {
				t.Errorf("%s has more rights: %+v", init.Name, init.SecurityContext)
			}
		}
	}},
	{"without kubelet's config.json", "", func(t *testing.T, r rendered) {
		paths, c := hostPaths(r.pod(), r.agent()), r.agent().SecurityContext
		if paths["/proc"] != "" || paths["/var/lib/kubelet"] != "" || len(c.Capabilities.Add) > 0 || c.AppArmorProfile != nil {
			t.Errorf("%v, %+v", paths, c)
		}
	}},
	{"root", "hostPaths: {root: /tmp/x}", func(t *testing.T, r rendered) {
		for _, v := range r.pod().Volumes {
			if v.HostPath != nil && !strings.HasPrefix(v.HostPath.Path, "/tmp/x/") {
				t.Errorf("%s is %s", v.Name, v.HostPath.Path)
			}
		}
	}},
	{"RHEL", "hostPaths: {caCertificates: [/etc/ssl/certs, /etc/pki]}", func(t *testing.T, r rendered) {
		paths := hostPaths(r.pod(), r.agent())
		if paths["/etc/pki"] != "ro /etc/pki" || paths["/etc/ssl/certs"] != "ro /etc/ssl/certs" {
			t.Errorf("%q", paths)
		}
	}},
	{"no host network", "hostNetwork: false\nconfig: {health: {interval: 30s}}", func(t *testing.T, r rendered) {
		if r.pod().HostNetwork || !has(r.agent().Args, "--listen=:9474") || r.agent().ReadinessProbe.HTTPGet.Host != "" {
			t.Errorf("host network %t, args %q", r.pod().HostNetwork, r.agent().Args)
		}
		if text := r.configs["berth"].Data["config.yaml"]; !strings.Contains(text, "mode: report") || !strings.Contains(text, "interval: 30s") {
			t.Errorf("mirrors are withdrawn:\n%s", text)
		}
	}},
	{"no host network and no probes of mirrors", "hostNetwork: false\nconfig: {health: {mode: \"off\"}}", func(t *testing.T, r rendered) {
		if text := r.configs["berth"].Data["config.yaml"]; strings.Contains(text, "report") {
			t.Errorf("health is\n%s", text)
		}
	}},
	{"metrics", "metrics: {expose: true, port: 9999}\npodMonitor: {enabled: true, labels: {release: x}}", func(t *testing.T, r rendered) {
		if !has(r.agent().Args, "--listen=[$(HOST_IP)]:9999") || r.agent().Env[0].Name != "HOST_IP" || r.agent().ReadinessProbe.HTTPGet.Host != "" {
			t.Errorf("args %q, env %v", r.agent().Args, r.agent().Env)
		}
		m := r.monitor
		if m == nil || m.Labels["release"] != "x" || len(m.Spec.PodMetricsEndpoints) != 1 {
			t.Fatalf("monitor %+v", m)
		}
		if port := m.Spec.PodMetricsEndpoints[0].Port; port == nil || *port != r.agent().Ports[0].Name {
			t.Errorf("the monitor's port %v, the pod's %v", port, r.agent().Ports)
		}
		if m.Spec.AttachMetadata != nil {
			t.Errorf("Prometheus would list nodes: %+v", m.Spec.AttachMetadata)
		}
		for name, value := range m.Spec.Selector.MatchLabels {
			if r.daemonSet.Spec.Template.Labels[name] != value {
				t.Errorf("the monitor selects %s=%s, the pod has %v", name, value, r.daemonSet.Spec.Template.Labels)
			}
		}
	}},
	{"zones from nodes", "metrics: {expose: true}\npodMonitor: {enabled: true, nodeMetadata: true}", func(t *testing.T, r rendered) {
		a := r.monitor.Spec.AttachMetadata
		if a == nil || a.Node == nil || !*a.Node {
			t.Errorf("metadata %+v", a)
		}
		zones := 0
		for _, l := range r.monitor.Spec.PodMetricsEndpoints[0].RelabelConfigs {
			if l.TargetLabel == "zone" && l.Regex == "(.+)" {
				zones++
			}
		}
		if zones != 2 {
			t.Errorf("%d rules for the label zone", zones)
		}
	}},
	{"metrics of the startup taint", "metrics: {expose: true}\npodMonitor: {enabled: true}\nstartupTaint: {enabled: true}\npreload: {enabled: true}", func(t *testing.T, r rendered) {
		selector, err := metav1.LabelSelectorAsSelector(&r.monitor.Spec.Selector)
		if err != nil {
			t.Fatal(err)
		}
		startup := r.startup.deployment.Spec.Template
		for _, c := range []struct {
			pod  corev1.PodTemplateSpec
			want bool
		}{{r.daemonSet.Spec.Template, true}, {startup, true}, {r.preload.Spec.Template, false}} {
			if got := selector.Matches(labels.Set(c.pod.Labels)); got != c.want {
				t.Errorf("%v: selected %t", c.pod.Labels, got)
			}
		}
		if port, ours := r.monitor.Spec.PodMetricsEndpoints[0].Port, startup.Spec.Containers[0].Ports; len(ours) != 1 || port == nil || *port != ours[0].Name || ours[0].ContainerPort != 9475 {
			t.Errorf("the monitor's port %v, the pod's %v", port, ours)
		}
	}},
	{"rules and dashboard", "prometheusRule: {enabled: true}\ngrafanaDashboard: {enabled: true, annotations: {folder: x}}", func(t *testing.T, r rendered) {
		if r.rule == nil || len(r.rule.Spec.Groups) != 1 || len(r.rule.Spec.Groups[0].Rules) < 10 {
			t.Errorf("rule %+v", r.rule)
		}
		d := r.configs["berth-dashboard"]
		if d == nil || !strings.Contains(d.Data["berth.json"], `"title": "Berth"`) || d.Labels["grafana_dashboard"] != "1" {
			t.Errorf("dashboard %v", d)
		}
	}},
	{"restore", "mode: restore", func(t *testing.T, r rendered) {
		if !has(r.agent().Args, "--restore") || len(r.pod().InitContainers) != 0 {
			t.Errorf("args %q, %d init containers", r.agent().Args, len(r.pod().InitContainers))
		}
	}},
	{"restore does no setup", "mode: restore\nnodeSetup: {enabled: true}\nprovider: {remove: true}", func(t *testing.T, r rendered) {
		if p := r.pod(); len(p.InitContainers) != 1 || !has(p.InitContainers[0].Args, "--remove") || len(boundaries(p)) > 0 {
			t.Errorf("init containers %+v", p.InitContainers)
		}
	}},
	{"no provider", "provider: {enabled: false}", func(t *testing.T, r rendered) {
		if p := r.pod(); len(p.InitContainers) != 0 || r.volume("provider-bin") != nil {
			t.Errorf("init containers %+v", p.InitContainers)
		}
	}},
	{"no right without tokens", "", func(t *testing.T, r rendered) {
		if r.role != nil || r.binding != nil || has(r.pod().InitContainers[0].Args, "--service-account-tokens") {
			t.Errorf("%+v %+v %q", r.role, r.binding, r.pod().InitContainers[0].Args)
		}
	}},
	{"tokens of service accounts", "provider: {serviceAccountTokens: true}", func(t *testing.T, r rendered) {
		if !has(r.pod().InitContainers[0].Args, "--service-account-tokens") {
			t.Errorf("args %q", r.pod().InitContainers[0].Args)
		}
		want := []rbacv1.PolicyRule{{APIGroups: []string{""}, Resources: []string{"sts.amazonaws.com"}, Verbs: []string{"request-serviceaccounts-token-audience"}}}
		if r.role == nil || !reflect.DeepEqual(r.role.Rules, want) {
			t.Errorf("role %+v", r.role)
		}
		if b := r.binding; b == nil || b.RoleRef.Name != r.role.Name || len(b.Subjects) != 1 || b.Subjects[0].Name != "system:nodes" || b.Subjects[0].Kind != "Group" {
			t.Errorf("binding %+v", r.binding)
		}
	}},
	{"provider of k3s", `provider:
  binDir: /var/lib/rancher/credentialprovider/bin
  config: /var/lib/rancher/credentialprovider/config.yaml
  configuration: |
    kind: CredentialProviderConfig`, func(t *testing.T, r rendered) {
		c := r.pod().InitContainers[0]
		if !has(c.Args, "--provider-config-from=/etc/berth/credential-provider-config.yaml") {
			t.Errorf("args %q", c.Args)
		}
		paths := hostPaths(r.pod(), c)
		if paths["/var/lib/rancher/credentialprovider"] == "" || paths["/var/lib/rancher/credentialprovider/bin"] == "" {
			t.Errorf("%q", paths)
		}
		if m := r.configs["berth-provider"]; m == nil || m.Name != r.volume("provider-text").ConfigMap.Name {
			t.Errorf("ConfigMaps %v", r.configs)
		}
	}},
	{"provider in one directory", "provider: {binDir: /opt/berth, config: /opt/berth/config.yaml}", func(t *testing.T, r rendered) {
		// Kubernetes refuses two mounts at one path.
		c := r.pod().InitContainers[0]
		seen := map[string]bool{}
		for _, m := range c.VolumeMounts {
			if seen[m.MountPath] {
				t.Errorf("two mounts at %s", m.MountPath)
			}
			seen[m.MountPath] = true
		}
		if !seen["/host/opt/berth"] {
			t.Errorf("mounted: %v", c.VolumeMounts)
		}
	}},
	{"provider's indented configuration", "provider: {configuration: \"  # Mine.\\nkind: CredentialProviderConfig\\n\"}", func(t *testing.T, r rendered) {
		if text := r.configs["berth-provider"].Data["credential-provider-config.yaml"]; text != "  # Mine.\nkind: CredentialProviderConfig\n" {
			t.Errorf("the configuration became %q", text)
		}
	}},
	{"no provider and a path that would be refused", "provider: {enabled: false, config: /x.yaml}", func(t *testing.T, r rendered) {
		if len(r.pod().InitContainers) != 0 {
			t.Errorf("init containers %+v", r.pod().InitContainers)
		}
	}},
	{"node setup", "nodeSetup: {enabled: true, args: [--containerd, --kubelet, --yes]}\nexistingSecrets: [{name: x}]", func(t *testing.T, r rendered) {
		c := r.pod().InitContainers[1]
		want := []string{"install", "--root=/host", "--config=/etc/berth/config.yaml", "--containerd", "--kubelet", "--yes"}
		if !slices.Equal(c.Args, want) || hostPaths(r.pod(), c)["/"] != "rw /host" {
			t.Errorf("args %q, %v", c.Args, hostPaths(r.pod(), c))
		}
	}},
	{"node setup reads the config as the agent does", `nodeSetup: {enabled: true}
metrics: {expose: true}
existingSecrets: [{name: x}]
extraEnv: [{name: BERTH_RACK, value: r1}, {name: BERTH_ADDRESS, value: $(HOST_IP)}]
extraEnvFrom: [{configMapRef: {name: rack}}]
extraVolumes: [{name: pki, hostPath: {path: /etc/corp}}]
extraVolumeMounts: [{name: pki, mountPath: /etc/corp, readOnly: true}]`, func(t *testing.T, r rendered) {
		agent, setup := r.agent(), r.pod().InitContainers[1]
		if !reflect.DeepEqual(setup.Env, agent.Env) || len(agent.Env) != 4 || !reflect.DeepEqual(setup.EnvFrom, agent.EnvFrom) || len(agent.EnvFrom) != 1 {
			t.Errorf("node-setup has %v %v, the agent %v %v", setup.Env, setup.EnvFrom, agent.Env, agent.EnvFrom)
		}
		var files []string
		for _, m := range agent.VolumeMounts { // what is not the node's own place of a file
			if strings.HasPrefix(m.MountPath, "/host/") || m.MountPath == "/tmp" {
				continue
			}
			if files = append(files, m.MountPath); !slices.ContainsFunc(setup.VolumeMounts, func(s corev1.VolumeMount) bool { return reflect.DeepEqual(s, m) }) {
				t.Errorf("node-setup lacks %+v", m)
			}
		}
		if want := []string{"/etc/berth", "/etc/berth/secrets", "/etc/ssl/certs", "/etc/corp"}; !slices.Equal(files, want) {
			t.Errorf("the config may name files in %q, want %q", files, want)
		}
	}},
	{"names", "fullnameOverride: other\nnameOverride: name\nserviceAccount: {create: false, name: sa}", func(t *testing.T, r rendered) {
		if r.daemonSet.Name != "other" || r.account != nil || r.pod().ServiceAccountName != "sa" || r.configs["other"] == nil {
			t.Errorf("%s, %v, %s", r.daemonSet.Name, r.account, r.pod().ServiceAccountName)
		}
		if got := r.daemonSet.Spec.Selector.MatchLabels["app.kubernetes.io/name"]; got != "name" {
			t.Error(got)
		}
	}},
	{"a larger memory limit", "resources: {limits: {memory: 1Gi}}", func(t *testing.T, r rendered) {
		if e := r.agent().Env; len(e) != 1 || e[0].Value != "576MiB" {
			t.Errorf("environment %v", e)
		}
	}},
	{"GOMEMLIMIT is given", `extraEnv: [{name: GOMEMLIMIT, value: 50MiB}]`, func(t *testing.T, r rendered) {
		if e := r.agent().Env; len(e) != 1 || e[0].Value != "50MiB" {
			t.Errorf("environment %v", e)
		}
	}},
	{"the conventional rest", `podAnnotations: {a: b}
podLabels: {c: d}
priorityClassName: ""
nodeSelector: {pool: x}
tolerations: []
affinity: {}
updateStrategy: {type: OnDelete, rollingUpdate: null}
resources: {}
seLinuxOptions: {type: spc_t}
podSecurityContext: {fsGroup: 1}
extraEnv: [{name: HTTPS_PROXY, value: "http://proxy.corp:3128"}]
extraEnvFrom: [{secretRef: {name: aws}}]
extraVolumes: [{name: pki, hostPath: {path: /etc/corp}}]
extraVolumeMounts: [{name: pki, mountPath: /etc/corp, readOnly: true}]
livenessProbe: {periodSeconds: 5}`, func(t *testing.T, r rendered) {
		p, a := r.pod(), r.agent()
		if a.SecurityContext.SELinuxOptions.Type != "spc_t" || a.Env[0].Name != "HTTPS_PROXY" || a.EnvFrom[0].SecretRef.Name != "aws" ||
			p.NodeSelector["pool"] != "x" || p.PriorityClassName != "" || len(p.Tolerations) != 0 || r.volume("pki") == nil ||
			hostPaths(p, a)["/etc/corp"] != "ro /etc/corp" || *p.SecurityContext.FSGroup != 1 || a.LivenessProbe.PeriodSeconds != 5 {
			t.Errorf("%+v", p)
		}
		if r.daemonSet.Spec.UpdateStrategy.Type != "OnDelete" || r.daemonSet.Spec.Template.Labels["c"] != "d" || r.daemonSet.Spec.Template.Annotations["a"] != "b" {
			t.Errorf("%+v", r.daemonSet.Spec)
		}
		if wrong := boundaries(p); len(wrong) > 0 {
			t.Errorf("%q", wrong)
		}
	}},
}

func TestValues(t *testing.T) {
	for _, v := range values {
		t.Run(v.name, func(t *testing.T) { v.check(t, render(t, v.values)) })
	}
}

// TestRefused: helm reports a mistake in the values before anything reaches a cluster.
func TestRefused(t *testing.T) {
	for _, c := range []struct {
		values, why string
		install     bool
	}{
		{values: "imge: {tag: x}", why: "imge"},
		{values: "image: {digest: latest}", why: "digest"},
		{values: "mode: uninstall", why: "mode"},
		{values: "metrics: {port: 0}", why: "port"},
		{values: "updateStrategy: {type: RollingUpdate, rollingUpdate: {maxSurge: 1}}", why: "maxSurge"},
		{values: "hostPaths: {certsDir: relative}", why: "certsDir"},
		{values: "hostPaths: {certsDir: /a/../b}", why: "certsDir"},
		{values: "provider: {binDir: bin}", why: "binDir"},
		{values: "existingSecrets: [logins]", why: "existingSecrets"},
		{values: "podMonitor: {enabled: true}", why: "metrics.expose"},
		{values: "nodeSetup: {enabled: true}", why: "helm upgrade", install: true},
		{values: "hostPaths: {certsDir: /a}\nconfig: {containerd: {certsDir: /b}}", why: "must be the same"},
		{values: "config: \"mirrors: [\"", why: "config: "},
		{values: "hostNetwork: false\nconfig: \"mirrors: []\"", why: "mode: report"},
		{values: "hostPaths: {certsDir: /a}\nconfig: \"mirrors: []\"", why: "containerd.certsDir"},
		{values: "hostPaths: {certsDir: \"/a:/b\"}", why: "certsDir"},
		{values: "config: {containerd: {certsDir: relative}}", why: `config.containerd.certsDir is "relative": it must be one absolute path`},
		{values: "config: {containerd: {certsDir: /}}", why: "config.containerd.certsDir"},
		{values: "config: {containerd: {certsDir: /etc/../x}}", why: "config.containerd.certsDir"},
		{values: "config: {containerd: {certsDir: \"/a:/b\"}}", why: "config.containerd.certsDir"},
		{values: "config: {containerd: {certsDir: 5}}", why: "config.containerd.certsDir"},
		{values: "config: \"containerd: {certsDir: relative}\"", why: "config.containerd.certsDir"},
		{values: "config: {containerd: [/a]}", why: "config.containerd is"},
		{values: "config: {health: off}", why: "config.health is"},
		{values: "config: {health: {mode: off}}", why: `write it in quotes, "off"`},
		{values: "config: {docker: {mode: off}}", why: `write it in quotes, "on"`},
		{values: "config: {docker: {mode: \"on\"}}", why: "set docker.enabled to true"},
		{values: "config: {kubelet: {configJSON: true}}", why: "set kubeletConfigJSON.enabled to true"},
		{values: "kubeletConfigJSON: {rootDir: kubelet}", why: "rootDir"},
		{values: "preload: {hostPath: images}", why: "hostPath"},
		{values: "preload: {hostpath: /srv/images}", why: "hostpath"},
		{values: "docker: {enabled: true}\nconfig: {docker: {certsDir: /srv/certs.d}}", why: "the chart mounts /etc/docker/certs.d"},
		{values: "config: [mirrors]", why: "/config"},
		{values: "config: {mirrors: [{upstream: docker.io, endpoint: [{url: a.corp}]}]}", why: "endpoint"},
		{values: "config: {mirrors: [{upstream: docker.io, endpoints: [https://a.corp]}]}", why: "/config/mirrors/0/endpoints/0"},
		{values: "config: {registries: [{host: a.corp, url: https://a.corp}]}", why: "url"},
		{values: "config: {registries: [{host: a.corp, tls: true}]}", why: "/config/registries/0/tls"},
		{values: "provider: {config: /x.yaml}", why: "provider.config is /x.yaml: its directory is mounted writable, and that would be the whole node; put it into a directory, such as /etc/berth/x.yaml"},
		{values: "existingConfigMap: mine\nconfig: {mirrors: []}", why: "config and existingConfigMap are given"},
		{values: "existingConfigMap: mine\nconfig: \"mirrors: []\"", why: "config and existingConfigMap are given"},
		{values: "securityContext: null", why: "securityContext"},
		{values: "metrics: null", why: "metrics"},
	} {
		if _, err := template(t, c.values, !c.install); err == nil || !strings.Contains(err.Error(), c.why) || crashed(err) {
			t.Errorf("%s: %v, want something about %q", c.values, err, c.why)
		}
	}
}

// Where Helm only renders, it treats everything as a first install.
func TestSetupWhereHelmOnlyRenders(t *testing.T) {
	out, err := template(t, "nodeSetup: {enabled: true, alreadyInstalled: true}", false)
	if err != nil {
		t.Fatal(err)
	}
	r, err := decode(out)
	if err != nil {
		t.Fatal(err)
	}
	if c := r.pod().InitContainers; len(c) != 2 || c[1].Name != "node-setup" {
		t.Errorf("init containers %+v", c)
	}
}
