package node_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/berth-registry/berth/node"
)

// kubelet900 is a kubelet with HOME /root and the working directory /cwd. Its root is that of the
// node.
const kubelet900 = `
-- proc/1/ns/links --
mnt mnt:[1]
-- proc/900/comm --
kubelet
-- proc/900/links --
cwd /cwd
root ../../root
-- proc/900/ns/links --
mnt mnt:[1]
-- proc/900/cmdline --
/usr/bin/kubelet
-- proc/900/environ --
-- root/var/lib/kubelet/pki --
-- root/cwd/x --
-- root/root/x --
`

const (
	ownPlace = "/var/lib/kubelet/config.json"
	login    = `{"auths": {"a.corp": {"auth": "dTpw"}}}`
	oldLogin = `{"a.corp": {"auth": "dTpw"}}`
)

// kubeletMachine is a node with this kubelet.
func kubeletMachine(t *testing.T, environ string, files ...string) node.Machine {
	t.Helper()
	m := machine(t, kubelet900)
	write(t, filepath.Join(m.Proc, "900/environ"), strings.ReplaceAll(environ, "\n", "\x00"))
	for i := 0; i < len(files); i += 2 {
		write(t, m.Root.Path(files[i]), files[i+1])
	}
	return m
}

func write(t *testing.T, file, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// Each valid file at each place of kubelet, except the first one, is named; what kubelet skips is
// not.
func TestForeignKubeletLogins(t *testing.T) {
	places := map[string]string{
		"/cwd/config.json": login, "/root/.docker/config.json": login, "/.docker/config.json": login,
		"/var/lib/kubelet/.dockercfg": oldLogin, "/cwd/.dockercfg": oldLogin, "/root/.dockercfg": oldLogin, "/.dockercfg": oldLogin,
	}
	kinds := []struct {
		name    string
		foreign bool
		make    func(m node.Machine, file, valid string) error
	}{
		{"valid", true, func(m node.Machine, file, valid string) error { return os.WriteFile(file, []byte(valid), 0o600) }},
		{"no login", true, func(m node.Machine, file, _ string) error { return os.WriteFile(file, []byte("{}"), 0o600) }},
		{"empty", false, func(m node.Machine, file, _ string) error { return os.WriteFile(file, nil, 0o600) }},
		{"cut short", false, func(m node.Machine, file, valid string) error {
			return os.WriteFile(file, []byte(valid[:len(valid)-1]), 0o600)
		}},
		{"a directory", false, func(m node.Machine, file, _ string) error { return os.Mkdir(file, 0o755) }},
		{"a symlink to a valid file", true, func(m node.Machine, file, valid string) error {
			if err := os.WriteFile(m.Root.Path("/etc-login"), []byte(valid), 0o600); err != nil {
				return err
			}
			return os.Symlink("/etc-login", file)
		}},
		{"a dangling symlink", false, func(m node.Machine, file, _ string) error { return os.Symlink("/nothing", file) }},
		{"a symlink to itself", false, func(m node.Machine, file, _ string) error { return os.Symlink(filepath.Base(file), file) }},
		{"a symlink to the first place", false, func(m node.Machine, file, _ string) error {
			if err := os.WriteFile(m.Root.Path(ownPlace), []byte(login), 0o600); err != nil {
				return err
			}
			return os.Symlink(ownPlace, file)
		}},
		{"a fifo", true, func(m node.Machine, file, _ string) error { return syscall.Mkfifo(file, 0o600) }},
		{"too large to read", true, func(m node.Machine, file, valid string) error {
			return os.WriteFile(file, []byte(valid+strings.Repeat(" ", 5<<20)), 0o600)
		}},
	}
	for place, valid := range places {
		for _, k := range kinds {
			m := kubeletMachine(t, "PATH=/bin\nHOME=/root\nHOME=/other\n")
			file := m.Root.Path(place)
			if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := k.make(m, file, valid); err != nil {
				t.Fatal(err)
			}
			got := node.FindKubeletLogins(m)
			if got.Unseen != "" || got.Path != ownPlace || len(got.Places) != 8 {
				t.Fatalf("%s, %s: %+v", place, k.name, got)
			}
			if foreign := len(got.Foreign) > 0; foreign != k.foreign || foreign && got.Foreign[0].Path != place {
				t.Errorf("%s, %s: %v, want foreign %v", place, k.name, got.Foreign, k.foreign)
			}
		}
	}
}

// The places are those of the process.
func TestKubeletPlaces(t *testing.T) {
	for _, c := range []struct{ name, args, environ, cwd, want string }{
		{"all by default, as a service", "", "", "/", `/var/lib/kubelet/config.json /config.json /.docker/config.json
			/var/lib/kubelet/.dockercfg /.dockercfg`},
		{"HOME is empty", "", "HOME=\n", "/cwd", `/var/lib/kubelet/config.json /cwd/config.json /cwd/.docker/config.json /.docker/config.json
			/var/lib/kubelet/.dockercfg /cwd/.dockercfg /.dockercfg`},
		{"HOME is relative", "", "HOME=h\n", "/cwd", `/var/lib/kubelet/config.json /cwd/config.json /cwd/h/.docker/config.json /.docker/config.json
			/var/lib/kubelet/.dockercfg /cwd/.dockercfg /cwd/h/.dockercfg /.dockercfg`},
		{"root directory", "--root-dir=/data/kubelet", "HOME=/root\n", "/data/kubelet", `/data/kubelet/config.json /root/.docker/config.json /.docker/config.json
			/data/kubelet/.dockercfg /root/.dockercfg /.dockercfg`},
		{"the last flag counts", "--root-dir\n/a\n--root_dir\n/data/kubelet", "HOME=/root\n", "/", `/data/kubelet/config.json /config.json /root/.docker/config.json /.docker/config.json
			/data/kubelet/.dockercfg /.dockercfg /root/.dockercfg`},
		{"the working directory is deleted", "", "HOME=/root\n", "/cwd (deleted)", `/var/lib/kubelet/config.json /root/.docker/config.json /.docker/config.json
			/var/lib/kubelet/.dockercfg /root/.dockercfg /.dockercfg`},
	} {
		m := kubeletMachine(t, c.environ, "/data/kubelet/x", "")
		write(t, filepath.Join(m.Proc, "900/cmdline"), "kubelet\x00"+strings.ReplaceAll(c.args, "\n", "\x00")+"\x00")
		cwd := filepath.Join(m.Proc, "900/cwd")
		if err := os.Remove(cwd); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(c.cwd, cwd); err != nil {
			t.Fatal(err)
		}
		got := node.FindKubeletLogins(m)
		if want := strings.Join(strings.Fields(c.want), " "); strings.Join(got.Places, " ") != want || got.Unseen != "" {
			t.Errorf("%s: %q %s, want %q", c.name, got.Places, got.Unseen, want)
		}
	}
}

// A directory with two names holds one file: ours.
func TestKubeletPlacesWithTwoNames(t *testing.T) {
	m := kubeletMachine(t, "HOME=/root\n", ownPlace, login)
	if err := os.RemoveAll(m.Root.Path("/cwd")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("var/lib/kubelet", m.Root.Path("/cwd")); err != nil {
		t.Fatal(err)
	}
	if got := node.FindKubeletLogins(m); len(got.Foreign) > 0 || got.Unseen != "" {
		t.Errorf("%+v", got)
	}
}

// What cannot be seen is named, and nothing else is told.
func TestUnseenKubelet(t *testing.T) {
	for _, c := range []struct {
		name, why string
		change    func(m *node.Machine) error
	}{
		{"no /proc", "no process of kubelet is seen", func(m *node.Machine) error { m.Proc = ""; return nil }},
		{"no kubelet", "no process of kubelet is seen", func(m *node.Machine) error { return os.RemoveAll(filepath.Join(m.Proc, "900")) }},
		{"in a container", "no process of kubelet is seen", func(m *node.Machine) error {
			ns := filepath.Join(m.Proc, "900/ns/mnt")
			return joined(os.Remove(ns), os.Symlink("mnt:[2]", ns))
		}},
		{"two of them", "2 processes of kubelet are seen", func(m *node.Machine) error {
			return os.CopyFS(filepath.Join(m.Proc, "901"), os.DirFS(filepath.Join(m.Proc, "900")))
		}},
		{"no working directory", "its working directory cannot be read", func(m *node.Machine) error { return os.Remove(filepath.Join(m.Proc, "900/cwd")) }},
		{"no environment", "kubelet's process 900: ", func(m *node.Machine) error { return os.Remove(filepath.Join(m.Proc, "900/environ")) }},
		{"no root", "the files of kubelet's process 900: ", func(m *node.Machine) error {
			root := filepath.Join(m.Proc, "900/root")
			return joined(os.Remove(root), os.WriteFile(root, nil, 0o600))
		}},
		{"another root directory", "is not the directory that kubelet sees", func(m *node.Machine) error {
			root := filepath.Join(m.Proc, "900/root")
			return joined(os.Remove(root), os.MkdirAll(filepath.Join(root, "var/lib/kubelet"), 0o755))
		}},
		{"no root directory here", "is not the directory that kubelet sees", func(m *node.Machine) error { return os.RemoveAll(m.Root.Path("/var/lib/kubelet")) }},
	} {
		m := kubeletMachine(t, "SECRET=hunter2\nHOME=/root\n", "/root/.docker/config.json", login)
		if err := c.change(&m); err != nil {
			t.Fatal(err)
		}
		got := node.FindKubeletLogins(m)
		if !strings.Contains(got.Unseen, c.why) || got.Path != "" || got.Foreign != nil {
			t.Errorf("%s: %+v", c.name, got)
		}
		if strings.Contains(fmt.Sprintf("%+v", got), "hunter2") {
			t.Errorf("%s: a secret is shown: %+v", c.name, got)
		}
	}
}

func joined(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
