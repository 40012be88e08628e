package chart

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

// crashed reports that the chart failed to render instead of refusing a value.
func crashed(err error) bool {
	for _, sign := range []string{"nil pointer", "error calling", "YAML parse error", "conversion", "incompatible types"} {
		if strings.Contains(strings.ReplaceAll(err.Error(), "error calling include", ""), sign) {
			return true
		}
	}
	return false
}

// TestNull: in Helm, null removes a value. For each value, the chart renders without it or refuses
// with its name.
func TestNull(t *testing.T) {
	raw, err := os.ReadFile(filepath.Join(chart, "values.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var all map[string]any
	if err := yaml.Unmarshal(raw, &all); err != nil {
		t.Fatal(err)
	}
	const everything = `nodeSetup: {enabled: true}
metrics: {expose: true}
podMonitor: {enabled: true}
prometheusRule: {enabled: true}
grafanaDashboard: {enabled: true}
hostPaths: {root: /tmp/x}
startupTaint: {enabled: true}
provider: {configuration: "kind: CredentialProviderConfig"}
`
	names := paths("", all)
	if len(names) < 60 {
		t.Fatalf("values.yaml has only %q", names)
	}
	for _, name := range names {
		for _, mode := range []string{"run", "restore"} {
			if mode == "restore" && !strings.HasPrefix(name, "provider") {
				continue // it changes nothing else that has values
			}
			out, err := template(t, everything, true, "--set", "mode="+mode, "--set", name+"=null")
			if err == nil {
				_, err = decode(out)
			} else if last := name[strings.LastIndex(name, ".")+1:]; strings.Contains(err.Error(), last) && !crashed(err) {
				continue
			}
			if err != nil {
				t.Errorf("%s: null, mode %s: %v", name, mode, err)
			}
		}
	}
}

// paths returns the names of values, and of tables, in the form of --set.
func paths(above string, values map[string]any) []string {
	var found []string
	for _, name := range slices.Sorted(maps.Keys(values)) {
		path := above + strings.ReplaceAll(name, ".", `\.`)
		found = append(found, path)
		if table, ok := values[name].(map[string]any); ok {
			found = append(found, paths(path+".", table)...)
		}
	}
	return found
}
