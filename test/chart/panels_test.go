package chart

import (
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/berth-registry/berth/agent/status"
)

// most is how many series a panel may show of 500 nodes, so that a person can read it.
var most = map[string]int{"stat": 1, "timeseries": 12, "table": 60}

// judge reports why a panel cannot be read that shows these series.
func judge(kind string, n int) error {
	limit, ok := most[kind]
	switch {
	case !ok:
		return fmt.Errorf("a panel of the kind %q", kind)
	case n == 0:
		return fmt.Errorf("the query returns nothing")
	case n > limit:
		return fmt.Errorf("the query returns %d series, a %s shows at most %d", n, kind, limit)
	}
	return nil
}

// fill replaces the variables of a dashboard; $__rate_interval is four scrapes in Grafana.
func fill(expr, instance, pool string) string {
	return strings.NewReplacer("$job", ".*", "$instance", instance, "$pool", pool, "$__rate_interval", "4m").Replace(expr)
}

// stats are the values of the panels with one number, for all nodes and for the pool gpu.
var stats = map[string][2]float64{
	"Nodes": {500, 100}, "Not ready": {9, 0}, "Config not in use": {4, 0}, "Another config": {7, 7},
	"No token": {3, 0}, "Tokens that expire": {2, 0}, "Mirrors down": {1, 1}, "File conflicts": {6, 0},
}

// TestPanels: each query of the dashboard, run over 500 nodes, finds what is there, and no more than
// its panel can show.
func TestPanels(t *testing.T) {
	p := startPrometheus(t)
	d := dashboard(t)
	shown := 0
	for _, panel := range d.Panels {
		for _, target := range panel.Targets {
			for i, pool := range []string{".*", "gpu"} {
				got, err := p.ask(t, fill(target.Expr, ".*", pool), target.Instant || panel.Type == "stat")
				if err != nil {
					t.Errorf("%s %s: %v", panel.Title, target.RefID, err)
					continue
				}
				faulty := panel.Type != "stat" && pool != ".*" && len(got) == 0
				if err := judge(panel.Type, len(got)); err != nil && !faulty {
					t.Errorf("%s %s, pool %q: %v", panel.Title, target.RefID, pool, err)
				}
				if panel.Type != "stat" {
					continue
				}
				shown++
				want, ok := stats[panel.Title]
				if !ok || len(got) == 1 && got[0].value != want[i] {
					t.Errorf("%s, pool %q: %v, want %v", panel.Title, pool, got, want[i])
				}
			}
			if _, err := p.ask(t, fill(target.Expr, "10.0.0.1:9474", "arm"), true); err != nil {
				t.Errorf("%s %s of one node: %v", panel.Title, target.RefID, err)
			}
		}
	}
	if shown != 2*len(stats) {
		t.Errorf("%d values of panels with one number, %d are wanted", shown, 2*len(stats))
	}
	t.Run("table of pools", func(t *testing.T) { poolsTable(t, p, d) })
	t.Run("variables", func(t *testing.T) { variables(t, p, d) })
	t.Run("alerts", func(t *testing.T) { alertsOfFleet(t, p) })
	t.Run("docs", func(t *testing.T) { documentedQueries(t, p) })
	t.Run("control", func(t *testing.T) { control(t, p) })
}

// poolsTable: each pool has a row, also where the number is 0.
func poolsTable(t *testing.T, p prometheus, d dashboards) {
	want := []map[string]float64{ // nodes, not ready, another config, critical alarm
		{"": 350, "gpu": 100, "arm": 50}, {"": 9, "gpu": 0, "arm": 0},
		{"": 0, "gpu": 7, "arm": 0}, {"": 12, "gpu": 0, "arm": 0},
	}
	for _, panel := range d.Panels {
		if panel.Title != "Pools" {
			continue
		}
		for i, target := range panel.Targets {
			got, err := p.ask(t, fill(target.Expr, ".*", ".*"), true)
			if err != nil {
				t.Fatal(err)
			}
			if len(got) != 3 {
				t.Errorf("%s: %v", target.RefID, got)
			}
			for _, r := range got {
				if pool := r.labels["pool"]; r.value != want[i][pool] {
					t.Errorf("%s: pool %q has %v, want %v", target.RefID, pool, r.value, want[i][pool])
				}
			}
		}
		return
	}
	t.Error("there is no panel Pools")
}

// variables: each variable finds values.
func variables(t *testing.T, p prometheus, d dashboards) {
	form := regexp.MustCompile(`^label_values\((.*), (\w+)\)$`)
	want := map[string]int{"job": 1, "pool": 2, "instance": fleetNodes}
	for _, v := range d.Templating.List {
		if v.Type != "query" {
			continue
		}
		m := form.FindStringSubmatch(v.Query)
		if m == nil {
			t.Errorf("%s: %s", v.Name, v.Query)
			continue
		}
		var found []string
		err := p.get(t, "/api/v1/label/"+m[2]+"/values", url.Values{"match[]": {fill(m[1], ".*", ".*")}}, &found)
		if err != nil || len(found) != want[v.Name] {
			t.Errorf("%s: %d values, want %d (%v)", v.Name, len(found), want[v.Name], err)
		}
	}
}

// alertsOfFleet: the rules find the same nodes; other rules find none.
func alertsOfFleet(t *testing.T, p prometheus) {
	want := map[string]float64{
		"BerthConfigDiffers": 7, "BerthMirrorDownInZone": 1, "BerthNotReady": 9, "BerthConfigInvalid": 4,
		"BerthConvergeFailing": 5, "BerthTokenMissing": 3, "BerthTokenExpiring": 2, "BerthMirrorDown": 167,
		"BerthFileConflict": 6,
	}
	for name, rule := range alerts(t) {
		got, err := p.ask(t, rule.Expr.String(), true)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		value, fires := want[name]
		if (len(got) == 1) != fires || len(got) > 1 || fires && got[0].value != value {
			t.Errorf("%s: %v, want %v", name, got, value)
		}
	}
}

// documentedQueries: each query of docs/operations.md finds something in this fleet.
func documentedQueries(t *testing.T, p prometheus) {
	text, err := os.ReadFile(filepath.Join(top, status.Docs))
	if err != nil {
		t.Fatal(err)
	}
	asked := 0
	for _, block := range regexp.MustCompile("(?s)```promql\n(.*?)```").FindAllStringSubmatch(string(text), -1) {
		for query := range strings.SplitSeq(block[1], "\n\n") {
			got, err := p.ask(t, query, true)
			if err != nil || len(got) == 0 || len(got) > 20 {
				t.Errorf("%s\n%d series, %v", query, len(got), err)
			}
			asked++
		}
	}
	if asked < 5 {
		t.Errorf("%d queries", asked)
	}
}

// control: a query that finds nothing, or too much, is noticed.
func control(t *testing.T, p prometheus) {
	for _, c := range []struct{ kind, expr string }{
		{"stat", `count(berth_redy == 0)`},
		{"stat", `berth_ready{job=~".*"}`},
		{"timeseries", `berth_mirror_up`},
		{"timeseries", `rate(berth_converge_runs_total[30s])`},
		{"table", `berth_config_info`},
	} {
		got, err := p.ask(t, c.expr, true)
		if err != nil {
			t.Errorf("%s: %v", c.expr, err)
		}
		if err := judge(c.kind, len(got)); err == nil {
			t.Errorf("%s in a %s is not noticed", c.expr, c.kind)
		}
	}
}
