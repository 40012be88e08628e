package nodeconfig

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/berth-registry/berth/test/e2e/parts"
	"github.com/berth-registry/berth/test/gobuild"
)

const mainConfig = "/etc/containerd/config.toml"

// TestInstall runs berth install, doctor and uninstall on a machine whose containerd runs with the
// output of its own "config default". Before and after each step berth doctor must say of hosts.toml
// files what a pull shows; uninstall restores /etc byte for byte.
func TestInstall(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Fatal("containerd needs root: run make e2e as root")
	}
	set, err := parts.Locate(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	berth := berthBinary(t)
	for _, program := range set.Containerd {
		t.Run(program.Version, func(t *testing.T) {
			t.Parallel()
			config, err := exec.CommandContext(t.Context(), program.Daemon, "config", "default").Output()
			if err != nil {
				t.Fatal(err)
			}
			m := startMachine(t, program, berth, config)
			before := m.etc()
			m.honours(false)
			m.run(berth, "install", "--containerd", "--no-restart", "--yes")
			m.restart()
			m.honours(true)
			m.run(berth, "uninstall", "--containerd", "--no-restart", "--yes")
			m.restart()
			m.honours(false)
			if after := m.etc(); after != before {
				t.Errorf("uninstall leaves in /etc\n%s\nwhere there was\n%s", after, before)
			}
		})
	}
}

// berthBinary returns $BERTH_BIN, or berth built from this checkout.
func berthBinary(t *testing.T) string {
	t.Helper()
	path := os.Getenv("BERTH_BIN")
	if path == "" {
		path = filepath.Join(t.TempDir(), "berth")
		if err := gobuild.Programs(t.Context(), filepath.Join("..", "..", ".."), path, "./cmd/berth"); err != nil {
			t.Fatal(err)
		}
	}
	return path
}

// machine is a node with the programs of this one.
type machine struct {
	*testing.T
	*node
	berth string
	asked atomic.Int32 // requests to the mirror
}

func startMachine(t *testing.T, program parts.Containerd, berth string, config []byte) *machine {
	t.Helper()
	m := &machine{T: t, berth: berth}
	var err error
	m.node, err = start(program, trial{
		main: mainConfig, files: map[string][]byte{mainConfig: config}, restarts: true,
		want: verdict{honoured: true, certsDir: "/etc/containerd/certs.d"}, // of hosts.toml files
	}, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		m.asked.Add(1)
		http.NotFound(w, nil)
	}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(m.log())
		}
		if err := m.close(); err != nil {
			t.Error(err)
		}
	})
	m.ready()
	return m
}

// ready waits until the CRI is ready.
func (m *machine) ready() {
	m.Helper()
	ctx, cancel := context.WithTimeout(m.Context(), time.Minute)
	defer cancel()
	if got, err := m.wait(ctx); err != nil || got != ready {
		m.Fatalf("%s, and not: %s: %v", got, ready, err)
	}
}

// child returns the only child of a process.
func (m *machine) child(pid int) int {
	m.Helper()
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	var child int
	if _, scanErr := fmt.Sscan(string(raw), &child); err != nil || scanErr != nil {
		m.Fatalf("process %d has no child: %v, %v", pid, err, scanErr)
	}
	return child
}

// restart ends the daemon; the script starts it again.
func (m *machine) restart() {
	m.Helper()
	daemon := m.child(m.child(m.cmd.Process.Pid))
	if err := unix.Kill(daemon, unix.SIGKILL); err != nil {
		m.Fatal(err)
	}
	for end := time.Now().Add(time.Minute); unix.Kill(daemon, 0) == nil; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			m.Fatalf("containerd, process %d, does not end", daemon)
		}
	}
	m.ready()
}

// inside is a command on the machine.
func (m *machine) inside(args ...string) *exec.Cmd {
	m.Helper()
	target := fmt.Sprint(m.child(m.cmd.Process.Pid))
	cmd := exec.CommandContext(m.Context(), "nsenter", append([]string{"--target", target, "--mount", "--pid", "--net", "--"}, args...)...)
	cmd.Env = append(os.Environ(), "AWS_EC2_METADATA_SERVICE_ENDPOINT=http://127.0.0.1:1")
	return cmd
}

func (m *machine) run(args ...string) string {
	m.Helper()
	out, err := m.inside(args...).CombinedOutput()
	if err != nil {
		m.Fatalf("%s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// etc returns the paths, modes and hashes of the machine's /etc.
func (m *machine) etc() string {
	m.Helper()
	return m.run("sh", "-c", `find /etc -printf '%p %y %m\n' | sort; find /etc -type f | sort | xargs sha256sum`)
}

// honours checks that a pull asks the mirror of hosts.toml, or does not, and that berth doctor says
// so.
func (m *machine) honours(want bool) {
	m.Helper()
	before := m.asked.Load()
	ctx, cancel := context.WithTimeout(m.Context(), time.Minute)
	defer cancel()
	m.pull(ctx)
	if got := m.asked.Load() > before; got != want {
		m.Errorf("the mirror was asked: %t, want %t", got, want)
	}
	out, err := m.inside(m.berth, "doctor", "-o", "json").Output() // exit code 1: a check fails
	var checks []struct{ Name, Level, Detail string }
	if jsonErr := json.Unmarshal(out, &checks); jsonErr != nil {
		m.Fatalf("berth doctor: %v, %v\n%s", err, jsonErr, out)
	}
	says := slices.ContainsFunc(checks, func(c struct{ Name, Level, Detail string }) bool { return c.Name == "config-path" && c.Level == "ok" })
	if says != want {
		m.Errorf("berth doctor says that hosts.toml files are read: %t, and the mirror is asked: %t\n%s", says, want, out)
	}
}
