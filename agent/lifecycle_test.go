package agent

import (
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/berth-registry/berth/agent/status"
	"github.com/berth-registry/berth/internal/nodefs"
	"github.com/berth-registry/berth/node/reconcile"
)

func TestASecondAgentWaits(t *testing.T) {
	n := newNode(t)
	n.write("etc/config.yaml", mirrorTo("https://a.corp"))
	n.start()
	n.waitForHost("quay.io", "a.corp", true)

	second := newNode(t)
	second.root = n.root
	second.write("etc/config.yaml", mirrorTo("https://b.corp"))
	second.start()
	second.eventually("waits", func() bool { return second.agent.Snapshot().Phase == status.Waiting })
	if s := second.agent.Snapshot(); s.Ready.Ready || !strings.Contains(second.log.String(), "another agent runs") {
		t.Errorf("%+v\n%s", s.Ready, second.log)
	}
	response, err := http.Get(second.page() + "/readyz")
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if response.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("the one that waits says %s", response.Status)
	}
	n.nextPass()
	n.waitForHost("quay.io", "a.corp", true)
	n.end()
	second.waitForHost("quay.io", "b.corp", true)
}

// A lock file that was removed is made again, and still excludes other agents.
func TestLockFileIsMadeAgain(t *testing.T) {
	n := newNode(t)
	n.write("etc/config.yaml", mirrorTo("https://a.corp"))
	n.start()
	n.converged()
	lock := filepath.Join(n.root, reconcile.AgentLockFile)
	for name, damage := range map[string]func() error{
		"removed":            func() error { return os.Remove(lock) },
		"replaced":           func() error { return os.Rename(n.config, lock) },
		"with its directory": func() error { return os.RemoveAll(filepath.Join(n.root, "run")) },
	} {
		before := strings.Count(n.log.String(), "lock file was removed")
		if err := damage(); err != nil {
			t.Fatal(name, err)
		}
		n.eventually(name+" is noticed", func() bool { return strings.Count(n.log.String(), "lock file was removed") > before })
		if held, err := nodefs.Locked(n.agent.node.Root, reconcile.AgentLockFile); err != nil || !held {
			t.Errorf("%s: held %t, %v", name, held, err)
		}
		n.write("etc/config.yaml", mirrorTo("https://a.corp"))
	}
	n.eventually("it continues", func() bool { s := n.agent.Snapshot(); return s.Phase == status.Converged && s.Ready.Ready })
}

// Another agent was faster than the one whose lock file was removed: that one waits.
func TestWaitsForTheAgentWithTheLock(t *testing.T) {
	for _, restore := range []bool{false, true} {
		n := newNode(t)
		// It does not notice by itself, so that the other one is faster.
		n.o.watchUnavailable, n.o.resync, n.o.Restore = true, time.Hour, restore
		n.write("etc/config.yaml", mirrorTo("https://a.corp"))
		n.start()
		n.eventually("works", func() bool { return n.agent.Snapshot().Ready.Ready })
		second := newNode(t)
		second.root = n.root
		second.write("etc/config.yaml", mirrorTo("https://b.corp"))
		second.start()
		second.eventually("waits", func() bool { return second.agent.Snapshot().Phase == status.Waiting })
		second.eventually("is faster", func() bool {
			if second.agent.Snapshot().Phase == status.Waiting {
				// More than once, if the first one was in the middle of a pass.
				_ = os.Remove(filepath.Join(n.root, reconcile.AgentLockFile))
				time.Sleep(2 * relockEvery)
			}
			return second.agent.Snapshot().Phase == status.Converged
		})
		second.waitForHost("quay.io", "b.corp", true)

		n.eventually("waits", func() bool { n.agent.Wake(); return n.agent.Snapshot().Phase == status.Waiting })
		before := second.agent.Snapshot().Files.Written
		for range 3 {
			n.agent.Wake()
			second.nextPass()
		}
		if s := second.agent.Snapshot(); s.Phase != status.Converged || s.Files.Written != before {
			t.Errorf("they fight: %s, %d files written", s.Phase, s.Files.Written-before)
		}
		if n.agent.Snapshot().Ready.Ready {
			t.Error("the one that waits is ready")
		}

		// An agent that waits releases no lock of another at its end.
		n.end()
		if held, err := nodefs.Locked(second.agent.node.Root, reconcile.AgentLockFile); err != nil || !held {
			t.Errorf("held %t, %v", held, err)
		}
		n.start()
		n.eventually("waits again", func() bool { return n.agent.Snapshot().Phase == status.Waiting })
		second.end()
		n.eventually("works again", func() bool { return n.agent.Snapshot().Ready.Ready })
		n.end()
	}
}

