package agent

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/berth-registry/berth/agent/status"
	"github.com/berth-registry/berth/config"
	"github.com/berth-registry/berth/node/reconcile"
	"github.com/berth-registry/berth/test/nodetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// node is a machine with an agent on it.
type node struct {
	*testing.T
	dir    string // outside the root: config and secrets
	root   string
	config string
	o      Options
	// release is the version of its containerd, "" if it is not known.
	release string
	log     *logBuffer
	agent   *Agent
	stop    func()

	mu   sync.Mutex
	addr string
}

// logBuffer is a log that may be read while it is written.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// newNode is a machine on which no agent runs yet.
func newNode(t *testing.T) *node {
	t.Helper()
	t.Setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://127.0.0.1:1")
	dir := t.TempDir()
	n := &node{
		T: t, dir: dir, root: filepath.Join(dir, "root"), config: filepath.Join(dir, "etc", "config.yaml"),
		log: &logBuffer{},
	}
	n.o = Options{ConfigPath: n.config, Listen: "127.0.0.1:0", Version: "v0", listening: n.listens}
	n.write("etc/config.yaml", nodetest.Head)
	t.Cleanup(func() {
		n.end()
		if t.Failed() {
			t.Logf("log of the agent:\n%s", n.log)
		}
	})
	return n
}

func (n *node) listens(addr string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.addr = addr
}

// page returns the address that the agent listens on.
func (n *node) page() string {
	n.Helper()
	var addr string
	n.eventually("listening", func() bool {
		n.mu.Lock()
		defer n.mu.Unlock()
		addr = n.addr
		return addr != ""
	})
	return "http://" + addr
}

// start runs an agent until [node.end].
func (n *node) start() {
	n.Helper()
	m, err := reconcile.Open(n.root)
	if err != nil {
		n.Fatal(err)
	}
	nodetest.SetRelease(&m.Machine, n.release)
	n.listens("")
	n.o.Log = slog.New(slog.NewJSONHandler(n.log, nil))
	n.agent = New(m, n.o)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- n.agent.Run(ctx) }()
	n.stop = func() {
		cancel()
		begin := time.Now()
		if err := <-done; err != nil {
			n.Errorf("the agent ended with %v", err)
		}
		if took := time.Since(begin); took > time.Minute {
			n.Errorf("the agent took %s to end", took)
		}
		if err := m.Close(); err != nil {
			n.Error(err)
		}
	}
}

func (n *node) end() {
	if n.stop != nil {
		n.stop()
		n.stop = nil
	}
}

// write replaces a file below the test's directory atomically, as an editor does.
func (n *node) write(name, content string) {
	n.Helper()
	path := filepath.Join(n.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		n.Fatal(err)
	}
	if err := os.WriteFile(path+".tmp", []byte(content), 0o600); err != nil {
		n.Fatal(err)
	}
	if err := os.Rename(path+".tmp", path); err != nil {
		n.Fatal(err)
	}
}

// hosts returns the hosts.toml of an upstream without its first line, "" if it is missing.
func (n *node) hosts(dir string) string {
	b, err := os.ReadFile(n.hostsFile(dir))
	if err != nil {
		return ""
	}
	_, body, _ := strings.Cut(string(b), "\n")
	return body
}

func (n *node) hostsFile(dir string) string {
	return filepath.Join(n.root, nodetest.CertsDir, dir, "hosts.toml")
}

// eventually waits for a condition; a test that fails waits for the whole time.
func (n *node) eventually(what string, condition func() bool) {
	n.Helper()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if condition() {
			return
		}
	}
	b, _ := json.MarshalIndent(n.agent.Snapshot(), "", " ")
	n.Fatalf("not within a minute: %s\n%s", what, b)
}

// waitForHost waits until an upstream's hosts.toml names a host, or does not.
func (n *node) waitForHost(dir, host string, want bool) {
	n.Helper()
	n.eventually("hosts.toml of "+dir+" names "+host+": "+map[bool]string{true: "yes", false: "no"}[want], func() bool {
		body := n.hosts(dir)
		return body != "" && strings.Contains(body, host) == want
	})
}

func (n *node) converged() {
	n.Helper()
	n.eventually("converged", func() bool { return n.agent.Snapshot().Phase == status.Converged })
}

// nextPass waits until the loop has run one whole pass more.
func (n *node) nextPass() {
	n.Helper()
	before := n.agent.Snapshot().Converge.Runs
	n.agent.Wake()
	n.eventually("two more turns", func() bool {
		n.agent.Wake()
		return n.agent.Snapshot().Converge.Runs >= before+2
	})
}

func mirrorTo(url string) string {
	return nodetest.Head + "mirrors:\n- upstream: quay.io\n  endpoints:\n  - url: " + url + "\nhealth: {mode: \"off\"}\n"
}

// apply does what berth apply does.
func (n *node) apply(t *testing.T, text string) error {
	t.Helper()
	m, err := reconcile.Open(n.root)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	nodetest.SetRelease(&m.Machine, n.release)
	cfg, _, err := config.Parse("config.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	_, err = m.Apply(t.Context(), cfg, nil)
	return err
}

// openNode opens the node below root as a command does.
func openNode(t *testing.T, root string) *reconcile.Node {
	t.Helper()
	t.Setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://127.0.0.1:1")
	m, err := reconcile.Open(root)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return m
}
