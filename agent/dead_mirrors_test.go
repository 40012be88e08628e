package agent

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/berth-registry/berth/agent/status"
	"github.com/berth-registry/berth/config"
	"github.com/berth-registry/berth/credprovider"
	"github.com/berth-registry/berth/test/nodetest"
)

// mirror is a registry that can die and come back on the same port.
type mirror struct {
	addr    string
	handler http.Handler
	server  *http.Server
	done    chan struct{}
	asked   atomic.Int64
}

func newMirror(t *testing.T, handler http.Handler) *mirror {
	t.Helper()
	m := &mirror{addr: reserve(t), handler: handler}
	m.live(t)
	t.Cleanup(func() { m.die() })
	return m
}

// reserve returns a local address on which nothing listens and which no other process gets
// while the test runs, neither for a listener nor for an outgoing connection. Go's listeners
// share it.
func reserve(t *testing.T) (addr string) {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(fd) })
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err != nil {
		t.Fatal(err)
	}
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	name, err := unix.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("127.0.0.1:%d", name.(*unix.SockaddrInet4).Port)
}

func (m *mirror) live(t *testing.T) {
	t.Helper()
	l, err := net.Listen("tcp", m.addr)
	if err != nil {
		t.Fatal(err)
	}
	m.server = &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		m.asked.Add(1)
		if m.handler != nil {
			m.handler.ServeHTTP(w, r)
		}
	})}
	m.done = make(chan struct{})
	go func(s *http.Server, done chan struct{}) { _ = s.Serve(l); close(done) }(m.server, m.done)
}

func (m *mirror) die() {
	_ = m.server.Close()
	<-m.done
}

// quick is for mirrors that refuse connections when they are dead, so the timeout may be long.
const quick = "health: {interval: 1s, timeout: 1s, failures: 2, successes: 2}\n"

func mirrorsOf(upstream string, fallback bool, urls ...string) string {
	c := nodetest.Head + "mirrors:\n- upstream: " + upstream + "\n  endpoints:\n"
	for _, u := range urls {
		c += "  - url: " + u + "\n"
	}
	return c + fmt.Sprintf("  upstreamFallback: %v\n", fallback) + quick
}

