//go:build e2e

package nspawn

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

const daemonJSON = "/etc/docker/daemon.json"

// graphDriver is a daemon.json that chooses the image store of earlier releases, in a form that no
// program would write.
const graphDriver = "{\n\t\"debug\":true,\n  \"features\" : { \"containerd-snapshotter\":false ,\"buildkit\": true },\n\n\t\"labels\": [\"a=b\"] }\n"

// berth install --docker switches the image store of a real Docker Engine: with one restart, after
// a kill, and not at all if Docker would not start. Every other byte of daemon.json stays, and so do
// its mode and owner.
func TestDockerStore(t *testing.T) {
	p := buildPackages(t)
	m := newDockerMachine(t)
	m.write(daemonJSON, graphDriver)
	for _, err := range []error{os.Chmod(m.path(daemonJSON), 0o640), os.Chown(m.path(daemonJSON), 12, 34)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	m.boot()
	m.first(p)
	commands := dockerPage(t)
	m.run("cd /srv/trial && " + commands.install)
	m.run(commands.config)
	m.eventually("the agent says why it writes nothing", func() bool {
		out, _ := m.try("berth plan")
		return strings.Contains(out, "its image store is that of earlier releases")
	})

	before, switched := m.daemonJSON(), strings.Replace(graphDriver, "false", "true", 1)
	m.run("tar --create --directory / srv/trial/inside | docker import - trial:v1")
	m.run("docker create --network none --name kept trial:v1 /srv/trial/inside registry /asked")
	started := m.property("docker", "InvocationID")
	said := m.run("berth install --docker --yes")
	for _, want := range []string{"images of the present store are not seen", "checked: Docker uses the containerd image store"} {
		if !strings.Contains(said, want) {
			t.Errorf("berth install --docker does not say %q:\n%s", want, said)
		}
	}
	if m.property("docker", "InvocationID") == started {
		t.Error("Docker was not restarted")
	}
	if got, want := m.daemonJSON(), strings.Replace(before, graphDriver, switched, 1); got != want {
		t.Errorf("daemon.json is\n%s\nwant\n%s", got, want)
	}
	if out := m.run("docker ps --all --quiet"); out != "" {
		t.Errorf("containers of the other store are listed:\n%s", out)
	}
	m.eventually("the agent has written for Docker", func() bool { return m.read("/etc/docker/certs.d/docker.io/hosts.toml") != "" })
	m.run(commands.pull)
	if m.asked("busybox") == 0 {
		t.Error("the image was pulled, and not through the mirror")
	}
	started = m.property("docker", "InvocationID")
	m.run("berth install --docker --yes") // nothing to do
	if m.property("docker", "InvocationID") != started {
		t.Error("Docker was restarted again")
	}
	m.run("berth uninstall --docker --yes")
	m.hasGraphDriver(before, "after uninstall")
	m.run("docker inspect kept")

	for _, step := range []string{"note docker", "rename " + daemonJSON, "restart docker.service"} {
		if out, err := m.try("/srv/trial/inside install '" + step + "'"); err == nil {
			t.Errorf("%q is no step:\n%s", step, out)
		}
		m.run("docker version")
		m.run("berth install --docker --yes")
		if store := m.store(); store != "containerd" {
			t.Errorf("killed before %q, and run again: the store is %q", step, store)
		}
		m.run("berth uninstall --docker --yes")
		m.hasGraphDriver(before, "killed before "+step)
	}

	// The new store does not start without a snapshotter.
	m.write("/etc/containerd/config.toml", `version = 2
disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.snapshotter.v1.overlayfs", "io.containerd.snapshotter.v1.native"]
`)
	m.run("systemctl reset-failed docker containerd; systemctl restart containerd docker")
	out, err := m.try("berth install --docker --yes")
	if err == nil || !strings.Contains(out, "putting everything back") {
		t.Errorf("Docker does not start with the containerd image store, and berth install says\n%s", out)
	}
	m.hasGraphDriver(before, "put back")

	// dockerd refuses a daemon.json that was edited since its start.
	m.write(daemonJSON, strings.Replace(graphDriver, "debug", "debgu", 1))
	edited := m.daemonJSON()
	if out, err = m.try("berth install --docker --yes"); err == nil || !strings.Contains(out, "Docker would not start with it") {
		t.Errorf("berth install with a daemon.json that dockerd refuses:\n%s", out)
	}
	m.hasGraphDriver(edited, "refused")
}

// A release without the look-up is left alone.
func TestDockerStoreOfAnOldRelease(t *testing.T) {
	p := buildPackages(t)
	m := newDockerMachine(t)
	const dockerd = "/usr/sbin/dockerd" // 20.10 of Debian
	m.copied(dockerd, dockerd)
	libraries, err := exec.Command("sh", "-c", "ldd "+dockerd+" | grep -o '/[^ ]*'").Output()
	if err != nil {
		t.Fatal(err)
	}
	for library := range strings.FieldsSeq(string(libraries)) {
		if _, err := os.Stat(m.path(library)); err != nil {
			m.copied(library, library)
		}
	}
	m.unit("docker", fmt.Sprintf(dockerUnit, dockerd))
	m.write(daemonJSON, graphDriver)
	m.boot()
	m.first(p)
	m.run("cd /srv/trial && " + dockerPage(t).install)
	before := m.daemonJSON()
	if out, err := m.try("berth install --docker --yes"); err == nil || !strings.Contains(out, "upgrade Docker to 28 or later") {
		t.Errorf("berth install --docker with Docker 20.10:\n%s", out)
	}
	m.hasGraphDriver(before, "refused")
}

// daemonJSON returns the content of daemon.json, with its mode and owner.
func (m *machine) daemonJSON() string {
	m.t.Helper()
	info, err := os.Stat(m.path(daemonJSON))
	if err != nil {
		m.t.Fatal(err)
	}
	owner := info.Sys().(*syscall.Stat_t)
	return fmt.Sprintf("%s%v %d:%d", m.read(daemonJSON), info.Mode(), owner.Uid, owner.Gid)
}

// store is the image store of the running Docker.
func (m *machine) store() string {
	m.t.Helper()
	if strings.Contains(m.run("docker info --format '{{.DriverStatus}}'"), "io.containerd.snapshotter.v1") {
		return "containerd"
	}
	return "graph driver"
}

// hasGraphDriver checks that Docker runs with the store of earlier releases, and with this
// daemon.json.
func (m *machine) hasGraphDriver(settings, when string) {
	m.t.Helper()
	m.eventually("Docker answers", func() bool { _, err := m.try("docker version"); return err == nil })
	if store := m.store(); store != "graph driver" {
		m.t.Errorf("%s: the store is %q", when, store)
	}
	if got := m.daemonJSON(); got != settings {
		m.t.Errorf("%s: daemon.json is\n%s\nwant\n%s", when, got, settings)
	}
}
