package install_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/berth-registry/berth/internal/nodefs"
	"github.com/berth-registry/berth/node"
	"github.com/berth-registry/berth/node/install"
	"github.com/berth-registry/berth/test/fakes/fakedocker"
)

// dockerHost is a node with a Docker Engine that systemd runs. A restart reads daemon.json.
type dockerHost struct {
	*testing.T
	dir      string
	engine   *fakedocker.Engine
	info     fakedocker.Info
	starts   int
	restarts int
	broken   bool // Docker does not start with the feature
}

func newDockerHost(t *testing.T, settings string) *dockerHost {
	n := &dockerHost{T: t, dir: t.TempDir(), info: fakedocker.Info{Version: "28.5.2", APIVersion: "1.51", GraphDriver: true}}
	for _, f := range []struct{ name, content string }{
		{"root/usr/bin/dockerd", ""}, {"root/etc/docker/daemon.json", settings},
		{"proc/1/comm", "init\n"}, {"proc/sys/kernel/random/boot_id", "boot\n"},
	} {
		if f.name == "root/etc/docker/daemon.json" && settings == "" {
			continue
		}
		n.write(f.name, f.content)
	}
	n.start()
	n.engine = fakedocker.Start(t, filepath.Join(n.dir, "root/run/docker.sock"), n.info)
	return n
}

func (n *dockerHost) write(name, content string) {
	n.Helper()
	name = filepath.Join(n.dir, name)
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		n.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(content), 0o644); err != nil {
		n.Fatal(err)
	}
}

// start makes the process of dockerd; each start is another one.
func (n *dockerHost) start() {
	n.starts++
	n.write("proc/700/comm", "dockerd\n")
	n.write("proc/700/cmdline", "/usr/bin/dockerd\x00-H\x00fd://\x00")
	n.write("proc/700/cgroup", "0::/system.slice/docker.service\n")
	n.write("proc/700/stat", fmt.Sprintf("700 (dockerd) S 1 7 7 0 -1 0 0 0 0 0 0 0 0 0 20 0 9 0 %d 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0\n", n.starts))
}

func (n *dockerHost) settings() string {
	b, err := os.ReadFile(filepath.Join(n.dir, "root/etc/docker/daemon.json"))
	if err != nil {
		return ""
	}
	return string(b)
}

func (n *dockerHost) Reload(context.Context) error { return nil }

func (n *dockerHost) Restart(_ context.Context, unit string) error {
	n.restarts++
	if unit != "docker.service" {
		n.Errorf("restart of %s", unit)
	}
	var c struct{ Features map[string]bool }
	if text := n.settings(); text != "" {
		if err := json.Unmarshal([]byte(text), &c); err != nil {
			return err
		}
	}
	on := c.Features["containerd-snapshotter"]
	if on && n.broken {
		return errors.New("the job ended with \"failed\"")
	}
	n.info.GraphDriver = !on
	n.engine.Set(n.info)
	n.start()
	return nil
}

func (n *dockerHost) State(context.Context, string) (install.State, error) {
	return install.State{Active: "active", Invocation: fmt.Sprint(n.starts)}, nil
}

// run plans and carries out; it returns what was said.
func (n *dockerHost) run(o install.Options, plan func(*install.Installer, context.Context, install.Parts) (install.Plan, error), parts install.Parts) (install.Plan, string, error) {
	n.Helper()
	root, err := nodefs.OpenRoot(filepath.Join(n.dir, "root"))
	if err != nil {
		n.Fatal(err)
	}
	defer root.Close()
	var said []string
	o.Services, o.ReadyTimeout = n, time.Second
	o.Say = func(line string) { said = append(said, line) }
	in, err := install.New(node.Machine{Root: root, Proc: filepath.Join(n.dir, "proc")}, o)
	if err != nil {
		n.Fatal(err)
	}
	p, err := plan(in, n.Context(), parts)
	if err != nil {
		n.Fatal(err)
	}
	err = in.Do(n.Context(), p)
	return p, strings.Join(said, "\n"), err
}

var onlyDocker = install.Parts{Docker: true}

