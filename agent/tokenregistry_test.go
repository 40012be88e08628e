package agent

import (
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/berth-registry/berth/agent/status"
	"github.com/berth-registry/berth/config"
	"github.com/berth-registry/berth/node/reconcile"
	"github.com/berth-registry/berth/test/nodetest"
)

// A registry that accepts only tokens: what the agent writes is what apply and plan want, with
// every release of containerd.
func TestTokenRegistryForAgentAndApply(t *testing.T) {
	for _, c := range []struct {
		name, release string
		realm         string // "" for the registry itself
		header        bool
		basic         status.Basic
		alarm         string
	}{
		{"before 2.1", "1.7.28", "", false, status.BasicRefused, "containerd 1.7.28 requests them without the header"},
		{"from 2.1 on", "2.4.2", "", true, status.BasicToken, ""},
		{"a release that is not known", "", "", true, status.BasicRefused, "before 2.1"},
		{"a token server of another domain", "2.4.2", "https://evil.example", false, status.BasicRefused, "https://evil.example, which is not of its domain"},
	} {
		t.Run(c.name, func(t *testing.T) {
			n := newNode(t)
			n.release = c.release
			m := newMirror(t, nil)
			m.handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				realm := c.realm
				if realm == "" {
					realm = "http://" + m.addr
				}
				w.Header().Set("WWW-Authenticate", `Bearer realm="`+realm+`/token",service="x"`)
				w.WriteHeader(http.StatusUnauthorized)
			})
			login := "registries:\n- host: " + m.addr + "\n  username: u\n  password: p\n"
			text := mirrorsOf("quay.io", true, "http://"+m.addr) + login
			n.write("etc/config.yaml", text)
			n.start()
			seen := func() status.Endpoint {
				if mirrors := n.agent.Snapshot().Mirrors; len(mirrors) > 0 {
					return mirrors[0].Endpoints[0]
				}
				return status.Endpoint{}
			}
			n.eventually("it is seen what the registry takes", func() bool {
				body := n.hosts("quay.io")
				return seen().Basic == c.basic && strings.Contains(body, m.addr) && strings.Contains(body, "Authorization") == c.header
			})
			alarms := ""
			for _, a := range status.Alarms(n.agent.Snapshot()) {
				if a.Name == "LoginRefused" {
					alarms += a.Message
				}
			}
			if !strings.Contains(alarms, c.alarm) || (c.alarm == "") != (alarms == "") {
				t.Errorf("alarms %q, want %q", alarms, c.alarm)
			}
			n.end()

			another, err := reconcile.Open(n.root)
			if err != nil {
				t.Fatal(err)
			}
			defer another.Close()
			nodetest.SetRelease(&another.Machine, c.release)
			cfg, _, err := config.Parse("config.yaml", []byte(text))
			if err != nil {
				t.Fatal(err)
			}
			if plan, err := another.Plan(t.Context(), cfg); err != nil || plan.Differs() {
				t.Errorf("plan wants something else than the agent: %v, %v", plan.Changes(), err)
			}
			if err := n.apply(t, text); err != nil || strings.Contains(n.hosts("quay.io"), "Authorization") != c.header {
				t.Errorf("apply wants something else than the agent: %v\n%s", err, n.hosts("quay.io"))
			}
			if err := n.apply(t, text+"  auth: basic\n"); err != nil || !strings.Contains(n.hosts("quay.io"), "Authorization") {
				t.Errorf("auth: basic is not believed: %v\n%s", err, n.hosts("quay.io"))
			}
		})
	}
}

// tokensAt is a registry that accepts only tokens.
type tokensAt struct {
	mu    sync.Mutex
	realm string
	// header reports whether the agent's file has a header; nil if probes are not counted.
	header func() bool
	// probes counts the requests of the API root that came while the file had the header, since
	// the token server changed.
	probes int
}

func (r *tokensAt) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if q.URL.Path == "/v2/" && r.header != nil && r.header() {
		r.probes++
	}
	w.Header().Set("WWW-Authenticate", `Bearer realm="`+r.realm+`/token",service="x"`)
	w.WriteHeader(http.StatusUnauthorized)
}

// names changes the token server.
func (r *tokensAt) names(realm string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.realm, r.probes = realm, 0
}

func (r *tokensAt) probed() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.probes
}

