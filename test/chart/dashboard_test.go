package chart

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// source is Grafana's reference to a data source.
type source struct{ Type, UID string }

type query struct {
	RefID      string `json:"refId"`
	Datasource source `json:"datasource"`
	Expr       string `json:"expr"`
	Instant    bool   `json:"instant"`
}

type panel struct {
	ID          int    `json:"id"`
	Title       string `json:"title"`
	Description string `json:"description"`
	Type        string `json:"type"`
	Datasource  source `json:"datasource"`
	GridPos     struct{ H, W, X, Y int }
	Targets     []query
	FieldConfig struct {
		Defaults struct{ Unit string }
	}
}

type variable struct {
	Name, Type, Query, AllValue string
	Datasource                  source
}

type dashboards struct {
	UID        string `json:"uid"`
	Templating struct{ List []variable }
	Panels     []panel
}

func dashboard(t *testing.T) (d dashboards) {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(top, "manifests/grafana/berth-dashboard.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(raw, &d); err != nil {
		t.Fatal(err)
	}
	return d
}

// faults lists what is wrong with the structure of a dashboard: a panel without a title of its own,
// a unit, the data source that the user chooses or the variables; a place outside the grid of 24
// columns, a gap or an overlap.
func (d dashboards) faults() (found []string) {
	fault := func(text ...string) { found = append(found, strings.Join(text, " ")) }
	chosen := source{"prometheus", "${datasource}"}
	defined := map[string]bool{"__rate_interval": true}
	for _, v := range d.Templating.List {
		if v.Type == "query" && v.Datasource != chosen {
			fault("variable", v.Name, "asks another data source")
		}
		defined[v.Name] = true
	}
	named := regexp.MustCompile(`\$\{?(\w+)`)
	ids, titles := map[int]bool{}, map[string]bool{}
	taken := map[[2]int]bool{}
	bottom := 0
	for _, p := range d.Panels {
		if p.Title == "" || titles[p.Title] || ids[p.ID] {
			fault("panel", p.Title, "has no title or number of its own")
		}
		titles[p.Title], ids[p.ID] = true, true
		g := p.GridPos
		if g.W <= 0 || g.H <= 0 || g.X < 0 || g.Y < 0 || g.X+g.W > 24 {
			fault("panel", p.Title, "is outside the grid")
			continue
		}
		bottom = max(bottom, g.Y+g.H)
		for x := g.X; x < g.X+g.W; x++ {
			for y := g.Y; y < g.Y+g.H; y++ {
				if taken[[2]int{x, y}] {
					fault("panel", p.Title, "overlaps another one")
				}
				taken[[2]int{x, y}] = true
			}
		}
		if p.Type == "row" {
			continue
		}
		if p.FieldConfig.Defaults.Unit == "" || p.Datasource != chosen || len(p.Targets) == 0 {
			fault("panel", p.Title, "has no unit, query or chosen data source")
		}
		for _, target := range p.Targets {
			if target.Datasource != chosen {
				fault("panel", p.Title, "asks another data source")
			}
			for _, m := range named.FindAllStringSubmatch(target.Expr, -1) {
				if !defined[m[1]] {
					fault("panel", p.Title, "uses", m[0], "which is not defined")
				}
			}
			for _, name := range []string{"$job", "$instance", "$pool"} {
				if !strings.Contains(target.Expr, `"`+name+`"`) {
					fault("panel", p.Title, "is not restricted by", name)
				}
			}
		}
	}
	if len(taken) != 24*bottom {
		fault("the grid has gaps")
	}
	return found
}

func TestDashboard(t *testing.T) {
	d := dashboard(t)
	for _, fault := range d.faults() {
		t.Error(fault)
	}
	pools := slices.ContainsFunc(d.Templating.List, func(v variable) bool { return v.Name == "pool" })
	if d.UID != "berth" || !pools || d.Templating.List[0].Type != "datasource" {
		t.Errorf("uid %s, variables %+v", d.UID, d.Templating.List)
	}
}

// TestDashboardFaults: each fault is found.
func TestDashboardFaults(t *testing.T) {
	for name, breakIt := range map[string]func(*dashboards){
		"a title twice":          func(d *dashboards) { d.Panels[2].Title = d.Panels[1].Title },
		"an id twice":            func(d *dashboards) { d.Panels[2].ID = d.Panels[1].ID },
		"no unit":                func(d *dashboards) { d.Panels[1].FieldConfig.Defaults.Unit = "" },
		"a fixed data source":    func(d *dashboards) { d.Panels[1].Datasource.UID = "P1809F7CD0C75ACF3" },
		"one of a query":         func(d *dashboards) { d.Panels[1].Targets[0].Datasource.UID = "prometheus" },
		"one of a variable":      func(d *dashboards) { d.Templating.List[1].Datasource.UID = "prometheus" },
		"an unknown variable":    func(d *dashboards) { d.Panels[1].Targets[0].Expr += ` + up{x="$cluster"}` },
		"no pool":                func(d *dashboards) { d.Panels[1].Targets[0].Expr = `berth_ready{job=~"$job", instance=~"$instance"}` },
		"an overlap":             func(d *dashboards) { d.Panels[2].GridPos.X-- },
		"a gap":                  func(d *dashboards) { d.Panels[1].GridPos.W-- },
		"wider than the grid":    func(d *dashboards) { d.Panels[len(d.Panels)-1].GridPos.W += 24 },
		"a panel that asks none": func(d *dashboards) { d.Panels[1].Targets = nil },
	} {
		d := dashboard(t)
		breakIt(&d)
		if len(d.faults()) == 0 {
			t.Errorf("%s is not found", name)
		}
	}
}