// TestDockerStore switches the image store with one restart, finds nothing more to do, and undoes
// it byte for byte.
func TestDockerStore(t *testing.T) {
	for name, before := range map[string]string{"no daemon.json": "", "settings": "{\n  \"log-driver\": \"local\"\n}\n"} {
		t.Run(name, func(t *testing.T) {
			n := newDockerHost(t, before)
			p, said, err := n.run(install.Options{}, (*install.Installer).Install, onlyDocker)
			if err != nil || n.restarts != 1 || n.info.GraphDriver || !strings.Contains(said, "checked: Docker uses the containerd image store") {
				t.Fatalf("%d restarts, %v\n%s", n.restarts, err, said)
			}
			s := p.Sections[0]
			if s.Restart == nil || s.Restart.Unit != "docker.service" || !strings.Contains(strings.Join(s.Notes, " "), "images of the present store are not seen") {
				t.Errorf("%+v", s)
			}
			if p, _, err := n.run(install.Options{}, (*install.Installer).Install, onlyDocker); err != nil || p.Needed() {
				t.Errorf("a second run: %+v, %v", p, err)
			}
			if _, said, err := n.run(install.Options{}, (*install.Installer).Uninstall, install.Parts{}); err != nil || n.settings() != before || n.restarts != 2 || !n.info.GraphDriver {
				t.Errorf("uninstall: %v, %d restarts\n%s\n%s", err, n.restarts, said, n.settings())
			}
		})
	}
}

// TestDockerStoreIsPutBack: if Docker does not start with it, everything is as before.
func TestDockerStoreIsPutBack(t *testing.T) {
	n := newDockerHost(t, "{\"debug\": true}\n")
	n.broken = true
	_, said, err := n.run(install.Options{}, (*install.Installer).Install, onlyDocker)
	var back *install.RollbackError
	if !errors.As(err, &back) || back.Err != nil || n.settings() != "{\"debug\": true}\n" || n.restarts != 2 {
		t.Errorf("%v, %d restarts\n%s\n%s", err, n.restarts, said, n.settings())
	}
	if _, err := os.Stat(filepath.Join(n.dir, "root/var/lib/berth/install/install.json")); err == nil {
		t.Error("the journal stays")
	}
}

// TestDockerStoreStopped stops a run at each step; the next one finishes.
func TestDockerStoreStopped(t *testing.T) {
	stop := errors.New("stopped")
	for at := 1; ; at++ {
		n := newDockerHost(t, "{\"debug\": true}\n")
		steps := 0
		o := install.Options{Step: func(string) error {
			if steps++; steps == at {
				return stop
			}
			return nil
		}}
		_, _, err := n.run(o, (*install.Installer).Install, onlyDocker)
		if err == nil {
			if at < 4 {
				t.Errorf("only %d steps", at)
			}
			break
		}
		if _, _, err := n.run(install.Options{}, (*install.Installer).Install, onlyDocker); err != nil || n.info.GraphDriver {
			t.Errorf("after a stop at step %d: %v\n%s", at, err, n.settings())
		}
		if _, _, err := n.run(install.Options{}, (*install.Installer).Uninstall, onlyDocker); err != nil || n.settings() != "{\"debug\": true}\n" {
			t.Errorf("uninstall after a stop at step %d: %v\n%s", at, err, n.settings())
		}
	}
}

// TestDockerStoreNoRestart leaves the restart to the operator, and sees that it was done.
func TestDockerStoreNoRestart(t *testing.T) {
	n := newDockerHost(t, "{}")
	if _, _, err := n.run(install.Options{NoRestart: true}, (*install.Installer).Install, onlyDocker); err != nil || n.restarts != 0 || !strings.Contains(n.settings(), "true") {
		t.Fatalf("%v, %d restarts, %s", err, n.restarts, n.settings())
	}
	if p, _, err := n.run(install.Options{NoRestart: true}, (*install.Installer).Install, onlyDocker); err != nil || p.Needed() {
		t.Errorf("before the restart: %+v, %v", p, err)
	}
	if err := n.Restart(t.Context(), "docker.service"); err != nil {
		t.Fatal(err)
	}
	if p, _, err := n.run(install.Options{}, (*install.Installer).Install, onlyDocker); err != nil || p.Needed() || n.restarts != 1 {
		t.Errorf("after the restart: %+v, %v", p, err)
	}
}

