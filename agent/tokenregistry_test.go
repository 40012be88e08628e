package agent

import (
	"net/http"
	"strings"
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
			nodetest.SetRelease(&another.Host, c.release)
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
