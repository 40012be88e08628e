package agent

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/berth-registry/berth/agent/health"
	"github.com/berth-registry/berth/agent/status"
	"github.com/berth-registry/berth/config"
	"github.com/berth-registry/berth/credprovider"
	"github.com/berth-registry/berth/hostsconf"
	"github.com/berth-registry/berth/internal/containerdconf"
)

// runs makes the containerd of m one of this release, "" for one that is not
// known.
func (m *Machine) runs(release string) {
	if release == "" {
		return
	}
	m.host.Version = func(context.Context, string) (string, error) {
		return "containerd github.com/containerd/containerd v" + release + " x", nil
	}
}

func readersOf(t *testing.T, release string) Readers {
	t.Helper()
	if release == "" {
		return Readers{}
	}
	r, ok := containerdconf.ParseRelease(release)
	if !ok {
		t.Fatal(release)
	}
	return Readers{Containerd: r}
}

// TestChannelOf is the decision: what is configured, what reads the file, what
// was seen.
func TestChannelOf(t *testing.T) {
	const host = "https://r.example.com"
	bearer := func(realm string) health.Fact { return health.Fact{Basic: health.Refused, Realm: realm} }
	own, foreign, plain := bearer("https://auth.example.com"), bearer("https://auth.evil.example"), bearer("http://r.example.com")
	const (
		header   = "header"
		maybe    = "header, may not serve"
		unasked  = "header, unprobed"
		provider = ""
	)
	for _, c := range []struct {
		name    string
		url     string
		auth    config.Auth
		release string
		fact    health.Fact
		want    string
		why     string
	}{
		{"unknown", host, config.AuthAuto, "2.4.2", health.Fact{}, unasked, ""},
		{"unknown", host, config.AuthAuto, "1.7.28", health.Fact{}, unasked, ""},
		{"unknown after all", host, config.AuthAuto, "", health.Fact{Basic: health.Unknown}, unasked, ""},
		{"Basic", host, config.AuthAuto, "1.7.28", health.Fact{Basic: health.Accepted}, header, ""},
		{"Basic", host, config.AuthAuto, "2.4.2", health.Fact{Basic: health.Accepted}, header, ""},
		{"Basic, and a foreign server for what it hides", host, config.AuthAuto, "2.4.2",
			health.Fact{Basic: health.Accepted, Realm: "https://evil.example"}, provider, "https://evil.example, which is not of its domain"},
		{"the same before 2.1", host, config.AuthAuto, "2.0.14",
			health.Fact{Basic: health.Accepted, Realm: "https://evil.example"}, header, ""},
		{"Basic, with a store beside it", host, config.AuthAuto, "2.4.2",
			health.Fact{Basic: health.Accepted, Redirect: health.OtherPort, To: "r.example.com:9000"}, provider, "r.example.com:9000"},
		{"tokens", host, config.AuthAuto, "1.6.20", own, provider, "containerd 1.6.20 gets them without the header"},
		{"tokens", host, config.AuthAuto, "2.0.14", own, provider, "containerd 2.0.14"},
		{"tokens", host, config.AuthAuto, "2.1.0", own, header, ""},
		{"tokens", host, config.AuthAuto, "2.4.2", own, header, ""},
		{"tokens", host, config.AuthAuto, "", own, maybe, "before 2.1"},
		{"tokens of another domain", host, config.AuthAuto, "1.7.28", foreign, provider, "without the header"},
		{"tokens of another domain", host, config.AuthAuto, "2.4.2", foreign, provider, "https://auth.evil.example, which is not of its domain; auth: basic"},
		{"tokens of another domain", host, config.AuthAuto, "", foreign, provider, "not of its domain"},
		{"tokens in the clear", host, config.AuthAuto, "2.4.2", plain, provider, "which is asked over plain http"},
		{"tokens of nowhere, or learned by an earlier version", host, config.AuthAuto, "2.4.2", bearer(""), provider, "does not say where"},
		{"Docker Hub", "https://registry-1.docker.io", config.AuthAuto, "1.7.28", health.Fact{}, provider, "only kubelet's credential provider"},
		{"Docker Hub", "https://registry-1.docker.io", config.AuthAuto, "2.4.2", health.Fact{}, header, ""},
		{"Docker Hub", "https://registry-1.docker.io", config.AuthAuto, "", health.Fact{}, maybe, "before 2.1"},
		{"Docker Hub changes its mind", "https://registry-1.docker.io", config.AuthAuto, "1.7.28", health.Fact{Basic: health.Accepted}, header, ""},
		{"another host as Docker Hub", "https://registry-1.docker.io", config.AuthAuto, "2.4.2", foreign, provider, "not of its domain"},
		{"what is called like it, over http", "http://ghcr.io", config.AuthAuto, "2.4.2", health.Fact{}, unasked, ""},
		{"token", host, config.AuthToken, "2.4.2", health.Fact{Basic: health.Accepted}, provider, "auth: token"},
		{"basic", host, config.AuthBasic, "2.4.2", foreign, header, ""},
		{"basic", host, config.AuthBasic, "1.7.28", own, header, ""},
	} {
		u, err := hostsconf.ParseURL(c.url, false)
		if err != nil {
			t.Fatal(err)
		}
		got := channelOf(u, c.auth, readersOf(t, c.release), c.fact)
		text := map[bool]string{true: header}[got.header]
		switch {
		case got.unprobed:
			text += ", unprobed"
		case got.header && !got.serves:
			text += ", may not serve"
		}
		if text != c.want || !strings.Contains(got.why, c.why) || (got.why == "") != (c.why == "") {
			t.Errorf("%s, containerd %q, auth %s: %q (%s), want %q (%s)", c.name, c.release, c.auth, text, got.why, c.want, c.why)
		}
	}
}