// TestDockerStoreContainers: the plan says what becomes of running containers.
func TestDockerStoreContainers(t *testing.T) {
	for _, c := range []struct {
		running int
		live    bool
		want    string
	}{
		{0, false, "no container runs now"},
		{1, false, "1 container runs: it will stop, and Docker will not start again"},
		{3, true, "3 containers run: they will go on, because live-restore is on"},
	} {
		n := newDockerHost(t, "")
		n.info.Containers, n.info.LiveRestore = c.running, c.live
		n.engine.Set(n.info)
		p, _, err := n.run(install.Options{}, (*install.Installer).Install, onlyDocker)
		if err != nil || !strings.Contains(p.Sections[0].Restart.Means, c.want) {
			t.Errorf("%+v, %v", p.Sections[0].Restart, err)
		}
	}
}

// TestDockerStoreEdited: an edit since is kept, and only our feature is removed.
func TestDockerStoreEdited(t *testing.T) {
	n := newDockerHost(t, "{\"debug\": true}\n")
	if _, _, err := n.run(install.Options{}, (*install.Installer).Install, onlyDocker); err != nil {
		t.Fatal(err)
	}
	n.write("root/etc/docker/daemon.json", strings.Replace(n.settings(), "true}\n", "false}\n", 1))
	if _, _, err := n.run(install.Options{}, (*install.Installer).Uninstall, onlyDocker); err != nil || strings.Contains(n.settings(), "containerd") || !strings.Contains(n.settings(), "false") {
		t.Errorf("%v\n%s", err, n.settings())
	}
}

// dockerdThat makes dockerd a script.
func (n *dockerHost) dockerdThat(script string) (program string) {
	n.Helper()
	n.write("root/usr/bin/dockerd", "#!/bin/sh\n"+script+"\n")
	program = filepath.Join(n.dir, "root/usr/bin/dockerd")
	if err := os.Chmod(program, 0o755); err != nil {
		n.Fatal(err)
	}
	return program
}

// refusesFile is a dockerd that accepts an empty daemon.json only.
const refusesFile = `[ "$1 $2" = "--validate --config-file=/dev/null" ]`

// TestValidateDocker: a dockerd that refuses an empty file too says nothing about the file; it misses
// something else, such as docker-proxy.
func TestValidateDocker(t *testing.T) {
	n := newDockerHost(t, "{}")
	file := filepath.Join(n.dir, "root/etc/docker/daemon.json")
	for script, refused := range map[string]bool{
		"exit 0": false, "exit 1": false, refusesFile: true, "command -v ls || exit 1\n" + refusesFile: true,
	} {
		if err := install.ValidateDocker(t.Context(), n.dockerdThat(script), file); (err != nil) != refused {
			t.Errorf("%s: %v", script, err)
		}
	}
	if err := install.ValidateDocker(t.Context(), filepath.Join(n.dir, "none"), file); err != nil {
		t.Errorf("no program: %v", err)
	}
}

// TestDockerStoreRefuses: what the feature cannot change is refused with its reason, and nothing is
// changed.
func TestDockerStoreRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		settings string
		info     func(*fakedocker.Info)
		want     string
	}{
		"an old release":     {"", func(i *fakedocker.Info) { i.Version, i.APIVersion = "27.5.1", "1.47" }, "upgrade Docker to 28 or later"},
		"a driver":           {`{"storage-driver": "overlay2"}`, nil, "storage-driver (overlay2) keeps it"},
		"a user remap":       {`{"userns-remap": "default"}`, nil, "userns-remap keeps it"},
		"no JSON":            {`{`, nil, "is not the JSON"},
		"rootless":           {"", func(i *fakedocker.Info) { i.Rootless = true }, "rootless"},
		"refused by dockerd": {`{"log-driver": "locla"}`, nil, "/etc/docker/daemon.json: was changed since Docker was started, and Docker would not start with it"},
		"features broken":    {`{"features": {"containerd-snapshotter": "yes"}}`, nil, "is not the JSON"},
	} {
		t.Run(name, func(t *testing.T) {
			n := newDockerHost(t, c.settings)
			if c.info != nil {
				c.info(&n.info)
				n.engine.Set(n.info)
			}
			o := install.Options{ValidateDocker: install.ValidateDocker}
			n.dockerdThat(refusesFile)
			_, said, err := n.run(o, (*install.Installer).Install, onlyDocker)
			if err == nil || !strings.Contains(err.Error(), c.want) || n.settings() != c.settings || n.restarts > 0 {
				t.Errorf("%v\n%s", err, said)
			}
		})
	}
}
