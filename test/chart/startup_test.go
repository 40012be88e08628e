package chart

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"sigs.k8s.io/yaml"
)

// startupObjects are the objects of startupTaint.
type startupObjects struct {
	account        corev1.ServiceAccount
	clusterRole    rbacv1.ClusterRole
	clusterBinding rbacv1.ClusterRoleBinding
	role           rbacv1.Role
	binding        rbacv1.RoleBinding
	deployment     appsv1.Deployment
	policy         admissionv1.ValidatingAdmissionPolicy
	policyBinding  admissionv1.ValidatingAdmissionPolicyBinding
	kinds          []string
}

// ofStartupTaint reports whether a document is one of them.
func ofStartupTaint(doc string) bool {
	var o struct{ Metadata struct{ Name string } }
	return yaml.Unmarshal([]byte(doc), &o) == nil && strings.HasSuffix(o.Metadata.Name, "-startup-taint")
}

// add decodes one of them strictly.
func (s *startupObjects) add(kind, doc string) error {
	into, ok := map[string]any{
		"ServiceAccount": &s.account, "ClusterRole": &s.clusterRole, "ClusterRoleBinding": &s.clusterBinding,
		"Role": &s.role, "RoleBinding": &s.binding, "Deployment": &s.deployment,
		"ValidatingAdmissionPolicy": &s.policy, "ValidatingAdmissionPolicyBinding": &s.policyBinding,
	}[kind]
	if !ok || slices.Contains(s.kinds, kind) {
		return fmt.Errorf("unexpected object %s of the startup taint", kind)
	}
	s.kinds = append(s.kinds, kind)
	if err := yaml.UnmarshalStrict([]byte(doc), into); err != nil {
		return fmt.Errorf("%s: %w", kind, err)
	}
	return nil
}

// TestStartupTaintOff: without the option there is no right in the API and no token, whatever else
// is set.
func TestStartupTaintOff(t *testing.T) {
	for _, values := range []string{"", "startupTaint: {enabled: false, failOpen: 10m}", "mode: restore", "nodeSetup: {enabled: true}"} {
		out, err := template(t, values, true)
		if err != nil {
			t.Fatal(err)
		}
		for _, word := range []string{"rbac.authorization.k8s.io", "admissionregistration", "automountServiceAccountToken: true", "serviceAccountToken", "kind: Deployment"} {
			if strings.Contains(out, word) {
				t.Errorf("%q: there is %s", values, word)
			}
		}
	}
}

