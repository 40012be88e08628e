package chart

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/berth-registry/berth/config"
)

const head = "apiVersion: berth/v1alpha1\nkind: RegistryConfig\n"

// TestConfig: Berth reads the same config that is in the ConfigMap.
func TestConfig(t *testing.T) {
	for name, c := range map[string]struct {
		values    string
		upstreams int
	}{
		"nothing":   {"", 0},
		"a table":   {"config: {mirrors: [{upstream: docker.io, endpoints: [{url: mirror.corp}]}, {upstream: quay.io, endpoints: [{url: mirror.corp/q}]}], ecr: {registries: [{host: images.corp, account: \"011122223333\", region: us-east-1}]}}", 2},
		"with kind": {"config: {apiVersion: berth/v1alpha1, kind: RegistryConfig, mirrors: [{upstream: docker.io, endpoints: [{url: mirror.corp}]}]}", 1},
		"empty":     {"config: {mirrors: null, registries: null, defaultRegistry: null, ecr: null, health: null, proxy: null, containerd: null}", 0},
		"a text":    {"config: \"\"", 0},
	} {
		t.Run(name, func(t *testing.T) {
			got := render(t, c.values).configs["berth"].Data["config.yaml"]
			file := filepath.Join(t.TempDir(), "config.yaml")
			write(t, file, got)
			cfg, _, err := config.Load(file)
			if err != nil {
				t.Fatalf("%v\n%s", err, got)
			}
			if len(cfg.Mirrors) != c.upstreams {
				t.Errorf("%d mirrors in\n%s", len(cfg.Mirrors), got)
			}
		})
	}
}

// TestConfigFiles: a file that Berth accepts reaches the node byte for byte.
func TestConfigFiles(t *testing.T) {
	for name, text := range map[string]string{
		"comments":       "# A comment of mine.\n" + head + "mirrors:\n- upstream: docker.io\n  endpoints: [{url: mirror.corp}]\n",
		"empty sections": head + "mirrors:\ncontainerd:\n  # As it is.\nhealth:\necr:\n",
		"empty fields":   head + "containerd:\n  certsDir:\n  onConflict: null\nhealth:\n  mode:\n",
		"a bare off":     head + "health:\n  mode: off\n",
		"all indented":   "  apiVersion: berth/v1alpha1\n  kind: RegistryConfig\n",
		"first indented": "    # A comment, further in than the rest.\n" + head,
		"begins empty":   "\n\n" + head,
		"no last break":  strings.TrimSuffix(head, "\n"),
		"ends in blanks": head + "mirrors: []   \n",
		"CRLF":           strings.ReplaceAll(head, "\n", "\r\n"),
		"tabs":           head + "#\tcolumns\tof tabs\n",
		"braces":         head + "# {{ .Values.config }}\n",
		"a document":     "---\n" + head,
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "config.yaml")
			write(t, file, text)
			if _, _, err := config.Load(file); err != nil {
				t.Fatalf("Berth does not take it: %v", err)
			}
			got := render(t, "", "--set-file", "config="+file).configs["berth"].Data["config.yaml"]
			if want := strings.TrimSuffix(text, "\n") + "\n"; got != want {
				t.Errorf("the file became\n%q, was\n%q", got, want)
			}
		})
	}
}

// TestCertsDir: the chart accepts and refuses the same directories as Berth.
func TestCertsDir(t *testing.T) {
	for _, dir := range []string{
		"/etc/containerd/certs.d", "/a", "/.a", "/..a", "/a/...", "/with a blank",
		"/", "//a", "/a/", "/a//b", "relative", "./a", "/.", "/..", "/a/.", "/a/../b", "/a:/b", "/a\t",
	} {
		file := filepath.Join(t.TempDir(), "config.yaml")
		write(t, file, head+fmt.Sprintf("containerd: {certsDir: %q}\n", dir))
		_, _, berth := config.Load(file)
		for how, args := range map[string][]string{
			"config":    {"--set-file", "config=" + file},
			"hostPaths": {"--set-json", fmt.Sprintf("hostPaths.certsDir=%q", dir)},
		} {
			out, err := template(t, "", true, args...)
			if (err == nil) != (berth == nil) || err != nil && crashed(err) {
				t.Errorf("%q in %s: the chart says %v, Berth says %v", dir, how, err, berth)
			}
			if err != nil {
				continue
			}
			r, err := decode(out)
			if err != nil {
				t.Fatal(err)
			}
			if got := hostPaths(r.pod(), r.agent())[dir]; got != "rw /host"+dir {
				t.Errorf("%q in %s is mounted %q", dir, how, got)
			}
		}
	}
}
