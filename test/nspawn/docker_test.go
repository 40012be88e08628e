//go:build e2e

package nspawn

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// dockerUnit runs dockerd without a network for containers, which this machine cannot make.
const dockerUnit = `[Unit]
After=containerd.service
Requires=containerd.service

[Service]
Type=notify
ExecStart=/usr/local/bin/dockerd --containerd=/run/containerd/containerd.sock --userland-proxy=false --bridge=none --iptables=false --ip6tables=false
Delegate=yes
KillMode=process

[Install]
WantedBy=multi-user.target
`

// A Docker host without Kubernetes gets from the page's commands to a mirrored pull, and back.
func TestDockerHost(t *testing.T) {
	p := buildPackages(t)
	m := newMachine(t)
	addTestFiles(t, m)
	containerd2(t, m)
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	dockerd := filepath.Join(cache, "berth-test", "dockerd-2.0.0-beta.24", "dockerd")
	for _, command := range [][]string{
		{"cp", dockerd, m.path("/usr/local/bin/dockerd")},
		{"cp", "/usr/bin/docker", m.path("/usr/bin/docker")},
		{"mkdir", "-p", m.path("/etc/docker")},
	} {
		if out, err := exec.Command(command[0], command[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%v (test/docker/parts.sh provides dockerd, the package docker.io the command): %v\n%s", command, err, out)
		}
	}
	// As in Docker's packages: no kubelet uses this containerd.
	m.write("/etc/containerd/config.toml", "version = 2\ndisabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n")
	m.unit("docker", dockerUnit)
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
	m.run("apt-get purge --yes berth")
	if m.read("/etc/docker/certs.d/docker.io/hosts.toml") != "" {
		t.Error("a file stays after the purge")
	}
}

// dockerCommands are those of docs/docker.md.
type dockerCommands struct{ install, config, pull string }

// dockerPage reads the commands of the page, with the mirror of this test in place of the page's.
func dockerPage(t *testing.T) dockerCommands {
	t.Helper()
	text, err := os.ReadFile("../../docs/docker.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(text), "\n## A Docker host without Kubernetes\n")
	block := regexp.MustCompile("(?s)```sh\n(apt-get.*?\n)(cat .*?\nCONFIG\n)(docker pull .*?)\n```").FindStringSubmatch(section)
	if block == nil {
		t.Fatal("docs/docker.md: the commands are not found")
	}
	return dockerCommands{block[1], strings.Replace(block[2], "https://mirror.corp:5000", "http://127.0.0.1:5000", 1), block[3]}
}
