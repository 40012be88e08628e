package hostsconf

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func writeTree(t testing.TB, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for name, content := range files {
		file := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(name, "/") {
			if err := os.MkdirAll(file, 0o755); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func TestLookup(t *testing.T) {
	const (
		mirror = "[host.\"https://mirror.corp\"]\n  capabilities = [\"pull\"]\n"
		only   = "server = \"https://only.corp\"\n[header]\n Authorization = \"Basic c2VjcmV0\"\n[host]\n"
	)
	for name, c := range map[string]struct {
		files    map[string]string
		registry string
		dir      string
		shadowed string
		hosts    string
		ignored  string
		fails    string
	}{
		"no directory":        {nil, "quay.io", "", "", "https://quay.io/v2", "", ""},
		"Docker Hub":          {nil, "docker.io", "", "", "https://registry-1.docker.io/v2", "", ""},
		"mirror":              {map[string]string{"quay.io/hosts.toml": mirror}, "quay.io", "quay.io", "", "https://mirror.corp/v2 https://quay.io/v2", "", ""},
		"mirror only":         {map[string]string{"quay.io/hosts.toml": only}, "quay.io", "quay.io", "", "https://only.corp/v2", "", ""},
		"default":             {map[string]string{"_default/hosts.toml": mirror}, "quay.io", "_default", "", "https://mirror.corp/v2 https://quay.io/v2", "", ""},
		"empty masks default": {map[string]string{"_default/hosts.toml": mirror, "quay.io/": ""}, "quay.io", "quay.io", "_default", "https://quay.io/v2", "", ""},
		"port":                {map[string]string{"h_5000_/hosts.toml": mirror, "h:5000/hosts.toml": only}, "h:5000", "h_5000_", "h:5000", "https://mirror.corp/v2 https://h:5000/v2", "", ""},
		"port, other form":    {map[string]string{"h:5000/hosts.toml": only, "_default/hosts.toml": mirror}, "h:5000", "h:5000", "_default", "https://only.corp/v2", "", ""},
		"broken":              {map[string]string{"quay.io/hosts.toml": "server = \n"}, "quay.io", "quay.io", "", "https://quay.io/v2", "line 1", ""},
		"unknown capability":  {map[string]string{"quay.io/hosts.toml": "capabilities = [\"fetch\"]\n"}, "quay.io", "quay.io", "", "https://quay.io/v2", "capabilities has an unknown value", ""},
		"secret as a number":  {map[string]string{"quay.io/hosts.toml": "header.Authorization = 12345\n"}, "quay.io", "quay.io", "", "https://quay.io/v2", "type", ""},
		"CA is missing":       {map[string]string{"quay.io/hosts.toml": "ca = \"gone.pem\"\n" + mirror}, "quay.io", "quay.io", "", "", "", "gone.pem"},
	} {
		t.Run(name, func(t *testing.T) {
			r, err := Lookup(writeTree(t, c.files), c.registry)
			if c.fails != "" {
				if err == nil || !strings.Contains(err.Error(), c.fails) {
					t.Fatalf("error %v, want one with %q", err, c.fails)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			var hosts []string
			for _, h := range r.Hosts {
				hosts = append(hosts, h.URL())
			}
			if got := strings.Join(hosts, " "); got != c.hosts || r.Dir != c.dir || strings.Join(r.Shadowed, " ") != c.shadowed {
				t.Errorf("directory %q, shadowed %v, hosts %s", r.Dir, r.Shadowed, got)
			}
			switch {
			case c.ignored == "" && r.Ignored != nil, c.ignored != "" && r.Ignored == nil:
				t.Errorf("ignored: %v", r.Ignored)
			case r.Ignored != nil && (!strings.Contains(r.Ignored.Error(), c.ignored) || strings.Contains(r.Ignored.Error(), "12345")):
				t.Errorf("ignored: %v, want %q", r.Ignored, c.ignored)
			}
		})
	}
}
