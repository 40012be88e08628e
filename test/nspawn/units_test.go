//go:build e2e

package nspawn

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/berth-registry/berth/test/gobuild"
)

// registryUnit runs the mirror before any pull.
const registryUnit = `[Unit]
Before=containerd.service

[Service]
Type=notify
ExecStart=/srv/trial/inside registry /srv/trial/asked

[Install]
WantedBy=multi-user.target
`

// kubeletUnit stands in for kubelet: it pulls once at boot, as soon as it may start. It does not
// depend on Berth.
const kubeletUnit = `[Unit]
Wants=containerd.service
After=containerd.service
ConditionPathExists=/srv/trial/pull-at-boot

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/srv/trial/inside pull docker.io/library/boot:v1

[Install]
WantedBy=multi-user.target
`

// containerdUnit runs the containerd that Debian does not have, at the path of its own archive.
const containerdUnit = `[Service]
Type=notify
ExecStart=/usr/local/bin/containerd
Delegate=yes
KillMode=process
Restart=always

[Install]
WantedBy=multi-user.target
`

// slowStart makes the agent start late, which shows the units that wait for it.
const slowStart = `[Service]
ExecStartPre=/bin/sleep 3
`

// environment keeps the agent from asking the metadata service of a cloud.
const environment = "AWS_EC2_METADATA_SERVICE_ENDPOINT=http://127.0.0.1:1\n"

// foreignHosts is a hosts.toml written by hand.
const foreignHosts = `server = "https://quay.io"

[host."https://by-hand.corp"]
  capabilities = ["pull"]
`

// addTestFiles adds the files of the test before the machine boots: the program in folder inside, its
// units, and foreign files.
func addTestFiles(t *testing.T, m *machine) {
	t.Helper()
	for _, dir := range []string{"/srv/trial/newer", "/var/log/journal", filepath.Dir(adopted)} {
		if err := os.MkdirAll(m.path(dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := gobuild.Programs(t.Context(), "", m.path("/srv/trial/inside"), "./inside"); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"trial-registry": registryUnit, "kubelet": kubeletUnit} {
		m.unit(name, text)
	}
	m.write("/etc/default/berth", environment)
	m.write(adopted, foreignHosts)
	if err := os.Chmod(m.path(adopted), 0o640); err != nil {
		t.Fatal(err)
	}
}

// unit adds a unit that is started at boot.
func (m *machine) unit(name, text string) {
	m.t.Helper()
	file := "/etc/systemd/system/" + name + ".service"
	m.write(file, text)
	wants := m.path("/etc/systemd/system/multi-user.target.wants")
	if err := os.MkdirAll(wants, 0o755); err != nil {
		m.t.Fatal(err)
	}
	link := filepath.Join(wants, name+".service")
	if err := os.Remove(link); err != nil && !os.IsNotExist(err) {
		m.t.Fatal(err)
	}
	if err := os.Symlink(file, link); err != nil {
		m.t.Fatal(err)
	}
}

// pull pulls an image of Docker Hub through containerd, as kubelet would.
func (m *machine) pull(repository string) error {
	_, err := m.try("/srv/trial/inside pull docker.io/library/" + repository + ":v1")
	return err
}

// asked returns the number of requests to the mirror for a repository of docker.io.
func (m *machine) asked(repository string) int {
	n := 0
	for line := range strings.Lines(m.read("/srv/trial/asked")) {
		if strings.HasPrefix(line, "docker.io ") && strings.Contains(line, "/v2/library/"+repository+"/") {
			n++
		}
	}
	return n
}

// mirrored pulls an image, which must come through the mirror.
func (m *machine) mirrored(repository string) {
	m.t.Helper()
	if err := m.pull(repository); err != nil {
		m.t.Fatalf("%s is not pulled: %v", repository, err)
	}
	if m.asked(repository) == 0 {
		m.t.Fatalf("%s was pulled, and not through the mirror", repository)
	}
}

// unmirrored pulls an image and checks that the mirror is not asked. No other registry has it.
func (m *machine) unmirrored(repository, when string) {
	m.t.Helper()
	if err := m.pull(repository); err == nil {
		m.t.Errorf("%s: %s is pulled, and there is no network", when, repository)
	}
	if n := m.asked(repository); n > 0 {
		m.t.Errorf("%s: the mirror was asked %d times", when, n)
	}
}
