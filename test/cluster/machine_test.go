package cluster

import (
	"context"
	"fmt"
	"net/netip"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/berth-registry/berth/test/cluster/network"
	"github.com/berth-registry/berth/test/cluster/proc"
)

// machine is a node with systemd: a Debian in systemd-nspawn, with its own network and cgroups, and
// with containerd 2.4.2 in its default configuration, whose config_path lists two directories, so
// that containerd reads neither.
type machine struct {
	*fixture
	name    string // of the node
	root    string
	address netip.Addr // of the node; no image is pulled from there

	network *network.Namespace
	cgroups []string
	nspawn  *exec.Cmd
	ended   chan struct{} // closed when nspawn has
	leader  int           // its PID 1, in our process namespace
}

// newMachines makes a machine for each node, boots them in parallel, and waits until all have
// joined.
func newMachines(w *fixture) []*machine {
	w.Helper()
	var all []*machine
	for i, name := range w.nodes {
		m := &machine{fixture: w, name: name, root: filepath.Join(w.dir, name), address: netip.AddrFrom4([4]byte{10, 99, 0, byte(1 + i)})}
		if i == 0 {
			m.install()
		} else {
			m.copyTree(all[0].root)
		}
		all = append(all, m)
	}
	for _, m := range all {
		m.identify()
		w.podLogDirs = append(w.podLogDirs, m.path("/var/lib/kubelet/podlogs"))
		w.Cleanup(m.kill)
		m.boot()
	}
	for _, m := range all {
		m.until(m.name+" has booted", m.booted)
	}
	w.joined()
	return all
}

// powerOff makes systemd end at once, without stopping services: systemd(1).
const powerOff = "SIGRTMIN+14"

// boot starts the machine and does not wait.
func (m *machine) boot() {
	m.Helper()
	name := fmt.Sprintf("berth-cluster-%d-%s", os.Getpid(), m.name)
	var err error
	m.network, err = network.New(m.address)
	m.check(err)
	m.check(m.network.Forward(m.services()...))
	m.cgroups, err = newCgroups(name)
	m.check(err)
	console, err := os.Create(m.console())
	m.check(err)
	defer console.Close()
	m.nspawn = exec.Command("sh", slices.Concat([]string{"-c", enterCgroups, "sh"}, m.cgroups, []string{"--",
		"systemd-nspawn", "--quiet", "--settings=no", "--directory=" + m.root, "--boot",
		"--register=no", "--keep-unit", "--machine=" + name, "--network-namespace-path=" + m.network.Path(),
		"--capability=all", "--system-call-filter=@keyring bpf", "--bind=/dev/kmsg",
		"--resolv-conf=off", "--timezone=off", "--link-journal=no", "--console=pipe", "--kill-signal=" + powerOff})...)
	m.nspawn.Stdout, m.nspawn.Stderr = console, console
	// A machine survives when its nspawn is killed. If nspawn gets SIGTERM it sends powerOff, so
	// the machine ends with this process in any case.
	m.nspawn.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	m.check(m.nspawn.Start())
	m.ended = make(chan struct{})
	go func() {
		defer close(m.ended)
		_ = m.nspawn.Wait() // it was killed, or the console has the reason
	}()
}

// restart cuts the machine's power and boots it again: /run is empty, everything else is there.
func (m *machine) restart() {
	m.Helper()
	m.kill()
	m.leader = 0
	m.boot()
	m.until(m.name+" has booted again", m.booted)
}

// services returns the addresses of this machine that a node connects to.
func (w *fixture) services() []string {
	w.Helper()
	all := []string{w.images.Addr(), w.first.Addr(), w.second.Addr()}
	for _, at := range []string{w.plane.URL(), w.proxyURL(), w.aws.MetadataURL(), w.aws.APIURL()} {
		parsed, err := url.Parse(at)
		w.check(err)
		all = append(all, parsed.Host)
	}
	return all
}

func (m *machine) console() string { return m.root + ".console" }

// booted returns an error until the machine has started the services that a node needs.
func (m *machine) booted() error {
	select {
	case <-m.ended:
		m.Fatalf("systemd-nspawn has ended: %s", m.said())
	default:
	}
	children, err := proc.Children(m.nspawn.Process.Pid)
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
}

// run runs a shell command on the machine.
func (m *machine) run(command string) (string, error) {
	cmd := exec.Command("nsenter", "--target", strconv.Itoa(m.leader), "--mount", "--pid", "--ipc", "--uts", "--net", "sh", "-c", command)
	cmd.Env = []string{"PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
	out, err := cmd.CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

// property returns a property of the containerd service.
func (m *machine) property(name string) string {
	m.Helper()
	out, err := m.run("systemctl show containerd --timestamp=unix --value --property " + name)
	if err != nil || out == "" {
		m.Fatalf("%s: systemd has no %s of containerd: %v: %s", m.name, name, err, out)
	}
	return out
}

// invocation returns a value that changes each time containerd is started.
func (m *machine) invocation() string {
	m.Helper()
	return m.property("InvocationID")
}

// activeSince returns the time when containerd became ready, to the second.
func (m *machine) activeSince() time.Time {
	m.Helper()
	seconds, err := strconv.ParseInt(strings.TrimPrefix(m.property("ActiveEnterTimestamp"), "@"), 10, 64)
	m.check(err)
	return time.Unix(seconds, 0)
}

// said returns the end of the machine's console output.
func (m *machine) said() string {
	raw, err := os.ReadFile(m.console())
	if err != nil {
		return err.Error()
	}
	return tail(string(raw), 15)
}

// kill ends the machine at any stage: with its PID 1 the kernel ends its processes and mounts.
func (m *machine) kill() {
	if m.Failed() && m.leader != 0 {
		journal, err := m.run("journalctl --no-pager -n 60 -u containerd -u kubelet -o cat | cut -c1-400")
		m.Logf("%s: %s\n%v\n%s", m.name, m.said(), err, journal)
	}
	if m.ended != nil {
		if m.leader != 0 {
			_ = syscall.Kill(m.leader, syscall.SIGKILL)
		} else {
			_ = m.nspawn.Process.Signal(syscall.SIGTERM)
		}
		// nspawn cleans up after its machine has ended.
		select {
		case <-m.ended:
		case <-time.After(20 * time.Second):
			_ = m.nspawn.Process.Kill()
			<-m.ended
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for _, dir := range m.cgroups {
		if err := removeTree(ctx, dir); err != nil {
			m.Error(err)
		}
	}
	if m.network != nil {
		if err := m.network.Close(); err != nil {
			m.Error(err)
		}
	}
}
