package node_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/berth-registry/berth/node"
	"github.com/berth-registry/berth/test/fakes/fakedocker"
)

const dockerd = `
-- proc/1/ns/links --
mnt mnt:[1]
-- proc/700/comm --
dockerd
-- proc/700/links --
exe /usr/bin/dockerd
cwd /
-- proc/700/ns/links --
mnt mnt:[1]
-- proc/700/cgroup --
0::/system.slice/docker.service
`

const plainDockerd = dockerd + "-- proc/700/cmdline --\n/usr/bin/dockerd\n-H\nfd://\n"

// TestDockerByFiles checks what is known of a Docker Engine whose API does not answer.
func TestDockerByFiles(t *testing.T) {
	const daemon = "-- root/etc/docker/daemon.json --\n"
	const old, v28, v29 = "Docker version 27.5.1, build 9f9e405\n", "Docker version 28.5.2, build ecc6942\n", "Docker version 29.7.2, build abc\n"
	for name, c := range map[string]struct {
		archive, version string
		found            bool
		store            node.DockerStore
		reads            node.Reading
		why              string
		mirrors          string
		insecure         string
		unsettled        string
	}{
		"nothing there":            {"", v29, false, node.DockerUnknown, node.CannotTell, "", "", "", "can be seen from here"},
		"the default of 29":        {plainDockerd, v29, true, node.DockerContainerd, node.Reads, "", "", "", ""},
		"the default of 28":        {plainDockerd, v28, true, node.DockerGraphDriver, node.DoesNot, "the default of Docker 28.5.2", "", "", ""},
		"an unknown release":       {plainDockerd, "", true, node.DockerUnknown, node.CannotTell, "neither the API of Docker nor its release", "", "", ""},
		"a build from source":      {plainDockerd, "Docker version library-import, build library-import\n", true, node.DockerUnknown, node.CannotTell, "neither", "", "", ""},
		"a build of moby's module": {plainDockerd, "Docker version 2.0.0-beta.24, build library-import\n", true, node.DockerUnknown, node.CannotTell, "neither", "", "", ""},
		"the feature on 28":        {plainDockerd + daemon + `{"features": {"containerd-snapshotter": true}}`, v28, true, node.DockerContainerd, node.Reads, "", "", "", ""},
		"the feature on 27":        {plainDockerd + daemon + `{"features": {"containerd-snapshotter": true}}`, old, true, node.DockerContainerd, node.DoesNot, "27.5.1 reads no hosts.toml", "", "", ""},
		"the feature off":          {plainDockerd + daemon + `{"features": {"containerd-snapshotter": false}}`, v29, true, node.DockerGraphDriver, node.DoesNot, "is false", "", "", ""},
		"userns-remap":             {plainDockerd + daemon + `{"userns-remap": "default"}`, v29, true, node.DockerGraphDriver, node.DoesNot, "userns-remap is set", "", "", ""},
		"a graph driver":           {plainDockerd + daemon + `{"storage-driver": "overlay2"}`, v29, true, node.DockerGraphDriver, node.DoesNot, "storage-driver is overlay2", "", "", ""},
		"images of an older":       {plainDockerd + "-- root/var/lib/docker/overlay2/l/x --\n", v29, true, node.DockerGraphDriver, node.DoesNot, "/var/lib/docker/overlay2 holds images", "", "", ""},
		"another data-root":        {plainDockerd + daemon + `{"data-root": "/data"}` + "\n-- root/data/overlay2/l/x --\n", v29, true, node.DockerGraphDriver, node.DoesNot, "/data/overlay2", "", "", ""},
		"settings of the file":     {plainDockerd + daemon + `{"registry-mirrors": ["https://m.corp/"], "insecure-registries": ["10.0.0.0/8", "r.corp:5000"]}`, v29, true, node.DockerContainerd, node.Reads, "", "https://m.corp/", "10.0.0.0/8 r.corp:5000", ""},
		"logins in addresses":      {plainDockerd + daemon + `{"registry-mirrors": ["https://u:hunter2@m.corp/hub?token=hunter2"], "insecure-registries": ["u:hunter2@r.corp"]}`, v29, true, node.DockerContainerd, node.Reads, "", "https://m.corp/hub", "r.corp", ""},
		"flags": {dockerd + "-- proc/700/cmdline --\n/usr/bin/dockerd\n--config-file=/srv/d.json\n--registry-mirror\nhttps://a.corp\n--registry-mirror=https://b.corp\n--feature\ncontainerd-snapshotter=true\n--insecure-registry=r.corp\n" +
			"-- root/srv/d.json --\n{\"registry-mirrors\": [\"https://c.corp\"]}", v28, true, node.DockerContainerd, node.Reads, "", "https://a.corp https://b.corp https://c.corp", "r.corp", ""},
		"a file that dockerd refuses": {plainDockerd + daemon + `{"registry-mirrors": ["https://hunter2@m.corp"]`, v29, true, node.DockerUnknown, node.CannotTell, "daemon.json: is not the JSON that dockerd reads", "", "", "run dockerd --validate"},
		"no processes are seen":       {"-- root/etc/docker/daemon.json --\n" + `{"features": {"containerd-snapshotter": true}}`, "", true, node.DockerContainerd, node.CannotTell, "its release is not known", "", "", "neither the flags of dockerd nor its API (/run/docker.sock)"},
		"stopped": {"-- proc/1/ns/links --\nmnt mnt:[1]\n-- root/lib/systemd/system/docker.service --\n[Service]\nExecStart=/usr/bin/dockerd -H fd:// --registry-mirror=https://m.corp\n-- root/usr/bin/dockerd --\n", v29,
			true, node.DockerContainerd, node.Reads, "", "https://m.corp", "", ""},
		"rootless": {dockerd + "-- proc/700/cmdline --\ndockerd\n--rootless\n", v29, true, node.DockerContainerd, node.Reads, "", "", "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			m := machine(t, c.archive)
			var asked []string
			m.Version = says(c.version, &asked)
			d, found, err := node.DiscoverDocker(t.Context(), m)
			if err != nil {
				t.Fatal(err)
			}
			reads, why := d.Reads()
			if found != c.found || d.Store != c.store || reads != c.reads || c.found && !strings.Contains(why, c.why) ||
				strings.Join(d.Mirrors, " ") != c.mirrors || strings.Join(d.Insecure, " ") != c.insecure ||
				!strings.Contains(d.Unsettled, c.unsettled) || (d.Unsettled == "") != (c.unsettled == "") {
				t.Errorf("%+v\nfound %v, reads %s: %s", d, found, reads, why)
			}
			if strings.Contains(why+d.Unsettled, "hunter2") {
				t.Errorf("a secret is shown: %s %s", why, d.Unsettled)
			}
			if d.Rootless != (name == "rootless") {
				t.Errorf("rootless: %v", d.Rootless)
			}
		})
	}
}

