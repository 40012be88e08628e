package node_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/berth-registry/berth/internal/nodefs"
	"github.com/berth-registry/berth/node"
)

// machine makes a node from a txtar archive: files below root/, processes below proc/. Lines of a
// file "links" are symlinks, name and target.
func machine(t *testing.T, archive string) node.Machine {
	t.Helper()
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "root"), 0o755); err != nil {
		t.Fatal(err)
	}
	m := node.Machine{}
	for _, f := range txtar.Parse([]byte(archive)).Files {
		if strings.HasPrefix(f.Name, "proc/") {
			m.Proc = filepath.Join(dir, "proc")
		}
		name := filepath.Join(dir, f.Name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if filepath.Base(name) == "links" {
			for line := range strings.Lines(string(f.Data)) {
				link, target, _ := strings.Cut(strings.TrimSpace(line), " ")
				link = filepath.Join(filepath.Dir(name), link)
				if err := errors.Join(os.MkdirAll(filepath.Dir(link), 0o755), os.Symlink(target, link)); err != nil {
					t.Fatal(err)
				}
			}
			continue
		}
		data := f.Data
		if filepath.Base(name) == "cmdline" {
			data = []byte(strings.ReplaceAll(string(data), "\n", "\x00"))
		}
		if err := os.WriteFile(name, data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	root, err := nodefs.OpenRoot(filepath.Join(dir, "root"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { root.Close() })
	m.Root = root
	return m
}

// says returns the output of --version and records the programs that were asked.
func says(output string, asked *[]string) func(context.Context, string) (string, error) {
	return func(_ context.Context, binary string) (string, error) {
		*asked = append(*asked, binary)
		if output == "" {
			return "", errors.New("exec format error")
		}
		return output, nil
	}
}

const process812 = `
-- proc/1/ns/links --
mnt mnt:[1]
-- proc/812/comm --
containerd
-- proc/812/links --
exe /usr/bin/containerd
cwd /
-- proc/812/ns/links --
mnt mnt:[1]
-- proc/812/cgroup --
0::/system.slice/containerd.service
`

func TestDiscoverThePath(t *testing.T) {
	for _, test := range []struct {
		name, archive string
		source        node.Source
		path, socket  string
		unit          string
		layout        node.Layout
	}{
		{"nothing there", "", node.FromDefault, node.DefaultConfigPath, "", "", node.Plain},
		{
			"a process without a flag", process812 + "-- proc/812/cmdline --\n/usr/bin/containerd\n",
			node.FromProcess, node.DefaultConfigPath, "", "containerd.service", node.Plain,
		},
		{
			"--config and other flags", process812 + "-- proc/812/cmdline --\n/usr/bin/containerd\n--config=/a.toml\n-l\ndebug\n-c\n/b.toml\n-address\n/run/c.sock\n",
			node.FromProcess, "/b.toml", "/run/c.sock", "containerd.service", node.Plain,
		},
		{
			"a relative path", strings.Replace(process812, "cwd /", "cwd /srv/c", 1) + "-- proc/812/cmdline --\ncontainerd\n-c\nd/../config.toml\n",
			node.FromProcess, "/srv/c/config.toml", "", "containerd.service", node.Plain,
		},
		{
			"k3s", strings.Replace(process812, "containerd.service", "k3s-agent.service", 1) + "-- proc/812/cmdline --\ncontainerd\n-c\n/var/lib/rancher/k3s/agent/etc/containerd/config.toml\n-a\n/run/k3s/containerd/containerd.sock\n",
			node.FromProcess, "/var/lib/rancher/k3s/agent/etc/containerd/config.toml", "/run/k3s/containerd/containerd.sock", "k3s-agent.service", node.K3s,
		},
		{
			"k3s with a data directory of its own", process812 + "-- proc/812/cmdline --\ncontainerd\n-c\n/data/k3s/agent/etc/containerd/config.toml\n",
			node.FromProcess, "/data/k3s/agent/etc/containerd/config.toml", "", "containerd.service", node.K3s,
		},
		{
			"rke2 elsewhere", process812 + "-- proc/812/cmdline --\ncontainerd\n-c\n/data/rke2/agent/etc/containerd/config.toml\n",
			node.FromProcess, "/data/rke2/agent/etc/containerd/config.toml", "", "containerd.service", node.RKE2,
		},
		{
			"microk8s", process812 + "-- proc/812/cmdline --\n/snap/microk8s/7000/bin/containerd\n--config\n/var/snap/microk8s/7000/args/containerd.toml\n",
			node.FromProcess, "/var/snap/microk8s/7000/args/containerd.toml", "", "containerd.service", node.MicroK8s,
		},
		{
			"no daemon, docker's own, one in a container, a shim", process812 + `-- proc/812/cmdline --
containerd
--log-level
debug
config
dump
-- proc/900/comm --
containerd
-- proc/900/cmdline --
containerd
--config
/var/run/docker/containerd/containerd.toml
-- proc/901/comm --
containerd
-- proc/901/cmdline --
/usr/local/bin/containerd
-- proc/901/ns/links --
mnt mnt:[77]
-- proc/902/comm --
containerd-shim
-- proc/902/cmdline --
/usr/bin/containerd-shim-runc-v2
-- proc/903/comm --
containerd
-- proc/903/cmdline --
-- proc/self/comm --
containerd
`, node.FromDefault, node.DefaultConfigPath, "", "", node.Plain,
		},
		{
			"the one on kubelet's command line", process812 + `-- proc/812/cmdline --
/usr/bin/containerd
-- proc/813/comm --
containerd
-- proc/813/cmdline --
/opt/containerd
--config
/opt/config.toml
--address=/run/other.sock
-- proc/99/comm --
kubelet
-- proc/99/cmdline --
/usr/bin/kubelet
--container-runtime-endpoint=unix:///run/other.sock
`, node.FromProcess, "/opt/config.toml", "/run/other.sock", "", node.Plain,
		},
		{
			"installed, not running", "-- root/etc/k0s/containerd.toml --\n-- root/etc/systemd/system/containerd.service --\n[Service]\nExecStart=/usr/bin/containerd -c /x.toml\n",
			node.FromLayout, "/etc/k0s/containerd.toml", "", "", node.K0s,
		},
		{
			"a unit", "-- root/lib/systemd/system/containerd.service --\n[Unit]\nExecStart=/wrong -c /wrong\n[Service]\n# ExecStart=/wrong\nExecStart=-/usr/bin/containerd \\\n  --config \"/etc/my config.toml\"\n",
			node.FromUnit, "/etc/my config.toml", "", "containerd.service", node.Plain,
		},
		{
			"a unit with a drop-in", "-- root/lib/systemd/system/containerd.service --\n[Service]\nEnvironment=CONTAINERD_CONFIG=/usr/share/containerd/config.toml \"ARGS=-a /run/x.sock\"\nExecStart=/usr/bin/containerd\n" +
				"-- root/etc/systemd/system/containerd.service.d/10-use.conf --\n[Service]\nExecStart=\nExecStart=/usr/bin/env PATH=/x:${PATH} containerd --config ${CONTAINERD_CONFIG} $ARGS\n" +
				"-- root/lib/systemd/system/containerd.service.d/10-use.conf --\n[Service]\nExecStart=/masked --config /masked\n",
			node.FromUnit, "/usr/share/containerd/config.toml", "/run/x.sock", "containerd.service", node.Plain,
		},
		{
			"a unit that says nothing of it", "-- root/etc/systemd/system/containerd.service --\n[Service]\nExecStart=/usr/local/bin/containerd\n",
			node.FromDefault, node.DefaultConfigPath, "", "containerd.service", node.Plain,
		},
		{"EKS", "-- root/etc/eks/bootstrap --\n", node.FromDefault, node.DefaultConfigPath, "", "", node.EKS},
	} {
		t.Run(test.name, func(t *testing.T) {
			c, err := node.Discover(t.Context(), machine(t, test.archive))
			if err != nil {
				t.Fatal(err)
			}
			if c.Source != test.source || c.ConfigPath != test.path || c.Socket != test.socket || c.Unit != test.unit || c.Layout != test.layout {
				t.Errorf("%s %q, socket %q, unit %q, layout %s", c.Source, c.ConfigPath, c.Socket, c.Unit, c.Layout)
			}
			if !c.Release.IsZero() || c.NoRelease == nil {
				t.Errorf("release %s (%v) although nothing may be run", c.Release, c.NoRelease)
			}
		})
	}
}

func TestDiscoverTheVersion(t *testing.T) {
	var asked []string
	m := machine(t, process812+"-- proc/812/cmdline --\n/usr/bin/containerd\n")
	m.Version = says("containerd github.com/containerd/containerd/v2 v2.4.2 abcdef\n", &asked)
	c, err := node.Discover(t.Context(), m)
	if err != nil || c.Release.String() != "2.4.2" || c.NoRelease != nil {
		t.Errorf("%v: %s (%v)", err, c.Release, c.NoRelease)
	}
	if want := []string{filepath.Join(m.Proc, "812", "exe")}; !slices.Equal(asked, want) {
		t.Errorf("asked %q, want what runs: %q", asked, want)
	}
	asked = nil
	m = machine(t, "-- root/usr/local/bin/containerd --\n")
	m.Version = says("", &asked)
	if c, err = node.Discover(t.Context(), m); err != nil || !c.Release.IsZero() || c.NoRelease == nil {
		t.Errorf("%v: %s (%v)", err, c.Release, c.NoRelease)
	}
	if want := []string{m.Root.Path("/usr/local/bin/containerd")}; !slices.Equal(asked, want) {
		t.Errorf("asked %q, want %q", asked, want)
	}
	m.Version = says("no version at all", &asked)
	if c, _ = node.Discover(t.Context(), m); c.NoRelease == nil {
		t.Error("a version was found in nothing")
	}
}

func TestDiscoverReadsImports(t *testing.T) {
	m := machine(t, `
-- root/etc/containerd/config.toml --
version = 3
imports = ["conf.d/*.toml", "/srv/*/one.toml"]
-- root/etc/containerd/conf.d/b.toml --
[plugins."io.containerd.cri.v1.images".registry]
config_path = "/b"
-- root/etc/containerd/conf.d/a.toml --
[plugins."io.containerd.cri.v1.images".registry]
config_path = "/a"
-- root/etc/containerd/conf.d/not --
-- root/elsewhere/one.toml --
version = 3
-- root/srv/links --
x ../../../../elsewhere
`)
	var asked []string
	m.Version = says("containerd x v2.4.2 y", &asked)
	c, err := node.Discover(t.Context(), m)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range c.Config.Files {
		names = append(names, f.Path)
	}
	want := []string{"/etc/containerd/config.toml", "/etc/containerd/conf.d/a.toml", "/etc/containerd/conf.d/b.toml", "/srv/x/one.toml"}
	if !slices.Equal(names, want) || c.CertsDir() != "/b" {
		t.Errorf("%q, %s, %+v", names, c.CertsDir(), c.Verdict)
	}
	w, err := node.Wire(c, node.Options{CertsDir: "/c"})
	if err != nil || len(w.Files) != 1 || w.Files[0].Path != "/etc/containerd/conf.d/zz-berth.toml" || w.CertsDir != "/c" {
		t.Errorf("%v %+v", err, w.Files)
	}
}

func TestDiscoverFailsWithoutProc(t *testing.T) {
	m := machine(t, "")
	m.Proc = filepath.Join(t.TempDir(), "none")
	if _, err := node.Discover(t.Context(), m); err == nil {
		t.Error("no error")
	}
}

func TestWireLayouts(t *testing.T) {
	const mirrors = "version = 2\n[plugins.\"io.containerd.grpc.v1.cri\".registry.mirrors.\"docker.io\"]\nendpoint = [\"https://m\"]\n"
	for _, test := range []struct {
		name, archive, version string
		certs                  string // the directory that is set already
		writes                 string
		remedy                 string
	}{
		{
			name: "k3s sets it by itself", version: "v2.1.5-k3s1", certs: "/var/lib/rancher/k3s/agent/etc/containerd/certs.d",
			archive: "-- root/var/lib/rancher/k3s/agent/etc/containerd/config.toml --\nversion = 3\n[plugins.'io.containerd.cri.v1.images'.registry]\nconfig_path = \"/var/lib/rancher/k3s/agent/etc/containerd/certs.d\"\n",
		},
		{
			name: "an old rke2", version: "v1.6.20", remedy: "upgrade rke2",
			archive: "-- root/var/lib/rancher/rke2/agent/etc/containerd/config.toml --\n" + mirrors,
		},
		{
			name: "microk8s", version: "1.7.28", certs: "/var/snap/microk8s/current/args/certs.d",
			archive: "-- root/var/snap/microk8s/current/args/containerd.toml --\nversion = 2\n[plugins.\"io.containerd.grpc.v1.cri\".registry]\nconfig_path = \"/var/snap/microk8s/7000/args/certs.d\"\n",
		},
		{
			name: "microk8s without it", version: "1.7.28", remedy: "/var/snap/microk8s/current/args/containerd-template.toml",
			archive: "-- root/var/snap/microk8s/current/args/containerd.toml --\nversion = 2\n",
		},
		{
			name: "k0s takes drop-ins", version: "2.1.5", writes: "/etc/k0s/containerd.d/99-berth.toml",
			archive: "-- root/etc/k0s/containerd.toml --\n# k0s_managed=true\nversion = 3\nimports = [\"/etc/k0s/containerd.d/*.toml\"]\n",
		},
		{
			name: "an older k0s", version: "1.7.28", remedy: "write /etc/k0s/containerd.d/berth.toml",
			archive: "-- root/etc/k0s/containerd.toml --\n# k0s_managed=true\nversion = 2\nimports = [\"/run/k0s/containerd-cri.toml\"]\n-- root/run/k0s/containerd-cri.toml --\nversion = 2\n",
		},
		{
			name: "EKS", version: "2.1.5", certs: "/etc/containerd/certs.d",
			archive: "-- root/etc/eks/x --\n-- root/etc/containerd/config.toml --\nversion = 3\n[plugins.'io.containerd.cri.v1.images']\ndiscard_unpacked_layers = true\n[plugins.'io.containerd.cri.v1.images'.registry]\nconfig_path = \"/etc/containerd/certs.d:/etc/docker/certs.d\"\n",
		},
		{
			name: "EKS with the setting taken away", version: "2.1.5", remedy: "spec.containerd.config",
			archive: "-- root/etc/eks/x --\n-- root/etc/containerd/config.toml --\nversion = 3\n[plugins.'io.containerd.cri.v1.images'.registry]\nconfig_path = \"/etc/containerd/certs.d:/etc/docker/certs.d\"\n",
		},
		{
			name: "plain", version: "2.1.5", writes: "/etc/containerd/config.toml",
			archive: "-- root/etc/containerd/config.toml --\nversion = 3\n",
		},
		{name: "no config.toml", version: "2.1.5", writes: "/etc/containerd/config.toml"},
	} {
		t.Run(test.name, func(t *testing.T) {
			var asked []string
			m := machine(t, test.archive)
			m.Version = says("containerd x "+test.version+" y", &asked)
			c, err := node.Discover(t.Context(), m)
			if err != nil {
				t.Fatal(err)
			}
			if got := c.CertsDir(); got != test.certs {
				t.Errorf("honoured below %q, want %q: %+v", got, test.certs, c.Verdict.Issues)
			}
			w, err := node.Wire(c, node.Options{})
			switch {
			case test.remedy != "":
				if !errors.Is(err, node.ErrManaged) || !strings.Contains(err.Error(), test.remedy) {
					t.Errorf("%v, want %q", err, test.remedy)
				}
			case err != nil:
				t.Error(err)
			case test.writes == "" && len(w.Files) > 0, test.writes != "" && (len(w.Files) != 1 || w.Files[0].Path != test.writes):
				t.Errorf("%+v, want %q", w.Files, test.writes)
			}
		})
	}
}

func TestAskVersion(t *testing.T) {
	dir := t.TempDir()
	script := func(name, body string) string {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte("#!/bin/sh\n"+body), 0o755); err != nil {
			t.Fatal(err)
		}
		return file
	}
	if out, err := node.AskVersion(t.Context(), script("good", "echo \"containerd $1 v2.0.1 $HOME\"\n")); err != nil || out != "containerd --version v2.0.1 \n" {
		t.Errorf("%v %q", err, out)
	}
	if _, err := node.AskVersion(t.Context(), script("bad", "exit 3\n")); err == nil {
		t.Error("a failure was not seen")
	}
	if _, err := node.AskVersion(t.Context(), script("talks", "while :; do echo xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx || exit 1; done\n")); err == nil {
		t.Error("endless output was taken")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := node.AskVersion(ctx, script("late", "sleep 60\n")); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}