// A login of Docker Hub, as most people write it: what plan says and what the
// provider does depend on this node's containerd.
func TestDockerHubLogin(t *testing.T) {
	const login = "registries: [{host: docker.io, username: hub, password: p}]\n"
	const mirror = "mirrors: [{upstream: docker.io, endpoints: [{url: mirror.corp}]}]\n"
	for _, c := range []struct {
		name, config, release string
		directory, notice     string
		passed                string // what the provider gives, or the host because of which it does not
	}{
		{"alone", login, "1.7.28", "", "docker.io: the login of docker.io is not written for https://registry-1.docker.io: the registry takes tokens only, " +
			"and containerd 1.7.28 gets them without the header; only kubelet's credential provider can pass the login", "hub"},
		{"alone", login, "2.4.2", "docker.io:  | https://registry-1.docker.io as hub:p", "", "hub"},
		{"alone", login, "", "docker.io:  | https://registry-1.docker.io as hub:p", "may be of no use: the registry takes tokens only, which containerd before 2.1", "hub"},
		{"behind a mirror", mirror + login, "1.7.28", "docker.io: https://mirror.corp | https://registry-1.docker.io", "is not written for", "withheld from mirror.corp"},
		{"behind a mirror", mirror + login, "2.4.2", "docker.io: https://mirror.corp | https://registry-1.docker.io as hub:p", "", "not needed"},
		{"behind a mirror", mirror + login, "", "docker.io: https://mirror.corp | https://registry-1.docker.io as hub:p", "may be of no use", "withheld from mirror.corp"},
	} {
		t.Run(c.name+" "+c.release, func(t *testing.T) {
			m := open(t, t.TempDir())
			m.runs(c.release)
			cfg := parse(t, c.config)
			plan, err := m.Plan(t.Context(), cfg)
			if err != nil {
				t.Fatal(err)
			}
			directories, _ := Desired(cfg, Inputs{Readers: readersOf(t, c.release)})
			var got []string
			for _, d := range directories {
				got = append(got, show(d))
			}
			if g := strings.Join(got, "\n"); g != c.directory {
				t.Errorf("%s, want %s", g, c.directory)
			}
			notices := strings.Join(plan.Summary().Notices, "\n")
			if !strings.Contains(notices, c.notice) || (c.notice == "") != (notices == "") {
				t.Errorf("plan says %q, want %q", notices, c.notice)
			}
			if _, err := m.Apply(t.Context(), cfg, nil); err != nil {
				t.Fatal(err)
			}
			e, err := m.Credentials(t.Context(), cfg, "docker.io/library/nginx", nil)
			if err != nil {
				t.Fatal(err)
			}
			// What credentials tells of the header is what stands in the file,
			// unless that may be of no use.
			if h := e.Hosts[len(e.Hosts)-1]; h.Host.Header != (c.release == "2.4.2") {
				t.Errorf("credentials: %+v", h.Host)
			}
			passed := ""
			var withheld *credprovider.WithheldError
			switch {
			case e.Credential != nil:
				passed = e.Credential.Username
			case errors.As(e.Err, &withheld):
				passed = "withheld from " + withheld.Other
			case errors.Is(e.Err, credprovider.ErrNotServed):
				passed = "not needed"
			}
			if passed != c.passed {
				t.Errorf("the provider: %q (%v), want %q", passed, e.Err, c.passed)
			}
		})
	}
}

// A registry that takes tokens only, as the agent finds it. What it leaves is
// what apply and plan want, on every release.
func TestTokenRegistryForAgentAndApply(t *testing.T) {
	for _, c := range []struct {
		name, release string
		realm         string // "" is the registry itself
		header        bool
		basic         status.Basic
		alarm         string
	}{
		{"before 2.1", "1.7.28", "", false, status.BasicRefused, "containerd 1.7.28 gets them without the header"},
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

			another, err := Open(n.root)
			if err != nil {
				t.Fatal(err)
			}
			defer another.Close()
			another.runs(c.release)
			cfg, _, err := config.Parse("config.yaml", []byte(text))
			if err != nil {
				t.Fatal(err)
			}
			if plan, err := another.Plan(t.Context(), cfg); err != nil || plan.Differs() {
				t.Errorf("plan wants something else than the agent: %v, %v", plan.Changes, err)
			}
			if err := n.applied(t, text); err != nil || strings.Contains(n.hosts("quay.io"), "Authorization") != c.header {
				t.Errorf("apply wants something else than the agent: %v\n%s", err, n.hosts("quay.io"))
			}
			if err := n.applied(t, text+"  auth: basic\n"); err != nil || !strings.Contains(n.hosts("quay.io"), "Authorization") {
				t.Errorf("auth: basic is not believed: %v\n%s", err, n.hosts("quay.io"))
			}
		})
	}
}

// plan says on what a login depends that no agent has tried out.
func TestPlanSaysWhatWasNotProbed(t *testing.T) {
	m := open(t, t.TempDir())
	m.runs("2.4.2")
	cfg := parse(t, "registries: [{host: harbor.corp, username: u, password: p}, {host: b.corp, username: u, password: p, auth: basic}]\n")
	plan, err := m.Plan(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	const want = "login: sent to https://harbor.corp if it takes Basic, or its token server is of its domain; not yet probed, an agent does that"
	if got := plan.Summary().Notices; len(got) != 1 || got[0] != want {
		t.Errorf("plan says %q", got)
	}
	m.runs("1.7.28")
	if plan, err = m.Plan(t.Context(), cfg); err != nil || strings.Contains(strings.Join(plan.Summary().Notices, ""), "token server") {
		t.Errorf("plan for 1.7 says %q (%v)", plan.Summary().Notices, err)
	}
}
