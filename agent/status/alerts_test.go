package status_test

import (
	"os"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/berth-registry/berth/agent/status"
)

const alertsFile = "../../manifests/prometheus/berth.rules.yaml"

// severityLabel returns the expression and the severity label that the alert of an alarm must have
// for its severity to be the alarm's.
func severityLabel(k status.Kind) (expr, label string) {
	expr = `count by (job) (berth_alarm{name="` + k.Name + `"} > 0)`
	if len(k.Severities) == 1 {
		return expr, string(k.Severities[0])
	}
	return strings.Replace(expr, "(job)", "(job, severity)", 1), "{{ $labels.severity }}"
}

// An alert is as severe as its alarm on the page and in "berth status".
func TestAlertSeverities(t *testing.T) {
	text, err := os.ReadFile(alertsFile)
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Groups []struct {
			Rules []struct {
				Alert, Expr string
				Labels      map[string]string
			}
		}
	}
	if err := yaml.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	expr, label := map[string]string{}, map[string]string{}
	for _, g := range file.Groups {
		for _, r := range g.Rules {
			if expr[r.Alert] != "" {
				t.Errorf("%s is there twice", r.Alert)
			}
			expr[r.Alert], label[r.Alert] = r.Expr, r.Labels["severity"]
		}
	}
	for _, k := range status.Kinds() {
		name := "Berth" + k.Name
		if wantExpr, wantLabel := severityLabel(k); expr[name] != wantExpr || label[name] != wantLabel {
			t.Errorf("%s: severity %q of %s\nwant %q of %s", name, label[name], expr[name], wantLabel, wantExpr)
		}
	}
}
