package release

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	yaml "go.yaml.in/yaml/v3"
)

// TestImageName: "make image" builds the image that the chart runs, without a flag on either side.
func TestImageName(t *testing.T) {
	var values struct {
		Image struct{ Repository, Tag string }
	}
	var about struct {
		AppVersion string `yaml:"appVersion"`
	}
	for file, into := range map[string]any{"values.yaml": &values, "Chart.yaml": &about} {
		text, err := os.ReadFile("../../manifests/chart/" + file)
		if err != nil {
			t.Fatal(err)
		}
		if err := yaml.Unmarshal(text, into); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.CommandContext(t.Context(), "make", "-n", "image", "CONTAINER_TOOL=docker", "VERSION=v9")
	cmd.Dir = "../.."
	cmd.Env = append(os.Environ(), "MAKEFLAGS=")
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	if want := " -t " + values.Image.Repository + ":" + about.AppVersion + " ."; values.Image.Tag != "" || !strings.Contains(string(out), want) {
		t.Errorf("make image runs\n%swant it to hold %q", out, want)
	}
}
