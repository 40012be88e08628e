//go:build e2e

package nspawn

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// dockerUnit is that of Docker's packages, without a network for containers, which this machine
// cannot make.
const dockerUnit = `[Unit]
After=containerd.service
Requires=containerd.service
StartLimitBurst=3
StartLimitIntervalSec=60

[Service]
Type=notify
ExecStart=%s --containerd=/run/containerd/containerd.sock --userland-proxy=false --bridge=none --iptables=false --ip6tables=false
TimeoutStartSec=0
RestartSec=2
Restart=always
Delegate=yes
KillMode=process

[Install]
WantedBy=multi-user.target
`

// newDockerMachine returns a machine with containerd 2.4.2, dockerd and the docker command.
func newDockerMachine(t *testing.T) *machine {
	t.Helper()
	m := newMachine(t)
	addTestFiles(t, m)
	containerd2(t, m)
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	m.copied(filepath.Join(cache, "berth-test", "dockerd-2.0.0-beta.24", "dockerd"), "/usr/local/bin/dockerd")
	m.copied("/usr/bin/docker", "/usr/bin/docker")
	// dockerd --validate looks for it, and the unit does without it.
	m.copied("/bin/true", "/usr/local/bin/docker-proxy")
	if err := os.MkdirAll(m.path("/etc/docker"), 0o755); err != nil {
		t.Fatal(err)
	}
	// As in Docker's packages: no kubelet uses this containerd.
	m.write("/etc/containerd/config.toml", "version = 2\ndisabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n")
	m.unit("docker", fmt.Sprintf(dockerUnit, "/usr/local/bin/dockerd"))
	return m
}

// copied copies a program of this machine.
func (m *machine) copied(from, to string) {
	m.t.Helper()
	if out, err := exec.Command("cp", "--dereference", from, m.path(to)).CombinedOutput(); err != nil {
		m.t.Fatalf("cp %s (test/docker/parts.sh provides dockerd, the package docker.io the others): %v\n%s", from, err, out)
	}
}

// A Docker host without Kubernetes gets from the page's three commands to a mirrored pull, and back.
func TestDockerHost(t *testing.T) {
	p := buildPackages(t)
	m := newDockerMachine(t)
	m.boot()
	m.first(p)
	commands := dockerPage(t)
	m.run("cd /srv/trial && " + commands.install)
	m.run(commands.config)
	m.eventually("the agent has written for Docker", func() bool { return m.read("/etc/docker/certs.d/docker.io/hosts.toml") != "" })
	m.run(commands.pull)
	if m.asked("busybox") == 0 {
		t.Error("the image was pulled, and not through the mirror")
	}
	status := m.run("berth status")
	for _, want := range []string{"reads the files below /etc/docker/certs.d", "no alarm"} {
		if !strings.Contains(status, want) {
			t.Errorf("berth status has no %q:\n%s", want, status)
		}
	}
	m.run("berth trace --runtime docker busybox")
	// A node of a Swarm pulls with the same files.
	m.run("docker swarm init --advertise-addr 127.0.0.1")
	m.run("docker service create --detach --restart-condition none --name trial swarm:v1")
	m.eventually("the task of the service has its image", func() bool {
		_, err := m.try("docker image inspect swarm:v1")
		return err == nil
	})
	if m.asked("swarm") == 0 {
		t.Error("the image of the service was pulled, and not through the mirror")
	}
	m.run("docker swarm leave --force")
	m.run("apt-get purge --yes berth")
	if m.read("/etc/docker/certs.d/docker.io/hosts.toml") != "" {
		t.Error("a file stays after the purge")
	}
}

// dockerCommands are the three of docs/docker.md.
type dockerCommands struct{ install, config, pull string }

// dockerPage reads the commands of the page, with the mirror of this test in place of the page's.
func dockerPage(t *testing.T) dockerCommands {
	t.Helper()
	text, err := os.ReadFile("../../docs/docker.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(text), "\n## A Docker host without Kubernetes\n")
	block := regexp.MustCompile("(?s)```sh\n(apt-get [^\n]*\n)(cat [^\n]*\n.*?\nCONFIG\n)(docker pull [^\n]*)\n```").FindStringSubmatch(section)
	if block == nil {
		t.Fatal("docs/docker.md: the commands are not found")
	}
	return dockerCommands{block[1], strings.Replace(block[2], "https://mirror.corp:5000", "http://127.0.0.1:5000", 1), block[3]}
}
