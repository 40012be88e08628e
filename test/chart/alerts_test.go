package chart

import (
	"fmt"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	monitoring "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	"sigs.k8s.io/yaml"

	"github.com/berth-registry/berth/agent/status"
	"github.com/berth-registry/berth/agent/status/statustest"
)

const (
	rulesDir = top + "/manifests/prometheus"
	page     = "https://github.com/berth-registry/berth/blob/main/"
)

func alerts(t *testing.T) map[string]monitoring.Rule {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(rulesDir, "berth.rules.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var file monitoring.PrometheusRuleSpec
	if err := yaml.UnmarshalStrict(raw, &file); err != nil {
		t.Fatal(err)
	}
	found := map[string]monitoring.Rule{}
	for _, g := range file.Groups {
		for _, r := range g.Rules {
			found[r.Alert] = r
		}
	}
	return found
}

// TestEveryAlarmHasAnAlert: and every alert has an alarm.
func TestEveryAlarmHasAnAlert(t *testing.T) {
	all := alerts(t)
	names := map[string]bool{}
	for _, kind := range status.Kinds() {
		names[kind.Name] = true
		rule, ok := all["Berth"+kind.Name]
		if !ok {
			t.Errorf("no alert for %s", kind.Name)
			continue
		}
		if want := fmt.Sprintf("berth_alarm{name=%q}", kind.Name); !strings.Contains(rule.Expr.String(), want) {
			t.Errorf("%s asks for %s", rule.Alert, rule.Expr.String())
		}
		if want := page + kind.Doc(); rule.Annotations["runbook_url"] != want {
			t.Errorf("%s: the runbook is %s, want %s", rule.Alert, rule.Annotations["runbook_url"], want)
		}
	}
	asked := regexp.MustCompile(`berth_alarm\{name="([^"]*)"`)
	for name, rule := range all {
		for _, m := range asked.FindAllStringSubmatch(rule.Expr.String(), -1) {
			if !names[m[1]] {
				t.Errorf("%s waits for the alarm %s, which there is not", name, m[1])
			}
		}
	}
}

// metric matches the names of metrics in an expression.
var metric = regexp.MustCompile(`\bberth_[a-z_0-9]+`)

// TestMetricsExist: alerts and dashboard use only metrics and labels that the agent has.
func TestMetricsExist(t *testing.T) {
	told := httptest.NewRecorder()
	handler := status.Handler(func() status.Snapshot { return statustest.Rich() }, nil)
	handler.ServeHTTP(told, httptest.NewRequestWithContext(t.Context(), "GET", "/metrics", nil))
	exists := map[string]bool{}
	for _, name := range metric.FindAllString(told.Body.String(), -1) {
		exists[name] = true
	}
	if !exists["berth_alarm"] {
		t.Fatalf("the agent tells\n%s", told.Body)
	}
	for where, expr := range expressions(t) {
		for _, name := range metric.FindAllString(expr, -1) {
			if !exists[name] {
				t.Errorf("%s asks for %s, which the agent does not tell", where, name)
			}
		}
	}
}

// expressions returns the expressions of alerts and dashboard.
func expressions(t *testing.T) map[string]string {
	t.Helper()
	found := map[string]string{}
	for name, rule := range alerts(t) {
		found["alert "+name] = rule.Expr.String()
	}
	for _, p := range dashboard(t).Panels {
		for _, target := range p.Targets {
			found[fmt.Sprintf("panel %q %s", p.Title, target.RefID)] = target.Expr
		}
	}
	return found
}

func promtool(t *testing.T, dir string, args ...string) (string, error) {
	t.Helper()
	path, err := exec.LookPath("promtool")
	if err != nil {
		t.Fatal("promtool is missing: apt-get install -y --no-install-recommends prometheus")
	}
	cmd := exec.CommandContext(t.Context(), path, args...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// TestRunbooks: each alert leads to a heading of docs/operations.md.
func TestRunbooks(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(top, status.Docs))
	if err != nil {
		t.Fatal(err)
	}
	anchors := map[string]bool{}
	for _, h := range regexp.MustCompile(`(?m)^#+ (.*)$`).FindAllStringSubmatch(string(text), -1) {
		anchors[page+status.Docs+"#"+strings.ReplaceAll(strings.ToLower(h[1]), " ", "-")] = true
	}
	for name, rule := range alerts(t) {
		if !anchors[rule.Annotations["runbook_url"]] {
			t.Errorf("%s: %s leads nowhere", name, rule.Annotations["runbook_url"])
		}
	}
}

func TestRules(t *testing.T) {
	if out, err := promtool(t, rulesDir, "check", "rules", "berth.rules.yaml"); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	if out, err := promtool(t, rulesDir, "test", "rules", "berth.rules.test.yaml"); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// TestRulesTestCanFail: the tests of the rules must find rules that wait longer, count wrongly, or
// name another alarm.
func TestRulesTestCanFail(t *testing.T) {
	read := func(name string) string {
		raw, err := os.ReadFile(filepath.Join(rulesDir, name))
		if err != nil {
			t.Fatal(err)
		}
		return string(raw)
	}
	rules, tests := read("berth.rules.yaml"), read("berth.rules.test.yaml")
	for _, change := range [][2]string{
		{"for: 10m", "for: 2h"},
		{"for: 15m", "for: 1m"},
		{`berth_alarm{name="TokenMissing"} > 0`, `berth_alarm{name="TokenMissing"} > 1`},
		{`berth_alarm{name="MirrorDown"}`, `berth_alarm{name="MirrorDwon"}`},
		{"on (job, instance)", "on (instance)"},
		{"severity: critical", "severity: warning"},
		{"(berth_config_info{hash!=\"\"}) / 2", "(berth_config_info{hash!=\"\"}) / 4"},
		{"count by (job, pool) (\n      berth_config_info", "count by (job) (\n      berth_config_info"},
		{"(berth_mirror_up) < 0.5", "(berth_mirror_up) < 0.7"},
		{"(berth_mirror_up)) > 2)", "(berth_mirror_up)) > 1)"},
	} {
		dir := t.TempDir()
		wrong := strings.Replace(rules, change[0], change[1], 1)
		if wrong == rules {
			t.Errorf("the rules have no %q", change[0])
			continue
		}
		for name, content := range map[string]string{"berth.rules.yaml": wrong, "berth.rules.test.yaml": tests} {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if out, err := promtool(t, dir, "test", "rules", "berth.rules.test.yaml"); err == nil {
			t.Errorf("%q for %q is not found:\n%s", change[1], change[0], out)
		}
	}
}

// TestEveryAlertIsTested: by name, in the tests of the rules.
func TestEveryAlertIsTested(t *testing.T) {
	raw, err := os.ReadFile(filepath.Join(rulesDir, "berth.rules.test.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	fields := strings.FieldsFunc(string(raw), func(r rune) bool { return strings.ContainsRune(" ,{}\n", r) })
	for name := range alerts(t) {
		if !slices.Contains(fields, name) {
			t.Errorf("%s has no test", name)
		}
	}
}