// An agent that cannot make its lock file does not work, and the error says what to do.
func TestLockFileCannotBeMade(t *testing.T) {
	n := newNode(t)
	m := openNode(t, n.root)
	if err := os.WriteFile(filepath.Join(n.root, "run"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	n.o.Log, n.o.Listen = slog.New(slog.DiscardHandler), ""
	err := New(m, n.o).Run(t.Context())
	if err == nil || !strings.Contains(err.Error(), "make /run/berth a directory that root can write") {
		t.Error(err)
	}
}

func TestRestoreAndStay(t *testing.T) {
	n := newNode(t)
	file := n.hostsFile("quay.io")
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	const foreign = "server = \"https://theirs.corp\"\n"
	if err := os.WriteFile(file, []byte(foreign), 0o640); err != nil {
		t.Fatal(err)
	}
	n.write("etc/config.yaml", mirrorTo("https://a.corp")+"containerd: {onConflict: adopt}\n")
	n.start()
	n.waitForHost("quay.io", "a.corp", true)
	n.end()
	n.o.Restore = true
	n.start()
	n.eventually("restored and ready", func() bool { s := n.agent.Snapshot(); return s.Phase == status.Restored && s.Ready.Ready })
	if b, err := os.ReadFile(file); err != nil || string(b) != foreign {
		t.Errorf("%v\n%s", err, b)
	}
	if _, err := os.Stat(filepath.Join(n.root, reconcile.StateDir, "state.json")); err == nil {
		t.Error("the record is left")
	}
	response, err := http.Get(n.page() + "/readyz")
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if response.StatusCode != http.StatusOK {
		t.Error(response.Status)
	}
}

func TestReload(t *testing.T) {
	n := newNode(t)
	reload := make(chan os.Signal)
	n.o.Reload, n.o.watchUnavailable, n.o.resync = reload, true, time.Hour
	n.write("etc/config.yaml", mirrorTo("https://a.corp"))
	n.start()
	n.waitForHost("quay.io", "a.corp", true)
	n.converged()
	n.write("etc/config.yaml", mirrorTo("https://b.corp"))
	reload <- syscall.SIGHUP
	n.waitForHost("quay.io", "b.corp", true)
}

func TestServesStatusPage(t *testing.T) {
	n := newNode(t)
	taken, err := net.Listen("tcp", reserve(t))
	if err != nil {
		t.Fatal(err)
	}
	n.o.Listen = taken.Addr().String()
	const canary = "c4n4ry-of-the-password"
	n.write("etc/config.yaml", mirrorTo("https://a.corp")+"registries: [{host: a.corp, username: u, password: "+canary+"}]\n")
	n.start()
	// The address is in use: the node is still kept as the config says.
	n.waitForHost("quay.io", "Basic ", true)
	n.eventually("it is logged", func() bool { return strings.Contains(n.log.String(), "status page cannot be served") })
	taken.Close()
	for path, want := range map[string]string{
		"/": "quay.io", "/metrics": "berth_", "/status": `"phase"`, "/livez": "ok", "/readyz": "ok",
	} {
		n.converged()
		response, err := http.Get(n.page() + path)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(response.Body)
		response.Body.Close()
		if err != nil || response.StatusCode != http.StatusOK || !strings.Contains(string(body), want) {
			t.Errorf("%s: %s %v\n%s", path, response.Status, err, body)
		}
		header := n.hosts("quay.io")
		_, header, _ = strings.Cut(header, "Basic ")
		header, _, _ = strings.Cut(header, `"`)
		if len(header) < 10 || strings.Contains(string(body), canary) || strings.Contains(string(body), header) {
			t.Errorf("%s shows a secret", path)
		}
	}
	if strings.Contains(n.log.String(), canary) {
		t.Error("the log shows a secret")
	}
	http.DefaultClient.CloseIdleConnections()
}

// TestNotifiesSystemd checks the messages that systemd receives.
func TestNotifiesSystemd(t *testing.T) {
	n := newNode(t)
	path := filepath.Join(n.dir, "notify")
	socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	t.Setenv("NOTIFY_SOCKET", path)
	t.Setenv("WATCHDOG_USEC", "600000")
	n.write("etc/config.yaml", mirrorTo("https://a.corp"))
	n.start()
	heard := map[string]bool{}
	listen := func(want string) {
		t.Helper()
		buf := make([]byte, 4096)
		for !heard[want] {
			if err := socket.SetReadDeadline(time.Now().Add(30 * time.Second)); err != nil {
				t.Fatal(err)
			}
			length, err := socket.Read(buf)
			if err != nil {
				t.Fatalf("%q was never heard, but %v: %v", want, heard, err)
			}
			heard[string(buf[:length])] = true
		}
	}
	listen("READY=1")
	if n.hosts("quay.io") == "" {
		t.Error("READY before there was a file")
	}
	listen("WATCHDOG=1")
	listen("STATUS=converged; 2 files, 1 upstream, no alarm")
	n.end()
	listen("STOPPING=1")
}
