package images_test

import (
	"fmt"
	"strings"
	"testing"

	yaml "go.yaml.in/yaml/v3"

	"github.com/berth-registry/berth/images/list"
	"github.com/berth-registry/berth/images/rewrite"
)

// For generated objects of many shapes, every image is listed and nothing else is; values with the
// form of one are named and nothing else is. A rewrite gives, byte for byte, the object that the
// generator makes with images on the target.
func TestInventoryProperty(t *testing.T) {
	shapes := schemas(t)
	listed, invented, objects := 0, 0, 0
	for i := range shapes {
		for seed := range uint64(60) {
			m := makeObject(t, &shapes[i], seed<<8+uint64(i))
			faults, none := checkList(m)
			faults = append(faults, checkRewrite(t, m)...)
			if len(faults) > 0 {
				t.Fatalf("shape %d, seed %d: %s\n%s", i, seed, strings.Join(faults, "\n"), m.text)
			}
			objects, listed, invented = objects+1, listed+len(m.images), invented+none
		}
	}
	if objects < 1000 || listed < 3000 {
		t.Errorf("%d objects with %d images are too few to say anything", objects, listed)
	}
	if precision := float64(listed) / float64(listed+invented); precision < 0.98 {
		t.Errorf("precision %.4f", precision)
	}
	t.Logf("%d objects, %d images, %d listed that are none", objects, listed, invented)
}

// The comparison fails on a missed image, an invented one, noise, silence, and a differing byte.
func TestInventoryPropertyControl(t *testing.T) {
	shapes := schemas(t)
	for name, spoil := range map[string]func(*made){
		"missed":   func(m *made) { m.images["quay.io/acme/missed:1"] = true },
		"silence":  func(m *made) { m.odd["ghcr.io/acme/charts/missed:1"] = true },
		"noise":    func(m *made) { m.text += "x: ghcr.io/acme/noise:1\n"; m.moved += "x: ghcr.io/acme/noise:1\n" },
		"a byte":   func(m *made) { m.moved += "\n" },
		"not sent": func(m *made) { m.mapping["x"] = "reg.corp:5000/m/x:1" },
	} {
		m := plainObject(t, &shapes[1])
		if faults, _ := checkList(m); len(faults)+len(checkRewrite(t, m)) > 0 {
			t.Fatal(faults)
		}
		spoil(m)
		faults, _ := checkList(m)
		if faults = append(faults, checkRewrite(t, m)...); len(faults) == 0 {
			t.Errorf("%s passed", name)
		}
	}
	m := plainObject(t, &shapes[1])
	for image := range m.images {
		delete(m.images, image)
		break
	}
	if _, invented := checkList(m); invented != 1 {
		t.Errorf("%d invented, want 1", invented)
	}
}

// plainObject makes an object in YAML with at least one image.
func plainObject(t *testing.T, schema *yaml.Node) *made {
	t.Helper()
	for seed := uint64(1); ; seed++ {
		if m := makeObject(t, schema, seed); !strings.HasPrefix(m.text, "{") && len(m.images) > 0 {
			return m
		}
	}
}

// checkList returns what is missed or reported without need, and the number of listed references
// that are no images.
func checkList(m *made) (faults []string, invented int) {
	var l list.List
	l.AddManifest("in.yaml", []byte(m.text))
	have := map[string]bool{}
	for _, r := range l.References() {
		have[r.String()] = true
		if !m.images[r.String()] {
			invented++
		}
	}
	for image := range m.images {
		if !have[image] {
			faults = append(faults, "not listed: "+image)
		}
	}
	named := map[string]bool{}
	for _, err := range l.Problems() {
		odd := m.oddIn(err)
		if named[odd] = true; odd == "" {
			faults = append(faults, "noise: "+err.Error())
		}
	}
	for odd := range m.odd {
		if !named[odd] && !have[odd] {
			faults = append(faults, "left out in silence: "+odd)
		}
	}
	return faults, invented
}

// oddIn returns the value that an error names.
func (m *made) oddIn(err error) string {
	for odd := range m.odd {
		if strings.Contains(err.Error(), odd) {
			return odd
		}
	}
	return ""
}

func checkRewrite(t *testing.T, m *made) (faults []string) {
	t.Helper()
	r, err := rewrite.Rewrite("in.yaml", []byte(m.text), moved(t))
	if err != nil {
		return []string{err.Error()}
	}
	if got := string(r.Text); got != m.moved {
		faults = append(faults, fmt.Sprintf("rewritten to\n%s\nwant\n%s", got, m.moved))
	}
	for _, err := range r.Untouched {
		if m.oddIn(err) == "" {
			faults = append(faults, "left alone: "+err.Error())
		}
	}
	var l list.List
	l.AddManifest("out.yaml", r.Text)
	have := map[string]bool{}
	for _, r := range l.References() {
		have[r.String()] = true
	}
	for _, to := range m.mapping {
		if !have[to] {
			faults = append(faults, "not there after the rewrite: "+to)
		}
	}
	return faults
}