// Without the API nothing shows whether Docker was reloaded after an edit of daemon.json. So
// neither its settings nor its image store are known until it is restarted.
func TestDockerChangedSinceItsStart(t *testing.T) {
	m := machine(t, plainDockerd+"-- root/etc/docker/daemon.json --\n{\"features\": {\"containerd-snapshotter\": true}}")
	var asked []string
	m.Version = says("Docker version 29.7.2, build abc\n", &asked)
	for _, c := range []struct {
		started time.Time
		reads   node.Reading
	}{{time.Now().Add(-time.Hour), node.CannotTell}, {time.Now().Add(time.Hour), node.Reads}} {
		dockerStarted(t, m, c.started)
		d, _, err := node.DiscoverDocker(t.Context(), m)
		if err != nil {
			t.Fatal(err)
		}
		reads, why := d.Reads()
		if reads != c.reads || (d.Unsettled == "") != (c.reads == node.Reads) {
			t.Errorf("started at %v: reads %s: %s; %s", c.started, reads, why, d.Unsettled)
		}
		if c.reads != node.Reads && !strings.HasSuffix(d.Unsettled, "its API does not answer (/run/docker.sock); restart Docker, or let berth reach that socket") {
			t.Errorf("no remedy: %s", d.Unsettled)
		}
	}
}

