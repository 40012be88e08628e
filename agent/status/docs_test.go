package status_test

import (
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/berth-registry/berth/agent/status"
	"github.com/berth-registry/berth/agent/status/statustest"
)

// entries reads docs/operations.md: the text under the heading of each alarm, and the row of each
// metric.
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

// Each alarm and each metric has an entry, and each entry an alarm or metric.
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

// clauses parses the first sentence of an entry: a severity, or "critical when …; else warning". It
// returns the condition of each severity.
func clauses(entry string) map[status.Severity]string {
	_, means, _ := strings.Cut(entry, "**Means**: ")
	sentence, _, _ := strings.Cut(means, ". ")
	sentence = strings.Join(strings.Fields(sentence), " ")
	found := map[status.Severity]string{}
	for clause := range strings.SplitSeq(sentence, "; else ") {
		severity, when, _ := strings.Cut(clause, " when ")
		found[status.Severity(severity)] = when
	}
	return found
}

// The severities in an entry are those that the alarm can have.
func TestOperationsSeverities(t *testing.T) {
	alarms, _ := entries(t)
	for _, k := range status.Kinds() {
		listed := slices.Sorted(maps.Keys(clauses(alarms[k.Name])))
		if has := slices.Sorted(slices.Values(k.Severities)); !slices.Equal(listed, has) {
			t.Errorf("%s can be %q, its entry says %q", k.Name, has, listed)
		}
	}
}

// If an alarm has two severities, each cause is in the clause of its severity, and in no other.
func TestOperationsCauses(t *testing.T) {
	alarms, _ := entries(t)
	down := func(change func(*status.Mirror)) status.Snapshot {
		s := statustest.Healthy()
		m := &s.Mirrors[0]
		for i := range m.Endpoints {
			m.Endpoints[i].State = status.Down
		}
		change(m)
		return s
	}
	reads := func(r status.Reads) status.Snapshot {
		s := statustest.Healthy()
		s.Containerd.Reads = r
		return s
	}
	causes := map[string][]struct {
		words string // "": the clause without a condition
		s     status.Snapshot
	}{
		"AllMirrorsDown": {
			{"`upstreamFallback: false`", down(func(m *status.Mirror) { m.Fallback = "" })},
			{"the upstream does not answer either", down(func(m *status.Mirror) { m.FallbackDown = true })},
			{"", down(func(*status.Mirror) {})},
		},
		"FilesNotRead": {
			{"containerd reads none", reads(status.ReadsNo)},
			{"", reads(status.ReadsRestart)},
		},
	}
	for _, k := range status.Kinds() {
		if len(k.Severities) > 1 && len(causes[k.Name]) < 2 {
			t.Errorf("no causes of %s", k.Name)
		}
		for _, cause := range causes[k.Name] {
			all := status.Alarms(cause.s)
			if len(all) != 1 || all[0].Name != k.Name {
				t.Fatalf("%s, %q: alarms %+v", k.Name, cause.words, all)
			}
			for severity, when := range clauses(alarms[k.Name]) {
				listed := strings.Contains(when, cause.words)
				if cause.words == "" {
					listed = when == ""
				}
				if listed != (severity == all[0].Severity) {
					t.Errorf("%s is %s for %q; its entry says %s when %q", k.Name, all[0].Severity, cause.words, severity, when)
				}
			}
		}
	}
}

// Links within the page, and those of alarms, lead to an anchor.
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
