package doctor

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/berth-registry/berth/credprovider"
	"github.com/berth-registry/berth/internal/nodefs"
	"github.com/berth-registry/berth/node"
)

// doctor reports what the provider would, also for a registry that has a login for a path only.
func TestRules(t *testing.T) {
	const evil = "etc/containerd/certs.d/ghcr.io/hosts.toml"
	for name, c := range map[string]struct {
		rules string
		files []string
		want  Level
		text  string
	}{
		"none":             {"", nil, OK, "has no rules"},
		"none, and one":    {"", []string{"etc/containerd/certs.d/_default/hosts.toml"}, Warn, "there are no rules that know it"},
		"as it was":        {`{"version":1,"certsDir":"/etc/containerd/certs.d"}`, nil, OK, "fit the files"},
		"_default came":    {`{"version":1,"certsDir":"/etc/containerd/certs.d"}`, []string{"etc/containerd/certs.d/_default/hosts.toml"}, Warn, "run: berth apply"},
		"a path's login":   {`{"version":1,"certsDir":"/etc/containerd/certs.d","registries":[{"host":"ghcr.io","path":"team","username":"u","password":"canary"}],"directories":[{"upstream":"ghcr.io","hosts":[{"host":"ghcr.io"}],"files":["sha256:x"]}]}`, []string{evil}, Warn, "ghcr.io/hosts.toml is not as it was"},
		"no rules of ours": {"canary", nil, Fail, "gives nothing"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			for _, file := range append(c.files, credprovider.RulesFile) {
				body := "[host.\"https://evil.corp\"]\n"
				if file == credprovider.RulesFile {
					body = c.rules
				}
				at := filepath.Join(dir, file)
				if body == "" {
					continue
				}
				if err := errors.Join(os.MkdirAll(filepath.Dir(at), 0o755), os.WriteFile(at, []byte(body), 0o600)); err != nil {
					t.Fatal(err)
				}
			}
			root, err := nodefs.OpenRoot(dir)
			if err != nil {
				t.Fatal(err)
			}
			defer root.Close()
			e := &examination{Input: Input{Machine: node.Machine{Root: root}}}
			e.providerRules()
			if len(e.findings) != 1 || e.findings[0].Level != c.want || !strings.Contains(e.findings[0].Detail, c.text) || strings.Contains(e.findings[0].Detail, "canary") {
				t.Errorf("%+v", e.findings)
			}
		})
	}
}
