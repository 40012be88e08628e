package status_test

import (
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/berth-registry/berth/agent/status"
)

// entries reads docs/operations.md: the text under the heading of each alarm,
// and the row of each metric.
func entries(t *testing.T) (alarms, metrics map[string]string) {
	t.Helper()
	text, err := os.ReadFile("../../" + status.Docs)
	if err != nil {
		t.Fatal(err)
	}
	section := func(name string) string {
		_, rest, ok := strings.Cut(string(text), "\n## "+name+"\n")
		if !ok {
			t.Fatalf("no section %s", name)
		}
		rest, _, _ = strings.Cut(rest, "\n## ")
		return rest
	}
	alarms, metrics = map[string]string{}, map[string]string{}
	for _, entry := range strings.Split(section("Alarms"), "\n### ")[1:] {
		name, body, _ := strings.Cut(entry, "\n")
		alarms[name] = body
	}
	for _, row := range regexp.MustCompile("(?m)^\\| `(berth_[a-z0-9_]+)` \\|(.*)\\|$").FindAllStringSubmatch(section("Metrics"), -1) {
		metrics[row[1]] = row[2]
	}
	return alarms, metrics
}

// Each alarm and each metric has its entry, and each entry its alarm or metric.
func TestOperations(t *testing.T) {
	alarms, metrics := entries(t)
	known := map[string]bool{}
	for _, k := range status.Kinds() {
		known[k.Name] = true
	}
	if got, want := slices.Sorted(maps.Keys(alarms)), slices.Sorted(maps.Keys(known)); !slices.Equal(got, want) {
		t.Errorf("alarms in %s %q\nin the code %q", status.Docs, got, want)
	}
	for name, body := range alarms {
		for _, part := range []string{"**Means**: ", "**Meanwhile**: ", "**Do**: "} {
			if !strings.Contains(body, part) {
				t.Errorf("%s: no %s", name, part)
			}
		}
	}
	if got, want := slices.Sorted(maps.Keys(metrics)), slices.Sorted(slices.Values(status.Metrics())); !slices.Equal(got, want) {
		t.Errorf("metrics in %s %q\nin the code %q", status.Docs, got, want)
	}
	for name, row := range metrics {
		cells := strings.Split(row, "|")
		if len(cells) != 2 || len(strings.TrimSpace(cells[0])) < 5 || len(strings.TrimSpace(cells[1])) < 5 {
			t.Errorf("%s: cells %q", name, cells)
		}
	}
}

// The severity that an entry tells is the one that the alarm has.
func TestOperationsSeverities(t *testing.T) {
	alarms, _ := entries(t)
	seen := 0
	for _, s := range snapshots() {
		for _, a := range status.Alarms(s) {
			seen++
			means, _, _ := strings.Cut(alarms[a.Name], "**Meanwhile**")
			if !strings.Contains(strings.ToLower(means), string(a.Severity)) {
				t.Errorf("%s is %s, its entry says %q", a.Name, a.Severity, means)
			}
		}
	}
	if seen < 10 {
		t.Errorf("only %d alarms", seen)
	}
}

// Links within the page lead somewhere, those of alarms too.
func TestOperationsLinks(t *testing.T) {
	text, err := os.ReadFile("../../" + status.Docs)
	if err != nil {
		t.Fatal(err)
	}
	anchors := map[string]bool{}
	for _, h := range regexp.MustCompile(`(?m)^#+ (.*)$`).FindAllStringSubmatch(string(text), -1) {
		anchors[strings.ReplaceAll(strings.ToLower(h[1]), " ", "-")] = true
	}
	links := regexp.MustCompile(`\]\(#([^)]+)\)`).FindAllStringSubmatch(string(text), -1)
	for _, k := range status.Kinds() {
		links = append(links, []string{k.Doc(), strings.TrimPrefix(k.Doc(), status.Docs+"#")})
	}
	for _, l := range links {
		if !anchors[l[1]] {
			t.Errorf("%s leads nowhere", l[0])
		}
	}
}
