package chart

import (
	"strings"
	"testing"
)

// helm's output after an install has at most ten lines of a terminal.
func TestNotes(t *testing.T) {
	for name, c := range map[string]struct {
		args []string
		want []string
	}{
		"install":       {[]string{"--set-string", "config=apiVersion: berth/v1alpha1"}, []string{"rollout status", "berth install", "mode=restore"}},
		"no config":     {nil, []string{"There is no config yet", "--set-file config="}},
		"restore":       {[]string{"--set", "mode=restore"}, []string{"rollout status", "helm uninstall", "provider.remove=true"}},
		"pod network":   {[]string{"--set", "existingConfigMap=c,hostNetwork=false"}, []string{"set health.mode to report"}},
		"startup taint": {[]string{"--set", "startupTaint.enabled=true"}, []string{"cluster-autoscaler.kubernetes.io/berth", "out of your node pools"}},
		"pools":         {[]string{"--set", "mode=restore,pools.label=k,pools.items[0].value=v"}, []string{"rollout status -n kube-system daemonset -l app.kubernetes.io/instance=berth"}},
		"another name":  {[]string{"--set", "fullnameOverride=other"}, []string{"daemonset/other"}},
	} {
		t.Run(name, func(t *testing.T) {
			out, stderr, err := helm(t, append([]string{"install", "berth", chart, "--namespace", "kube-system", "--dry-run=client"}, c.args...)...)
			if err != nil {
				t.Fatalf("%v\n%s", err, stderr)
			}
			_, notes, found := strings.Cut(out, "NOTES:\n")
			if !found {
				t.Fatalf("no notes in\n%s", out)
			}
			for _, words := range c.want {
				if !strings.Contains(notes, words) {
					t.Errorf("they do not say %q:\n%s", words, notes)
				}
			}
			lines := strings.Split(strings.TrimSpace(notes), "\n")
			if len(lines) > 10 {
				t.Errorf("%d lines:\n%s", len(lines), notes)
			}
			for _, line := range lines {
				if len(line) > 100 {
					t.Errorf("%d characters: %s", len(line), line)
				}
			}
		})
	}
}
