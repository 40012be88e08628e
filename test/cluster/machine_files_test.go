package cluster

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/berth-registry/berth/test/cluster/controlplane"
	"github.com/berth-registry/berth/test/cluster/joined"
)

// prepare replaces the kernel settings that kubelet writes by copies, and makes cgroups writable.
const prepare = `set -e
for group in /sys/fs/cgroup/*; do mount -o remount,bind,rw "$group"; done
mkdir -p /run/sys
for setting in vm/overcommit_memory vm/panic_on_oom kernel/panic kernel/panic_on_oops kernel/keys/root_maxkeys kernel/keys/root_maxbytes; do
	copy=/run/sys/$(echo "$setting" | tr / .)
	cat "/proc/sys/$setting" >"$copy"
	mount --bind "$copy" "/proc/sys/$setting"
done
`

// The units of a machine.
const (
	prepareUnit = "[Unit]\nBefore=containerd.service\n[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/sh /etc/prepare\n"
	// containerdUnit lacks a part of the environment.
	containerdUnit = `[Unit]
Requires=prepare.service
After=prepare.service
[Service]
Type=notify
ExecStart=/usr/local/bin/containerd
Delegate=yes
KillMode=process
Environment=PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin %s
[Install]
WantedBy=multi-user.target
`
	// kubeletUnit lacks the name and the address of the node.
	kubeletUnit = `[Unit]
After=containerd.service
[Service]
ExecStart=/usr/local/bin/kubelet --config /etc/kubernetes/kubelet.yaml --kubeconfig /etc/kubernetes/kubeconfig --hostname-override %s --node-ip %s --v 2
Restart=always
[Install]
WantedBy=multi-user.target
`
)

// soonAgain makes kubelet restart a failed container sooner than after 10, 20, 40 s.
const soonAgain = "crashLoopBackOff: {maxContainerRestartPeriod: 2s}\n"

// containerdConfig is the path of containerd's configuration on a machine.
const containerdConfig = "/etc/containerd/config.toml"

// install writes the files that are the same on all machines.
func (m *machine) install() {
	m.Helper()
	made := exec.CommandContext(m.Context(), filepath.Join("..", "nspawn", "rootfs.sh"))
	made.Stderr = os.Stderr
	base, err := made.Output()
	m.check(err)
	newest := m.set.Containerd[len(m.set.Containerd)-1]
	m.copyTree(strings.TrimSpace(string(base)))
	m.command("chroot", m.root, "dpkg", "--purge", "containerd")
	m.command("cp", newest.Daemon, filepath.Join(newest.BinDir, "containerd-shim-runc-v2"), m.programs.kubelet, m.path("/usr/local/bin/"))
	config, err := exec.CommandContext(m.Context(), newest.Daemon, "config", "default").Output()
	m.check(err)
	for name, content := range map[string]string{
		// The settings that a container needs, and none of the registry.
		containerdConfig: strings.NewReplacer("restrict_oom_score_adj = false", "restrict_oom_score_adj = true",
			"disable_apparmor = false", "disable_apparmor = true").Replace(string(config)),
		"/etc/hosts":                   "127.0.0.1 localhost\n",
		"/etc/resolv.conf":             "",
		"/etc/prepare":                 prepare,
		"/etc/ssl/certs/ours.pem":      string(m.ca.PEM()),
		"/etc/kubernetes/kubelet.yaml": string(joined.Config("/var/lib/kubelet", "/run/containerd/containerd.sock")) + soonAgain,
	} {
		m.write(name, content)
	}
	m.unit("prepare", prepareUnit)
	m.unit("containerd", fmt.Sprintf(containerdUnit, strings.Join(m.proxy.Env(), " ")))
}

// identify writes the files that differ between machines.
func (m *machine) identify() {
	m.Helper()
	kubeconfig, err := m.plane.Kubeconfig(controlplane.Node(m.name))
	m.check(err)
	login, err := os.ReadFile(kubeconfig)
	m.check(err)
	m.write("/etc/kubernetes/kubeconfig", string(login))
	m.unit("kubelet", fmt.Sprintf(kubeletUnit, m.name, m.address))
}

func (m *machine) copyTree(from string) {
	m.Helper()
	m.command("cp", "-a", "--reflink=auto", from, m.root)
}

// command runs a program of this machine on the tree that is being made.
func (m *machine) command(name string, args ...string) {
	m.Helper()
	if out, err := exec.CommandContext(m.Context(), name, args...).CombinedOutput(); err != nil {
		m.Fatalf("%s %q: %v\n%s", name, args, err, out)
	}
}

func (m *machine) path(name string) string { return filepath.Join(m.root, name) }

func (m *machine) read(name string) string {
	m.Helper()
	raw, err := os.ReadFile(m.path(name))
	m.check(err)
	return string(raw)
}

func (m *machine) write(name, content string) {
	m.Helper()
	m.check(os.MkdirAll(filepath.Dir(m.path(name)), 0o755))
	m.check(os.WriteFile(m.path(name), []byte(content), 0o644))
}

// unit writes a service, and enables it if it has an [Install] section.
func (m *machine) unit(name, content string) {
	m.Helper()
	file := "/etc/systemd/system/" + name + ".service"
	m.write(file, content)
	if strings.Contains(content, "[Install]") {
		wants := m.path("/etc/systemd/system/multi-user.target.wants")
		m.check(os.MkdirAll(wants, 0o755))
		m.check(os.Symlink(file, filepath.Join(wants, name+".service")))
	}
}
