package e2e

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/berth-registry/berth/test/fakes/fakeaws"
)

// patience is how long the tests wait for events that take milliseconds on an idle machine.
const patience = time.Minute

// agentProcess is a running "berth agent".
type agentProcess struct {
	fixture *fixture
	cmd     *exec.Cmd
	addr    string        // of the status page
	ended   chan struct{} // closed when stderr is closed: the process has ended

	mu  sync.Mutex
	log strings.Builder
}

// awsEnv returns the environment of a node that reaches the Internet as its containerd does, and
// the fake AWS.
func (s *fixture) awsEnv(aws *fakeaws.Server) []string {
	s.Helper()
	// newDaemonFixture has written the authorities that the node trusts beside the root.
	roots := filepath.Join(filepath.Dir(s.root), "roots.pem")
	if _, err := os.Stat(roots); err != nil {
		s.Fatal(err)
	}
	env := append(aws.Env(), s.proxy.Env()...)
	return append(env, "SSL_CERT_FILE="+roots, "SSL_CERT_DIR="+filepath.Join(filepath.Dir(s.root), "none"),
		"HOME="+s.TempDir(), "PATH="+os.Getenv("PATH"))
}

// nodeKey is the key of the instance profile of every node.
func nodeKey() fakeaws.Key {
	return fakeaws.Key{ID: "ASIANODE", Secret: "secret of the node", Session: "session of the node"}
}

// startAWS starts an AWS with an instance profile that has all permissions.
func (s *fixture) startAWS(life time.Duration) *fakeaws.Server {
	s.Helper()
	aws, err := fakeaws.Start()
	if err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() { must(s.T, aws.Close()) })
	aws.SetTokenLife(life)
	aws.SetRole("node", nodeKey())
	return aws
}

// applyOnce runs apply in an environment.
func (s *fixture) applyOnce(env []string, config string) {
	s.Helper()
	s.writeConfig(config)
	cmd := exec.CommandContext(s.Context(), s.berth, "apply", "--config", s.config, "--root", s.root)
	cmd.Env = env
	if output, err := cmd.CombinedOutput(); err != nil {
		s.Fatalf("berth apply: %v\n%s\nconfig:\n%s", err, indent(string(output)), indent(config))
	}
}

// startAgent starts the agent with this RegistryConfig, given without its first two lines, and
// waits until it listens.
func (s *fixture) startAgent(env []string, config string) *agentProcess {
	s.Helper()
	s.writeConfig(config)
	cmd := exec.Command(s.berth, "agent", "--config", s.config, "--root", s.root, "--listen", "127.0.0.1:0")
	cmd.Env = env
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	stderr, err := cmd.StderrPipe()
	if err != nil {
		s.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		s.Fatal(err)
	}
	a := &agentProcess{fixture: s, cmd: cmd, ended: make(chan struct{})}
	address := make(chan string, 1)
	go a.follow(stderr, address)
	s.Cleanup(func() {
		a.stop()
		if s.Failed() {
			s.Logf("berth agent:\n%s", indent(a.Log()))
		}
	})
	select {
	case a.addr = <-address:
	case <-a.ended:
		s.Fatalf("berth agent ended at once:\n%s", indent(a.Log()))
	case <-time.After(patience):
		s.Fatalf("berth agent does not listen:\n%s", indent(a.Log()))
	}
	return a
}

// follow collects the log, and sends the address that the log names.
func (a *agentProcess) follow(stderr io.Reader, address chan<- string) {
	defer close(a.ended)
	lines := bufio.NewScanner(stderr)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		a.mu.Lock()
		a.log.Write(append(lines.Bytes(), '\n'))
		a.mu.Unlock()
		var line struct {
			Message string `json:"msg"`
			Address string `json:"address"`
		}
		if json.Unmarshal(lines.Bytes(), &line) == nil && line.Message == "listening" {
			select {
			case address <- line.Address:
			default:
			}
		}
	}
}

// Log returns everything that the agent has logged so far.
func (a *agentProcess) Log() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.log.String()
}

// get fetches a path of the status page.
func (a *agentProcess) get(path string) string {
	a.fixture.Helper()
	ctx, cancel := context.WithTimeout(a.fixture.Context(), patience)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+a.addr+path, nil)
	if err != nil {
		a.fixture.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		a.fixture.Fatalf("the agent's page: %v", err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		a.fixture.Fatal(err)
	}
	return fmt.Sprintf("%d\n%s", response.StatusCode, body)
}

// metric returns the first sample of a metric whose labels contain all of with.
func (a *agentProcess) metric(name string, with ...string) (value string, ok bool) {
	a.fixture.Helper()
line:
	for line := range strings.Lines(a.get("/metrics")) {
		sample, value, _ := strings.Cut(strings.TrimSpace(line), "} ")
		if !strings.HasPrefix(sample, name+"{") {
			continue
		}
		for _, label := range with {
			if !strings.Contains(sample, label) {
				continue line
			}
		}
		return value, true
	}
	return "", false
}

// mirrorIs reports whether the agent's metric for a mirror is 1 (it answers) or 0, as want says.
func (a *agentProcess) mirrorIs(want, upstream, addr string) bool {
	a.fixture.Helper()
	got, ok := a.metric("berth_mirror_up", fmt.Sprintf("upstream=%q", upstream), addr)
	return ok && got == want
}

// stop ends the agent as systemd would, and checks that it exits without an error. A second call
// does nothing.
func (a *agentProcess) stop() {
	a.fixture.Helper()
	if a.cmd == nil {
		return
	}
	if err := a.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		a.fixture.Errorf("berth agent has ended by itself: %v", err)
	}
	select {
	case <-a.ended:
	case <-time.After(patience):
		a.fixture.Error("berth agent does not end")
		_ = a.cmd.Process.Kill()
		<-a.ended
	}
	if err := a.cmd.Wait(); err != nil {
		a.fixture.Errorf("berth agent ended with %v", err)
	}
	a.cmd = nil
}

// hostsFile returns the hosts.toml of a directory of certs.d, "" if there is none.
func (s *fixture) hostsFile(dir string) string {
	s.Helper()
	content, err := os.ReadFile(filepath.Join(s.root, certsDir, dir, "hosts.toml"))
	if err != nil && !os.IsNotExist(err) {
		s.Fatal(err)
	}
	return string(content)
}

// until waits for a condition, and returns how long that took.
func (s *fixture) until(what string, limit time.Duration, holds func() bool) time.Duration {
	s.Helper()
	began := time.Now()
	for !holds() {
		if time.Since(began) > limit {
			s.Fatalf("after %s: still not so that %s", limit, what)
		}
		time.Sleep(5 * time.Millisecond)
	}
	return time.Since(began)
}