// TestStartupTaint: with it, there are the rights that docs/adr/0038 tells of, and they are those of
// one service account alone, which the agents do not have.
func TestStartupTaint(t *testing.T) {
	r := render(t, `startupTaint: {enabled: true, key: berth.example/starting, failOpen: 15m}
image: {repository: registry.corp/berth, tag: v9}
imagePullSecrets: [{name: pull}]`)
	s := r.startup
	if len(s.kinds) != 8 {
		t.Fatalf("there are %q", s.kinds)
	}
	const name = "berth-startup-taint"
	if got, want := s.clusterRole.Rules, []rbacv1.PolicyRule{{APIGroups: []string{""}, Resources: []string{"nodes"}, Verbs: []string{"get", "list", "watch", "patch"}}}; !reflect.DeepEqual(got, want) {
		t.Errorf("of the cluster: %v", got)
	}
	if got, want := s.role.Rules, []rbacv1.PolicyRule{{APIGroups: []string{""}, Resources: []string{"pods"}, Verbs: []string{"list", "watch"}}}; !reflect.DeepEqual(got, want) || s.role.Namespace != "kube-system" {
		t.Errorf("of the namespace %s: %v", s.role.Namespace, got)
	}
	for _, subjects := range [][]rbacv1.Subject{s.clusterBinding.Subjects, s.binding.Subjects} {
		if want := []rbacv1.Subject{{Kind: "ServiceAccount", Name: name, Namespace: "kube-system"}}; !reflect.DeepEqual(subjects, want) {
			t.Errorf("bound to %v", subjects)
		}
	}
	if wrong := boundaries(r.pod()); len(wrong) > 0 || r.pod().ServiceAccountName == name {
		t.Errorf("the agents have more than without: %q, account %s", wrong, r.pod().ServiceAccountName)
	}
	if s.policyBinding.Spec.PolicyName != s.policy.Name || !reflect.DeepEqual(s.policyBinding.Spec.ValidationActions, []admissionv1.ValidationAction{admissionv1.Deny}) {
		t.Errorf("the policy is bound with %+v", s.policyBinding.Spec)
	}
	if c := s.policy.Spec.MatchConditions; len(c) != 1 || !strings.Contains(c[0].Expression, `"system:serviceaccount:kube-system:`+name+`"`) {
		t.Errorf("the policy is for %v", c)
	}

	d := s.deployment.Spec
	p := d.Template.Spec
	c := p.Containers[0]
	if *d.Replicas != 1 || d.Strategy.Type != appsv1.RecreateDeploymentStrategyType || p.ServiceAccountName != name || p.HostNetwork {
		t.Errorf("Deployment: %+v", d)
	}
	if c.Image != r.agent().Image || !reflect.DeepEqual(p.ImagePullSecrets, r.pod().ImagePullSecrets) {
		t.Errorf("its image is %s, and that of the agents %s", c.Image, r.agent().Image)
	}
	for _, arg := range []string{"startup-taint", "--key=berth.example/starting", "--fail-open=15m", "--selector=app.kubernetes.io/name=berth,app.kubernetes.io/instance=berth"} {
		if !has(c.Args, arg) {
			t.Errorf("no argument %s in %q", arg, c.Args)
		}
	}
	if want := []corev1.Toleration{{Key: "berth.example/starting", Operator: corev1.TolerationOpExists}}; !reflect.DeepEqual(p.Tolerations, want) {
		t.Errorf("it tolerates %v", p.Tolerations)
	}
	// Its token is all that it may have more than an agent; it is not even root.
	if wrong := boundaries(p); !reflect.DeepEqual(wrong, []string{"has a token"}) || !*c.SecurityContext.RunAsNonRoot || len(p.Volumes) > 0 {
		t.Errorf("%q", wrong)
	}
	for label, value := range r.daemonSet.Spec.Selector.MatchLabels {
		if label == "app.kubernetes.io/name" && d.Template.Labels[label] == value {
			t.Error("the DaemonSet's selector matches the Deployment's pods")
		}
	}
}

// TestStartupTaintRefuses: what would leave nodes tainted forever is refused.
func TestStartupTaintRefuses(t *testing.T) {
	for values, want := range map[string]string{
		"startupTaint: {enabled: true}\ntolerations: []":                                      "tolerations",
		"startupTaint: {enabled: true}\ntolerations: [{key: other, operator: Exists}]":        "tolerations",
		"startupTaint: {enabled: true}\ntolerations: [{operator: Exists, effect: NoExecute}]": "tolerations",
		"startupTaint: {enabled: true, key: node.kubernetes.io/not-ready}":                    "startupTaint",
		"startupTaint: {enabled: true, key: node-role.kubernetes.io/control-plane}":           "startupTaint",
		"startupTaint: {enabled: true, key: \"a b\"}":                                         "startupTaint",
		"startupTaint: {enabled: true, failOpen: soon}":                                       "failOpen",
		"startupTaint: {enabled: true, failOpen: 10}":                                         "failOpen",
		"startupTaint: {enabled: true, taint: x}":                                             "startupTaint",
	} {
		if _, err := template(t, values, true); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", values, err)
		}
	}
	for _, values := range []string{
		"startupTaint: {enabled: true, failOpen: 1h30m}",
		"startupTaint: {enabled: true, key: berth.example/x}\ntolerations: [{key: berth.example/x, operator: Exists}]",
	} {
		if _, err := template(t, values, true); err != nil {
			t.Errorf("%q: %v", values, err)
		}
	}
}
