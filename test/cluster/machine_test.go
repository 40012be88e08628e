package cluster

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/berth-registry/berth/test/cluster/controlplane"
	"github.com/berth-registry/berth/test/cluster/joined"
)

// machine is a node with systemd: a Debian that systemd-nspawn boots, on this
// machine's network, with containerd 2.4.2 in its default configuration, the pair
// of directories that it does not look into.
type machine struct {
	*world
	root   string
	nspawn *exec.Cmd
	leader int // its PID 1, as we see it
}

// Settings of the kernel that kubelet wants to write become copies, and cgroups
// writable.
const prepare = `set -e
for group in /sys/fs/cgroup/*; do mount -o remount,bind,rw "$group"; done
mkdir -p /run/sys
for setting in vm/overcommit_memory vm/panic_on_oom kernel/panic kernel/panic_on_oops kernel/keys/root_maxkeys kernel/keys/root_maxbytes; do
	copy=/run/sys/$(echo "$setting" | tr / .)
	cat "/proc/sys/$setting" >"$copy"
	mount --bind "$copy" "/proc/sys/$setting"
done
`

// units are those of the machine; the arguments are the environment of containerd.
const (
	prepareUnit    = "[Unit]\nBefore=containerd.service\n[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/sh /etc/prepare\n"
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
	kubeletUnit = `[Unit]
After=containerd.service
[Service]
ExecStart=/usr/local/bin/kubelet --config /etc/kubernetes/kubelet.yaml --kubeconfig /etc/kubernetes/kubeconfig --hostname-override ` + nodeName + ` --v 2
Restart=always
[Install]
WantedBy=multi-user.target
`
)

// newMachine makes a machine, boots it, and waits until it has joined.
func newMachine(w *world) *machine {
	w.Helper()
	m := &machine{world: w, root: filepath.Join(w.dir, "machine")}
	made := exec.CommandContext(w.Context(), filepath.Join("..", "nspawn", "rootfs.sh"))
	made.Stderr = os.Stderr
	base, err := made.Output()
	w.check(err)
	newest := w.set.Containerd[len(w.set.Containerd)-1]
	for _, command := range [][]string{
		{"cp", "-a", strings.TrimSpace(string(base)), m.root},
		{"chroot", m.root, "dpkg", "--purge", "containerd"},
		{"cp", newest.Daemon, filepath.Join(newest.BinDir, "containerd-shim-runc-v2"), w.programs.kubelet, m.path("/usr/local/bin/")},
	} {
		if out, err := exec.CommandContext(w.Context(), command[0], command[1:]...).CombinedOutput(); err != nil {
			w.Fatalf("%q: %v\n%s", command, err, out)
		}
	}
	config, err := exec.CommandContext(w.Context(), newest.Daemon, "config", "default").Output()
	w.check(err)
	kubeconfig, err := w.plane.Kubeconfig(controlplane.Node(nodeName))
	w.check(err)
	login, err := os.ReadFile(kubeconfig)
	w.check(err)
	for name, content := range map[string]string{
		// What a container needs, and nothing of the registry.
		"/etc/containerd/config.toml": strings.NewReplacer("restrict_oom_score_adj = false", "restrict_oom_score_adj = true",
			"disable_apparmor = false", "disable_apparmor = true").Replace(string(config)),
		"/etc/hosts":                   "127.0.0.1 localhost\n",
		"/etc/resolv.conf":             "",
		"/etc/prepare":                 prepare,
		"/etc/ssl/certs/ours.pem":      string(w.ca.PEM()),
		"/etc/kubernetes/kubelet.yaml": string(joined.Config("/var/lib/kubelet", "/run/containerd/containerd.sock")),
		"/etc/kubernetes/kubeconfig":   string(login),
	} {
		m.write(name, content)
	}
	m.unit("prepare", prepareUnit)
	m.unit("containerd", fmt.Sprintf(containerdUnit, strings.Join(w.proxy.Env(), " ")))
	m.unit("kubelet", kubeletUnit)
	w.podLogsDir = m.path("/var/lib/kubelet/podlogs")
	m.boot()
	w.Cleanup(m.kill)
	w.joined()
	return m
}

func (m *machine) path(name string) string { return filepath.Join(m.root, name) }

func (m *machine) write(name, content string) {
	m.Helper()
	m.check(os.MkdirAll(filepath.Dir(m.path(name)), 0o755))
	m.check(os.WriteFile(m.path(name), []byte(content), 0o644))
}

// unit writes a service, and enables it if it says where.
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

func (m *machine) boot() {
	m.Helper()
	console, err := os.Create(filepath.Join(m.dir, "console"))
	m.check(err)
	defer console.Close()
	m.nspawn = exec.Command("systemd-nspawn", "--quiet", "--settings=no", "--directory="+m.root, "--boot",
		"--register=no", "--keep-unit", "--machine=berth-cluster-"+strconv.Itoa(os.Getpid()), "--capability=all", "--system-call-filter=@keyring bpf", "--bind=/dev/kmsg",
		"--resolv-conf=off", "--timezone=off", "--link-journal=no", "--console=pipe")
	m.nspawn.Stdout, m.nspawn.Stderr = console, console
	m.nspawn.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	m.check(m.nspawn.Start())
	m.until("the machine has booted", func() error {
		m.leader = 0
		children, err := childrenOf(m.nspawn.Process.Pid)
		if err != nil {
			return err
		}
		if len(children) != 1 {
			return errNotYet
		}
		m.leader = children[0]
		if out, err := m.run("systemctl is-active containerd kubelet"); err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		return nil
	})
}

// run runs a shell command on the machine.
func (m *machine) run(command string) (string, error) {
	cmd := exec.Command("nsenter", "--target", strconv.Itoa(m.leader), "--mount", "--pid", "--ipc", "--uts", "sh", "-c", command)
	cmd.Env = []string{"PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
	out, err := cmd.CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

// invocation is another one each time containerd is started.
func (m *machine) invocation() string {
	m.Helper()
	out, err := m.run("systemctl show containerd --property InvocationID --value")
	m.check(err)
	if out == "" {
		m.Fatal("systemd knows no containerd")
	}
	return out
}

// kill ends the machine; with its PID 1 everything in it ends.
func (m *machine) kill() {
	if m.Failed() {
		journal, err := m.run("journalctl --no-pager -n 60 -u containerd -u kubelet -o cat | cut -c1-400")
		m.Logf("the machine: %v\n%s", err, journal)
	}
	if m.leader != 0 {
		// The cgroups of pods are this machine's, and would stay.
		if out, err := m.run("systemctl stop kubelet"); err != nil {
			m.Errorf("%v: %s", err, out)
		}
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := removePods(ctx, fmt.Sprintf("/proc/%d/root/run/containerd/containerd.sock", m.leader)); err != nil {
			m.Error(err)
		}
		_ = syscall.Kill(m.leader, syscall.SIGKILL)
	}
	_ = m.nspawn.Process.Kill()
	_ = m.nspawn.Wait() // it was killed
}

// childrenOf lists the processes whose parent is pid.
func childrenOf(pid int) ([]int, error) {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%[1]d/task/%[1]d/children", pid))
	if err != nil {
		return nil, err
	}
	var found []int
	for field := range strings.FieldsSeq(string(raw)) {
		child, err := strconv.Atoi(field)
		if err != nil {
			return nil, err
		}
		found = append(found, child)
	}
	return found, nil
}
