package reconcile

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/berth-registry/berth/config"
	"github.com/berth-registry/berth/test/nodetest"
)

// Foreign certificates in certs.d keep their effect when a hosts.toml is written, wherever
// containerd found them, and no certificate gets an effect that it did not have.
func TestForeignCertificatesKeepTheirEffect(t *testing.T) {
	const registry = "registry.corp:5000"
	a := nodetest.NewAuthority(t, "registry.corp")
	other := nodetest.NewAuthority(t)
	both := string(a.Cert) + string(a.Key)
	full := func(dir string) map[string]string {
		return map[string]string{dir + "/ca.crt": string(a.CA), dir + "/client.cert": string(a.Cert), dir + "/client.key": string(a.Key)}
	}
	mirror := "mirrors: [{upstream: \"registry.corp:5000\", endpoints: [{url: \"https://mirror.corp\"}]}]\n"
	for name, c := range map[string]struct {
		files  map[string]string
		config string
		notice string
	}{
		"first spelling":      {full("registry.corp_5000_"), mirror, "certs.d/registry.corp_5000_ are named in hosts.toml, because containerd would ignore"},
		"second spelling":     {full("registry.corp:5000"), mirror, "certs.d/registry.corp:5000 are named"},
		"_default":            {full("_default"), mirror, "certs.d/_default are named"},
		"the first one wins":  {merge(full("registry.corp_5000_"), map[string]string{"_default/ca.crt": string(other.CA)}), mirror, "client.key"},
		"an empty one masks":  {merge(full("_default"), map[string]string{"registry.corp_5000_/README": ""}), mirror, ""},
		"key in one file":     {map[string]string{"_default/ca.crt": string(a.CA), "_default/client.cert": both}, mirror, "client.cert"},
		"half a pair":         {map[string]string{"_default/ca.crt": string(a.CA), "_default/client.cert": string(a.Cert)}, mirror, "client.cert"},
		"a key alone":         {map[string]string{"_default/ca.crt": string(a.CA), "_default/client.key": string(a.Key)}, mirror, "ca.crt"},
		"several CAs":         {merge(full("registry.corp_5000_"), map[string]string{"registry.corp_5000_/a.crt": string(other.CA)}), mirror, "a.crt, ca.crt"},
		"nothing useful":      {map[string]string{"_default/ca.crt": "no certificate\n"}, mirror, "ca.crt"},
		"a login":             {full("registry.corp:5000"), "registries: [{host: \"registry.corp:5000\", username: u, password: p}]\n", "ca.crt"},
		"everything mirrored": {full("_default"), "mirrors: [{upstream: \"*\", endpoints: [{url: \"https://mirror.corp\"}]}]\n", "*: ca.crt"},
		"kept from the mirror of everything": {full("_default"),
			"mirrors: [{upstream: \"*\", endpoints: [{url: \"https://mirror.corp\"}]}]\nregistries: [{host: \"registry.corp:5000\", username: u, password: p, auth: token}]\n", "registry.corp:5000: ca.crt"},
	} {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			certs := filepath.Join(root, nodetest.CertsDir)
			writeAll(t, certs, c.files)
			before, tree := a.Reaches(t, certs, registry), treeOf(t, certs)
			m := open(t, root)
			cfg := nodetest.ParseConfig(t, c.config)
			plan, err := m.Plan(t.Context(), cfg)
			if err != nil {
				t.Fatal(err)
			}
			var notices strings.Builder
			for _, n := range plan.Notices {
				notices.WriteString(n.String() + "\n")
			}
			if reported := strings.Contains(notices.String(), "containerd would ignore"); reported != (c.notice != "") || !strings.Contains(notices.String(), c.notice) {
				t.Errorf("notices %q, want %q", notices.String(), c.notice)
			}
			apply(t, m, "first", c.config)
			if after := a.Reaches(t, certs, registry); after != before {
				t.Errorf("containerd comes to the registry: %t, before %t\n%s", after, before, hostsFiles(t, certs))
			}
			if plan, err = m.Plan(t.Context(), cfg); err != nil || plan.Differs() {
				t.Errorf("a second plan differs: %+v %v", plan.Changes(), err)
			}
			if _, err := m.Restore(t.Context(), config.Default()); err != nil {
				t.Fatal(err)
			}
			if after := treeOf(t, certs); after != tree {
				t.Errorf("after restore:\n%swant:\n%s", after, tree)
			}
		})
	}
}

// A foreign hosts.toml disabled the certificates beside it. If it is adopted on request, ours
// does not enable them.
func TestAdoptRevivesNoCertificates(t *testing.T) {
	a := nodetest.NewAuthority(t, "registry.corp")
	root := t.TempDir()
	certs := filepath.Join(root, nodetest.CertsDir)
	writeAll(t, certs, map[string]string{
		"registry.corp/hosts.toml":  "[host.\"https://theirs.corp\"]\n",
		"registry.corp/ca.crt":      string(a.CA),
		"registry.corp/client.cert": string(a.Cert) + string(a.Key),
	})
	m := open(t, root)
	const config = "containerd: {onConflict: adopt}\nmirrors: [{upstream: registry.corp, endpoints: [{url: \"https://mirror.corp\"}]}]\n"
	for _, when := range []string{"adopted", "again"} {
		apply(t, m, when, config)
		if body := hostsFiles(t, certs); !strings.Contains(body, "mirror.corp") || strings.Contains(body, "ca.crt") {
			t.Errorf("%s:\n%s", when, body)
		}
	}
}

// If the registry itself is not asked over https, a notice says so.
func TestForeignCertificatesWithoutUse(t *testing.T) {
	for name, config := range map[string]string{
		"no fallback": "mirrors: [{upstream: registry.corp, endpoints: [{url: \"https://mirror.corp\"}], upstreamFallback: false}]\n",
		"plain http":  "registries: [{host: registry.corp, plainHTTP: true}]\nmirrors: [{upstream: registry.corp, endpoints: [{url: \"https://mirror.corp\"}]}]\n",
	} {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			writeAll(t, filepath.Join(root, nodetest.CertsDir), map[string]string{"registry.corp/ca.crt": "x"})
			plan, err := open(t, root).Plan(t.Context(), nodetest.ParseConfig(t, config))
			if err != nil || len(plan.Notices) != 1 || !strings.Contains(plan.Notices[0].Message, "have no effect beside this hosts.toml") {
				t.Errorf("notices %v, %v", plan.Notices, err)
			}
		})
	}
}

func apply(t *testing.T, m *Node, when, config string) {
	t.Helper()
	if _, err := m.Apply(t.Context(), nodetest.ParseConfig(t, config), slog.New(slog.DiscardHandler)); err != nil {
		t.Fatalf("%s: %v", when, err)
	}
}

func merge(maps ...map[string]string) map[string]string {
	all := map[string]string{}
	for _, m := range maps {
		for k, v := range m {
			all[k] = v
		}
	}
	return all
}

func writeAll(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, body := range files {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(body), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// treeOf lists names, modes and contents.
func treeOf(t *testing.T, dir string) string {
	t.Helper()
	var b strings.Builder
	err := filepath.WalkDir(dir, func(p string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		content := ""
		if info.Mode().IsRegular() {
			body, err := os.ReadFile(p)
			if err != nil {
				return err
			}
			content = string(body)
		}
		b.WriteString(p + " " + info.Mode().String() + " " + content + "\n")
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func hostsFiles(t *testing.T, certs string) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(certs, "*", "hosts.toml"))
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, f := range files {
		body, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		b.WriteString(f + ":\n" + string(body))
	}
	return b.String()
}
