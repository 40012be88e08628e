//go:build e2e

package nspawn

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/berth-registry/berth/test/filetree"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const config = `apiVersion: berth/v1alpha1
kind: RegistryConfig

mirrors:
- upstream: docker.io
  endpoints:
  - url: http://127.0.0.1:5000
- upstream: quay.io
  endpoints:
  - url: http://127.0.0.1:5000

containerd: {onConflict: adopt}
health: {mode: report}
`

// noToken is one more upstream, for which AWS issues no token.
const noToken = `
- upstream: ghcr.io
  endpoints:
  - url: https://111122223333.dkr.ecr.us-east-1.amazonaws.com/hub
`

const (
	hostsFile = "/etc/containerd/certs.d/docker.io/hosts.toml"
	// adopted is a foreign file that Berth takes over later.
	adopted = "/etc/containerd/certs.d/quay.io/hosts.toml"
)

// The package on a node, from the first install to the purge.
func TestPackage(t *testing.T) {
	p := buildPackages(t)
	p.page = readPage(t)
	t.Run("containerd 1.6 of Debian", func(t *testing.T) {
		m := newMachine(t)
		addTestFiles(t, m)
		m.boot()
		before := m.first(p)
		m.lifecycle(p, noToken)
		m.run(p.page.line("apt-get purge"))
		m.asBefore(before)
	})
	t.Run("containerd 2.4 as it comes", func(t *testing.T) {
		m := newMachine(t)
		addTestFiles(t, m)
		containerd2(t, m)
		m.boot()
		before := m.first(p)
		m.lifecycle(p, "")
		m.served()
		m.switchedOff()
		m.stopped(p)
		m.removed(p)
		m.run(p.page.line("apt-get purge"))
		m.asBefore(before)
	})
	p.page.allRan()
}

// packages are two versions of the package, and the page with the commands to use them.
type packages struct {
	older, newer string
	page         *page
}

// buildPackages builds them. The newer one has another default config.
func buildPackages(t *testing.T) packages {
	t.Helper()
	top, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	stock, err := os.ReadFile(filepath.Join(top, "manifests/packaging/config.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	other := filepath.Join(dir, "config.yaml")
	if err := os.WriteFile(other, append(stock, "\n# The newer version says more.\n"...), 0o600); err != nil {
		t.Fatal(err)
	}
	build := func(version string, more ...string) string {
		cmd := exec.Command("test/release/package.sh", append([]string{"-o", dir, "-a", runtime.GOARCH, "-f", "deb"}, more...)...)
		cmd.Dir = top
		cmd.Env = append(os.Environ(), "VERSION=v"+version)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("package.sh: %v\n%s", err, out)
		}
		return filepath.Join(dir, fmt.Sprintf("berth_%s-1_%s.deb", version, runtime.GOARCH))
	}
	return packages{older: build("0.1.0"), newer: build("0.2.0", "-c", other)}
}

// containerd2 replaces Debian's containerd by 2.4.2, with the configuration that it prints as its
// default.
func containerd2(t *testing.T, m *machine) {
	t.Helper()
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	from := filepath.Join(cache, "berth-test", "containerd-2.4.2")
	for _, command := range [][]string{
		{"chroot", m.root, "dpkg", "--purge", "containerd"},
		{"cp", from + "/containerd", from + "/containerd-shim-runc-v2", m.path("/usr/local/bin/")},
		{"mkdir", "-p", m.path("/etc/containerd")},
		{"sh", "-c", fmt.Sprintf("%q config default >%q", from+"/containerd", m.path("/etc/containerd/config.toml"))},
	} {
		if out, err := exec.Command(command[0], command[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%v (test/e2e/parts.sh provides containerd 2.4.2): %v\n%s", command, err, out)
		}
	}
	m.unit("containerd", containerdUnit)
}

// first describes the machine as it is, and copies the packages to it.
func (m *machine) first(p packages) tree {
	m.t.Helper()
	for name, file := range map[string]string{"berth.deb": p.older, "newer/berth.deb": p.newer} {
		raw, err := os.ReadFile(file)
		if err != nil {
			m.t.Fatal(err)
		}
		m.write("/srv/trial/"+name, string(raw))
	}
	return look(m.t, m.root)
}

// lifecycle goes through all stages of a package except the purge. atBoot are further upstreams of the
// config while the machine boots.
func (m *machine) lifecycle(p packages, atBoot string) {
	m.t.Helper()
	m.run("cd /srv/trial && " + p.page.line("apt-get install --yes ./"))
	m.checkUnit()
	m.configured()
	m.unmirrored("control", "containerd is not wired yet")
	m.run(p.page.line("berth install"))
	m.mirrored("wired")
	m.run(p.page.line("berth status"))
	m.run(p.page.line("berth doctor"))
	m.write("/etc/berth/config.yaml", strings.Replace(config, "\ncontainerd:", atBoot+"\ncontainerd:", 1))
	m.rebooted()
	m.write("/etc/berth/config.yaml", config)
	m.upgraded(p)
}

// checkUnit: the agent runs, and its unit is as strict as documented.
func (m *machine) checkUnit() {
	m.t.Helper()
	if state := m.property("berth", "ActiveState"); state != "active" {
		m.t.Fatalf("the agent is %s after the install", state)
	}
	if out := m.run("systemd-analyze verify berth.service 2>&1"); out != "" {
		m.t.Errorf("systemd-analyze verify:\n%s", out)
	}
	for _, unit := range []string{"berth-images.service", "berth-images-load.service"} {
		if out := m.run("systemd-analyze verify " + unit + " 2>&1"); out != "" {
			m.t.Errorf("systemd-analyze verify %s:\n%s", unit, out)
		}
		if state, err := m.try("systemctl is-enabled " + unit); err == nil {
			m.t.Errorf("%s is %s after the install", unit, state)
		}
	}
	m.write("/srv/trial/broken.service", "[Service]\nExecStart=/bin/true\nNoSuchSetting=1\n")
	if out := m.run("systemd-analyze verify /srv/trial/broken.service 2>&1"); !strings.Contains(out, "NoSuchSetting") {
		m.t.Errorf("systemd-analyze verify does not see a mistake:\n%s", out)
	}
	report := m.run("systemd-analyze security --no-pager berth.service")
	var level float64
	_, overall, _ := strings.Cut(report, "Overall exposure level for berth.service:")
	if _, err := fmt.Sscan(overall, &level); err != nil || level > 2.0 {
		m.t.Errorf("exposure %v, not at most 2.0 (%v)", level, err)
	}
	inside := func(command string) error {
		_, err := m.try("nsenter --mount --target=$(systemctl show --value -p MainPID berth) " + command)
		return err
	}
	if err := inside("mkdir -p /etc/containerd/certs.d/probe.corp"); err != nil {
		m.t.Errorf("the agent cannot write hosts.toml files: %v", err)
	}
	// rmdir stops, with an error, at the first directory that is not empty.
	m.run("rmdir --parents /etc/containerd/certs.d/probe.corp 2>/dev/null || true")
	for _, file := range []string{"/etc/containerd/config.toml", "/etc/berth/config.yaml", "/usr/bin/runc"} {
		if inside("touch "+file) == nil {
			m.t.Errorf("the agent can write %s", file)
		}
	}
	// containerd's own unit fails, which shows that the check can fail.
	if out := m.run("systemd-analyze security --no-pager --threshold=20 containerd.service || echo over"); !strings.HasSuffix(out, "over") {
		m.t.Errorf("containerd.service passes too")
	}
}

// served: the unit that is not enabled serves a directory of images as a user of its own.
func (m *machine) served() {
	m.t.Helper()
	const (
		image = "127.0.0.1:5000/library/busybox:v1"
		dir   = "/var/lib/berth-images"
		set   = "/etc/systemd/system/berth-images.service.d"
	)
	m.run("mkdir " + set + " && berth images copy " + image + " --to oci:" + dir)
	m.write(set+"/port.conf", "[Service]\nEnvironment=\"BERTH_SERVE=--listen 127.0.0.1:5001\"\n")
	m.run("systemctl daemon-reload && systemctl start berth-images")
	m.run("berth images check " + image + " --to 127.0.0.1:5001 --verify")
	if user := m.run("stat -c %u /proc/$(systemctl show --value -p MainPID berth-images)"); strings.TrimSpace(user) == "0" {
		m.t.Error("berth-images runs as root")
	}
	m.run("systemctl stop berth-images && rm -r " + dir + " " + set + " && systemctl daemon-reload")
}

// configured: the agent reads the edited file.
func (m *machine) configured() {
	m.t.Helper()
	m.write("/etc/berth/config.yaml", config)
	m.eventually("there are hosts.toml files", func() bool {
		return strings.Contains(m.read(hostsFile), "127.0.0.1:5000") && strings.Contains(m.read(adopted), "127.0.0.1:5000")
	})
}

// rebooted: without a network, and also if AWS issues no token, the agent soon writes the missing
// files; then kubelet starts, and its first pull goes through the mirror.
func (m *machine) rebooted() {
	m.t.Helper()
	m.write("/srv/trial/pull-at-boot", "")
	m.run("systemctl stop berth && rm -r /etc/containerd/certs.d/docker.io")
	late := "/etc/systemd/system/berth.service.d/late.conf"
	m.run("mkdir " + filepath.Dir(late))
	m.write(late, slowStart)
	const (
		images = "/var/lib/berth-images"
		loaded = "127.0.0.1:5000/library/loaded:v1"
	)
	m.run("mkdir " + images + " && berth images copy " + loaded + " --to " + images + "/a.tar.zst && echo broken >" + images +
		"/b.tar && systemctl enable berth-images-load")
	m.fails = "berth-images-load.service"
	m.reboot()
	m.fails = ""
	if n := m.asked("boot"); n == 0 {
		m.t.Error("the first pull after the boot did not go through the mirror")
	}
	begun, ready := m.microseconds("berth", "ExecMainStartTimestampMonotonic"), m.microseconds("berth", "ActiveEnterTimestampMonotonic")
	kubelet := m.microseconds("kubelet", "ExecMainStartTimestampMonotonic")
	m.t.Logf("the agent was started %v after the boot began and ready %v later; kubelet was started after %v more",
		begun-m.booted(), ready-begun, kubelet-ready)
	if kubelet < ready {
		m.t.Errorf("kubelet was started %v before the agent was ready", ready-kubelet)
	}
	// 10 seconds, and a margin for a busy machine.
	if ready-begun > 10*time.Second+patience/4 {
		m.t.Errorf("the agent was ready only after %v", ready-begun)
	}
	m.run("rm -r " + filepath.Dir(late) + " && systemctl daemon-reload")

	// The broken file fails the unit, and neither keeps the other one out nor kubelet from starting.
	if ended := m.microseconds("berth-images-load", "ExecMainExitTimestampMonotonic"); kubelet < ended {
		m.t.Errorf("kubelet was started %v before images were loaded", ended-kubelet)
	}
	if result := m.property("berth-images-load", "Result"); result != "exit-code" {
		m.t.Errorf("a broken file: berth-images-load ended with %s", result)
	}
	if log := m.run("journalctl -b -u berth-images-load"); !strings.Contains(log, images+"/b.tar: ") {
		m.t.Error("the log does not name the broken file")
	}
	if list := m.run("berth images list --unused"); !strings.Contains(list, loaded) {
		m.t.Errorf("%s is not loaded", loaded)
	}
	m.run("rm " + images + "/b.tar && systemctl start berth-images-load && systemctl disable berth-images-load && rm -r " + images)
	if again := m.run("journalctl -b -u berth-images-load"); !strings.Contains(again, "0 images loaded, 1 there already") {
		m.t.Error("the second time the image is loaded again")
	}
}

// booted returns when systemd started; a container has the clock of its host.
func (m *machine) booted() time.Duration {
	return m.microseconds("", "UserspaceTimestampMonotonic")
}

// upgraded: the edited config stays, files and tokens stay, and the new agent runs. The new default
// config is written beside the config. That the state is kept shows at the purge, which restores
// the original files.
func (m *machine) upgraded(p packages) {
	m.t.Helper()
	const token = "/run/berth/tokens/kept.json"
	m.run("install -d -m 0700 /run/berth/tokens && echo '{}' >" + token)
	hosts, invocation := m.read(hostsFile), m.property("berth", "InvocationID")
	m.run("cd /srv/trial/newer && " + p.page.line("apt-get install --yes -o"))
	if out := m.run("berth version"); !strings.HasPrefix(out, "berth v0.2.0 ") {
		m.t.Errorf("after the upgrade it is %s", out)
	}
	if now := m.property("berth", "InvocationID"); now == invocation || m.property("berth", "ActiveState") != "active" {
		m.t.Error("the agent was not restarted")
	}
	if m.read("/etc/berth/config.yaml") != config {
		m.t.Error("the upgrade changed the edited config")
	}
	if !strings.Contains(m.read("/etc/berth/config.yaml.dpkg-dist"), "says more") {
		m.t.Error("the new default config was not offered")
	}
	if m.read(hostsFile) != hosts {
		m.t.Errorf("the upgrade changed %s", hostsFile)
	}
	m.run("test -f " + token + " && rm -r /run/berth/tokens")
	m.mirrored("upgraded")
}

// switchedOff: an upgrade keeps a disabled service disabled.
func (m *machine) switchedOff() {
	m.t.Helper()
	m.run("systemctl disable --now berth && dpkg --install /srv/trial/newer/berth.deb")
	if active, enabled := m.property("berth", "ActiveState"), m.property("berth", "UnitFileState"); active != "inactive" || enabled != "disabled" {
		m.t.Errorf("the agent was switched off, and is %s and %s after an upgrade", active, enabled)
	}
	m.run("systemctl enable --now berth")
}

// stopped: a removal that cannot restore the node leaves it unchanged.
func (m *machine) stopped(p packages) {
	m.t.Helper()
	if out, err := m.try("flock /run/berth/install.lock " + p.page.line("apt-get purge")); err == nil {
		m.t.Fatalf("the package is purged while an installation runs:\n%s", out)
	}
	if status := m.run("dpkg-query -W -f '${db:Status-Status}' berth"); status != "installed" {
		m.t.Errorf("the package is %s", status)
	}
	if state := m.property("berth", "ActiveState"); state != "active" {
		m.t.Errorf("the agent is %s", state)
	}
	m.eventually("the mirror is back", func() bool { return m.read(hostsFile) != "" })
	m.mirrored("kept")
}

// removed: without the package no file of it is in use, but the config is kept, and is used again
// with the package.
func (m *machine) removed(p packages) {
	m.t.Helper()
	m.run("apt-get remove --yes berth")
	if m.read("/etc/berth/config.yaml") != config {
		m.t.Error("the removal took the edited config")
	}
	if m.read(hostsFile) != "" {
		m.t.Error("the removal left a mirror that no agent watches")
	}
	m.unmirrored("removed", "the package is removed")
	m.run("cd /srv/trial/newer && " + p.page.line("apt-get install --yes ./"))
	m.eventually("there is a hosts.toml again", func() bool { return m.read(hostsFile) != "" })
	m.run(p.page.line("berth install"))
	m.mirrored("again")
}

// asBefore: the package leaves no trace.
func (m *machine) asBefore(before tree) {
	m.t.Helper()
	if d := filetree.Differences(before, look(m.t, m.root)); len(d) > 0 {
		m.t.Errorf("not as before:\n%s", strings.Join(d, "\n"))
	}
	m.unmirrored("after", "the package is purged")
	m.run("systemctl restart containerd")
	m.unmirrored("after", "the package is purged and containerd restarted")
	// The command fails for every other state, and the state is to be shown.
	if state := m.run("systemctl is-system-running || true"); state != "running" {
		m.t.Errorf("the machine is %s", state)
	}
}
