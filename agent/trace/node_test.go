package trace

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/berth-registry/berth/agent/node"
	"github.com/berth-registry/berth/internal/ownedfile"
)

func TestLook(t *testing.T) {
	const wired = "version = 3\n[plugins.'io.containerd.cri.v1.images'.registry]\nconfig_path = '/etc/certs'\n"
	const list = "version = 3\n[plugins.'io.containerd.cri.v1.images']\nuse_local_image_pull = %\n[plugins.'io.containerd.cri.v1.images'.registry]\nconfig_path = '/a:/b'\n"
	for _, c := range []struct {
		name, config string
		dirs         []string // below the root
		refused      string
		note         string
	}{
		{"nothing is there", "", []string{"/etc/elsewhere"}, "", "no-containerd"},
		{"wired", wired, []string{"/etc/certs"}, "", ""},
		{"unset: the pair", "version = 3\n", nil, "", "config-path-list"},
		{"list with local pull", strings.Replace(list, "%", "true", 1), []string{"/a", "/b"}, "", "config-path-list"},
		{"list without", strings.Replace(list, "%", "false", 1), nil, "", "config-path-list"},
		{"mirrors beside", wired + "[plugins.'io.containerd.cri.v1.images'.registry.mirrors.'docker.io']\nendpoint = ['https://m']\n", []string{}, "does not load", "mirrors-beside-config-path"},
		{"no TOML", "version = [\n", nil, "config.toml", "unreadable"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			root, err := ownedfile.OpenRoot(dir)
			if err != nil {
				t.Fatal(err)
			}
			defer root.Close()
			write := func(name, text string, mode os.FileMode) {
				t.Helper()
				file := filepath.Join(dir, name)
				if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(file, []byte(text), mode); err != nil {
					t.Fatal(err)
				}
			}
			h := node.Host{Root: root}
			if c.config != "" {
				write(node.DefaultConfigPath, c.config, 0o600)
				write("proc/7/comm", "containerd\n", 0o600)
				write("proc/7/cmdline", "containerd\x00", 0o600)
				write("proc/7/environ", "HTTPS_PROXY=http://of-containerd:1\x00", 0o600)
				h.Proc = filepath.Join(dir, "proc")
				h.Version = func(context.Context, string) (string, error) { return "containerd v2.4.2", nil }
			}
			n, err := Look(t.Context(), h, "/etc/elsewhere", func(name string) string {
				if name == "HTTPS_PROXY" {
					return "http://of-this-command:1"
				}
				return ""
			})
			if err != nil {
				t.Fatal(err)
			}
			var dirs []string
			for _, d := range n.CertsDirs {
				dirs = append(dirs, strings.TrimPrefix(d, dir))
			}
			if !slices.Equal(dirs, c.dirs) {
				t.Errorf("directories %q, want %q", dirs, c.dirs)
			}
			if !strings.Contains(n.Refused, c.refused) || (n.Refused == "") != (c.refused == "") {
				t.Errorf("refused: %q, want %q", n.Refused, c.refused)
			}
			noted := slices.ContainsFunc(n.Notes, func(x Note) bool { return x.ID == c.note })
			if noted != (c.note != "") {
				t.Errorf("notes %+v, want %q", n.Notes, c.note)
			}
			proxy := map[bool]string{true: "http://of-containerd:1", false: "http://of-this-command:1"}[c.config != ""]
			if n.Proxy.HTTPS.Reveal() != proxy {
				t.Errorf("the proxy is %q", n.Proxy.HTTPS.Reveal())
			}
		})
	}
}

// The directories of a list are tried one after the other, each with its
// _default.
func TestListOfDirectories(t *testing.T) {
	w := newWorld(t)
	empty := t.TempDir()
	w.Node.CertsDirs = []string{empty, w.dir}
	w.mirrors(w.mirror.URL)
	if r := w.Image(t.Context(), w.name); r.Verdict.Host != w.mirror.addr() || r.CertsDir != w.dir {
		t.Errorf("%+v", r)
	}
	if err := os.Mkdir(filepath.Join(empty, "_default"), 0o755); err != nil {
		t.Fatal(err)
	}
	if r := w.Image(t.Context(), w.name); r.Verdict.Host != w.up.addr() || r.Directory != "_default" {
		t.Errorf("%+v", r)
	}
}