// dockerStarted sets the start time of dockerd, process 700.
func dockerStarted(t *testing.T, m node.Machine, at time.Time) {
	t.Helper()
	for name, text := range map[string]string{
		"stat": fmt.Sprintf("btime %d\n", at.Unix()-10),
		// 1000 ticks after the boot are ten seconds.
		"700/stat": "700 (dockerd) S " + strings.Repeat("1 ", 18) + "1000" + strings.Repeat(" 1", 22) + "\n",
	} {
		if err := os.WriteFile(filepath.Join(m.Proc, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// TestDockerByAPI checks that the running daemon has precedence over files and releases, and that its
// settings are added to those of the files.
func TestDockerByAPI(t *testing.T) {
	for name, c := range map[string]struct {
		info     fakedocker.Info
		reads    node.Reading
		mirrors  string
		insecure string
	}{
		"29":               {fakedocker.Info{Version: "29.7.2", APIVersion: "1.53"}, node.Reads, "https://file.corp", ""},
		"a source build":   {fakedocker.Info{Version: "library-import", APIVersion: "1.53"}, node.Reads, "https://file.corp", ""},
		"27":               {fakedocker.Info{Version: "27.5.1", APIVersion: "1.47"}, node.DoesNot, "https://file.corp", ""},
		"a graph driver":   {fakedocker.Info{Version: "29.7.2", APIVersion: "1.53", GraphDriver: true}, node.DoesNot, "https://file.corp", ""},
		"settings removed": {fakedocker.Info{Version: "29.7.2", APIVersion: "1.53", Mirrors: []string{"https://running.corp/"}, Insecure: []string{"r.corp"}, Networks: []string{"10.0.0.0/8"}}, node.Reads, "https://file.corp https://running.corp/", "10.0.0.0/8 r.corp"},
	} {
		t.Run(name, func(t *testing.T) {
			m := machine(t, plainDockerd+"-- root/etc/docker/daemon.json --\n"+`{"registry-mirrors": ["https://file.corp"], "features": {"containerd-snapshotter": true}}`)
			engine := fakedocker.Start(t, m.Root.Path("/run/docker.sock"), c.info)
			m.Version = func(context.Context, string) (string, error) {
				t.Error("dockerd --version is run although the API answers")
				return "", nil
			}
			d, found, err := node.DiscoverDocker(t.Context(), m)
			if err != nil || !found || d.NoAPI != nil {
				t.Fatalf("%+v, %v", d, err)
			}
			reads, why := d.Reads()
			if reads != c.reads || (why == "") != (c.reads == node.Reads) || d.Unsettled != "" ||
				strings.Join(d.Mirrors, " ") != c.mirrors || strings.Join(d.Insecure, " ") != c.insecure {
				t.Errorf("%+v\nreads %s: %s", d, reads, why)
			}
			if engine.Requests() != 2 {
				t.Errorf("%d requests, want 2", engine.Requests())
			}
		})
	}
}

// Podman can answer in Docker's place; that is no Docker Engine.
func TestDockerIsPodman(t *testing.T) {
	m := machine(t, "-- root/etc/hostname --\nnode\n")
	fakedocker.Start(t, m.Root.Path("/run/docker.sock"), fakedocker.Info{Version: "4.9.4", APIVersion: "1.41", Podman: true})
	d, found, err := node.DiscoverDocker(t.Context(), m)
	if err != nil || found || d.NoAPI == nil || !strings.Contains(d.NoAPI.Error(), "Podman") {
		t.Errorf("%+v, %v, %v", d, found, err)
	}
}

// A socket that nothing listens on, or that is something else, is no reason to fail.
func TestDockerSocketIsDead(t *testing.T) {
	m := machine(t, plainDockerd+"-- root/etc/docker/daemon.json --\n{\"hosts\": [\"fd://\", \"unix:///srv/d.sock\"]}")
	if err := os.MkdirAll(m.Root.Path("/srv"), 0o755); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("unix", m.Root.Path("/srv/d.sock"))
	if err != nil {
		t.Fatal(err)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	l.Close()
	var asked []string
	m.Version = says("Docker version 29.0.0, build x\n", &asked)
	d, found, err := node.DiscoverDocker(t.Context(), m)
	if err != nil || !found || d.Socket != "/srv/d.sock" || d.NoAPI == nil || !strings.Contains(d.NoAPI.Error(), "connection refused") {
		t.Errorf("%+v, %v", d, err)
	}
	if reads, why := d.Reads(); reads != node.Reads {
		t.Errorf("%s: %s", reads, why)
	}
	if !slices.Contains(asked, filepath.Join(m.Proc, "700", "exe")) {
		t.Errorf("asked %q", asked)
	}
}