// If a registry names another token server, the next probe takes the header away, with an alarm that
// names both. It returns when the config lists the new one, or when the registry names the old one
// again.
func TestTokenServerChanges(t *testing.T) {
	// One probe sees the change. The next ones may come before the file is written, one a second.
	const most = 6
	n := newNode(t)
	n.release = "2.4.2"
	registry := &tokensAt{header: func() bool { return strings.Contains(n.hosts("quay.io"), "Authorization") }}
	m := newMirror(t, nil)
	m.handler = registry
	own := "http://" + m.addr
	registry.names(own)
	text := func(listed string) string {
		return mirrorsOf("quay.io", true, own) + "registries:\n- {host: \"" + m.addr +
			"\", username: u, password: p, tokenRealms: [" + listed + "]}\n"
	}
	n.write("etc/config.yaml", text(""))
	n.start()
	header := func(want bool) bool {
		body := n.hosts("quay.io")
		return strings.Contains(body, m.addr) && strings.Contains(body, "Authorization") == want
	}
	alarm := func() string {
		for _, a := range status.Alarms(n.agent.Snapshot()) {
			if a.Name == "LoginRefused" {
				return a.Message
			}
		}
		return ""
	}
	n.eventually("the header is written", func() bool { return header(true) })
	for _, other := range []struct{ realm, listed, why string }{
		{"http://127.0.0.1:1", `"127.0.0.1:1"`, "http://127.0.0.1:1, and the registry named " + own + " before"},
		{"https://auth.example", "auth.example", "https://auth.example, which is not of its domain, and the registry named"},
	} {
		registry.names(other.realm)
		n.eventually("the header is gone", func() bool { return header(false) })
		if probes := registry.probed(); probes < 1 || probes > most {
			t.Errorf("%s: the header is gone after %d probes, want 1 to %d", other.realm, probes, most)
		}
		n.eventually("an alarm names both", func() bool { return strings.Contains(alarm(), other.why) })
		if remedy := "tokenRealms: [" + `"` + strings.Trim(other.listed, `"`) + `"]`; !strings.Contains(alarm(), remedy) {
			t.Errorf("the alarm does not say %s: %s", remedy, alarm())
		}
		n.write("etc/config.yaml", text(other.listed))
		n.eventually("the listed server gets the header", func() bool { return header(true) && alarm() == "" })
		n.write("etc/config.yaml", text(""))
		registry.names(own)
		n.eventually("the header is back", func() bool {
			return header(true) && alarm() == "" && n.agent.Snapshot().Mirrors[0].Endpoints[0].TokenServer == own
		})
	}
}

// No file with a login is written before the agent has asked the registry which token server it
// names.
func TestHeaderWaitsForTheFirstProbe(t *testing.T) {
	n := newNode(t)
	n.release = "2.4.2"
	registry := &tokensAt{realm: "https://evil.example"}
	m, late := newMirror(t, nil), newMirror(t, nil)
	m.handler, late.handler = registry, registry
	with := func(addr string) string {
		return "registries:\n- {host: \"" + addr + "\", username: u, password: p}\n"
	}
	n.write("etc/config.yaml", mirrorsOf("quay.io", true, "http://"+m.addr)+with(m.addr))
	seen := make(chan string, 1)
	stop := make(chan struct{})
	go func() {
		defer close(seen)
		for {
			select {
			case <-stop:
				return
			default:
			}
			for _, dir := range []string{"quay.io", "ghcr.io"} {
				if body := n.hosts(dir); strings.Contains(body, "Authorization") {
					seen <- body
					return
				}
			}
		}
	}()
	n.start()
	n.waitForHost("quay.io", m.addr, true)
	// A login that is added later waits as well.
	n.write("etc/config.yaml", mirrorsOf("ghcr.io", true, "http://"+late.addr)+with(late.addr))
	n.waitForHost("ghcr.io", late.addr, true)
	n.eventually("it is seen what the registry takes", func() bool {
		mirrors := n.agent.Snapshot().Mirrors
		return len(mirrors) > 0 && mirrors[0].Endpoints[0].Basic == status.BasicRefused && mirrors[0].Endpoints[0].TokenServer == "https://evil.example"
	})
	close(stop)
	for body := range seen {
		t.Errorf("a header was written:\n%s", body)
	}
}