func TestWithdrawsADeadMirror(t *testing.T) {
	n := newNode(t)
	first, second := newMirror(t, nil), newMirror(t, nil)
	text := mirrorsOf("quay.io", false, "http://"+first.addr, "http://"+second.addr)
	cfg, _, err := config.Parse("config.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	n.write("etc/config.yaml", text)
	n.start()
	n.waitForHost("quay.io", first.addr, true)

	first.die()
	n.waitForHost("quay.io", first.addr, false)
	if body := n.hosts("quay.io"); strings.Contains(body, "https://quay.io") || !strings.Contains(body, second.addr) {
		t.Errorf("an upstream that the config does not name:\n%s", body)
	}
	n.eventually("it is reported", func() bool {
		e := n.agent.Snapshot().Mirrors[0].Endpoints
		return e[0].State == status.Down && e[0].Withdrawn && e[1].State == status.Up && !e[1].Withdrawn
	})
	other := n.waitForEmptyPlan()

	// The last endpoint stays, even if it does not answer.
	second.die()
	n.waitForHost("quay.io", first.addr, true)
	n.waitForHost("quay.io", second.addr, true)
	if body := n.hosts("quay.io"); strings.Contains(body, "https://quay.io") {
		t.Errorf("an upstream that the config does not name:\n%s", body)
	}
	found := map[string]bool{}
	for _, a := range status.Alarms(n.agent.Snapshot()) {
		found[a.Name] = true
	}
	if !found["AllMirrorsDown"] {
		t.Errorf("%v", found)
	}

	second.live(t)
	n.waitForHost("quay.io", first.addr, false)
	first.live(t)
	n.waitForHost("quay.io", first.addr, true)
	n.waitForHost("quay.io", second.addr, true)
	n.end()
	if plan, err := other.Plan(t.Context(), cfg); err != nil || plan.Differs() {
		t.Errorf("%v %v", plan.Changes(), err)
	}
}

// The only mirror: it is withdrawn if the upstream answers.
func TestWithdrawsForTheUpstream(t *testing.T) {
	n := newNode(t)
	only, upstream := newMirror(t, nil), newMirror(t, nil)
	n.write("etc/config.yaml", mirrorsOf(upstream.addr, true, "http://"+only.addr))
	n.start()
	dir := strings.ReplaceAll(upstream.addr, ":", "_") + "_"
	n.waitForHost(dir, only.addr, true)
	time.Sleep(50 * time.Millisecond)
	// On a machine that stalls for seconds the mirror may seem dead.
	if asked := upstream.asked.Load(); asked > 0 && !strings.Contains(n.log.String(), "registry does not answer") {
		t.Errorf("the upstream was asked %d times though the mirror answers", asked)
	}
	only.die()
	n.waitForHost(dir, only.addr, false)
	upstream.die()
	n.waitForHost(dir, only.addr, true)
	upstream.live(t)
	n.waitForHost(dir, only.addr, false)
	only.live(t)
	n.waitForHost(dir, only.addr, true)
}

func TestHealthModeReport(t *testing.T) {
	n := newNode(t)
	first, second := newMirror(t, nil), newMirror(t, nil)
	config := mirrorsOf("quay.io", false, "http://"+first.addr, "http://"+second.addr)
	n.write("etc/config.yaml", strings.Replace(config, "health: {", "health: {mode: report, ", 1))
	n.start()
	n.waitForHost("quay.io", first.addr, true)
	first.die()
	n.eventually("it is reported", func() bool {
		m := n.agent.Snapshot().Mirrors
		return len(m) == 1 && m[0].Endpoints[0].State == status.Down && !m[0].Endpoints[0].Withdrawn
	})
	n.nextPass()
	n.waitForHost("quay.io", first.addr, true)
	// With mode withdraw it is removed; with mode off it returns.
	n.write("etc/config.yaml", config)
	n.waitForHost("quay.io", first.addr, false)
	n.write("etc/config.yaml", strings.Replace(config, "health: {", "health: {mode: \"off\", ", 1))
	n.waitForHost("quay.io", first.addr, true)
}

// A withdrawn mirror may return before kubelet asks again: a credential that it must not see is
// withheld in the meantime.
func TestWithdrawnMirrorIsInRules(t *testing.T) {
	n := newNode(t)
	only, upstream := newMirror(t, nil), newMirror(t, nil)
	n.write("etc/config.yaml", mirrorsOf(upstream.addr, true, "http://"+only.addr)+
		"registries: [{host: \""+upstream.addr+"\", username: u, password: p, auth: token}]\n")
	n.start()
	dir := strings.ReplaceAll(upstream.addr, ":", "_") + "_"
	n.waitForHost(dir, only.addr, true)
	n.converged()
	withheld := func() {
		t.Helper()
		var w *credprovider.WithheldError
		if who, err := nodetest.ServedLogin(t, n.root, upstream.addr+"/app"); !errors.As(err, &w) {
			t.Errorf("served as %q (%v)", who, err)
		}
	}
	withheld()
	only.die()
	n.waitForHost(dir, only.addr, false)
	n.nextPass()
	withheld()
}

// A refused login is reported, also where images name the registry itself: pulled directly, or
// behind a mirror.
func TestReportsAWrongLogin(t *testing.T) {
	for _, c := range []struct {
		name   string
		config func(registry, mirror string) string
	}{
		{"directly", func(string, string) string { return nodetest.Head + quick }},
		{"behind a mirror", func(registry, mirror string) string { return mirrorsOf(registry, true, "http://"+mirror) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			n := newNode(t)
			other := newMirror(t, nil)
			registry := newMirror(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if _, password, _ := r.BasicAuth(); password != "right" {
					w.Header().Set("WWW-Authenticate", `Basic realm="x"`)
					w.WriteHeader(http.StatusUnauthorized)
				}
			}))
			login := func(password string) string {
				return "registries: [{host: \"" + registry.addr + "\", username: u, password: " + password + "}]\n"
			}
			n.write("etc/config.yaml", c.config(registry.addr, other.addr)+login("wrong"))
			n.start()
			alarm := func() string {
				for _, a := range status.Alarms(n.agent.Snapshot()) {
					if a.Name == "LoginRefused" && a.Subject == "http://"+registry.addr {
						return a.Message
					}
				}
				return ""
			}
			n.eventually("it is reported", func() bool { return strings.Contains(alarm(), "login of "+registry.addr+" is refused") })
			r := n.agent.Snapshot().Registries
			if len(r) != 1 || r[0].Basic != status.BasicWrong || r[0].State != status.Up || r[0].RequestsPerHour < 3600 {
				t.Errorf("%+v", r)
			}
			n.write("etc/config.yaml", c.config(registry.addr, other.addr)+login("right"))
			n.eventually("the alarm ends", func() bool { return alarm() == "" })
		})
	}
}
