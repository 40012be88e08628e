package reconcile

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/berth-registry/berth/config"
	"github.com/berth-registry/berth/credprovider"
	"github.com/berth-registry/berth/internal/nodefs"
	"github.com/berth-registry/berth/node/desired"
	"github.com/berth-registry/berth/node/probestate"
	"github.com/berth-registry/berth/test/nodetest"
)

// A login of Docker Hub as most people write it: what plan says and what the provider does
// depend on this node's containerd.
func TestDockerHubLogin(t *testing.T) {
	const login = "registries: [{host: docker.io, username: hub, password: p}]\n"
	const mirror = "mirrors: [{upstream: docker.io, endpoints: [{url: mirror.corp}]}]\n"
	for _, c := range []struct {
		name, config, release string
		directory, notice     string
		passed                string // the login that the provider gives, or the host because of which it gives none
	}{
		{"alone", login, "1.7.28", "", "docker.io: the login of docker.io is not written for https://registry-1.docker.io: the registry accepts only tokens, " +
			"and containerd 1.7.28 requests them without the header; only kubelet's credential provider can pass the login", "hub"},
		{"alone", login, "2.4.2", "docker.io:  | https://registry-1.docker.io as hub:p", "", "hub"},
		{"alone", login, "", "docker.io:  | https://registry-1.docker.io as hub:p", "may have no effect: the registry accepts only tokens, which containerd before 2.1", "hub"},
		{"behind a mirror", mirror + login, "1.7.28", "docker.io: https://mirror.corp | https://registry-1.docker.io", "is not written for", "withheld from mirror.corp"},
		{"behind a mirror", mirror + login, "2.4.2", "docker.io: https://mirror.corp | https://registry-1.docker.io as hub:p", "", "not needed"},
		{"behind a mirror", mirror + login, "", "docker.io: https://mirror.corp | https://registry-1.docker.io as hub:p", "may have no effect", "withheld from mirror.corp"},
	} {
		t.Run(c.name+" "+c.release, func(t *testing.T) {
			m := open(t, t.TempDir())
			nodetest.SetRelease(&m.Machine, c.release)
			cfg := nodetest.ParseConfig(t, c.config)
			plan, err := m.Plan(t.Context(), cfg)
			if err != nil {
				t.Fatal(err)
			}
			directories, _ := desired.Directories(cfg, desired.Inputs{Readers: m.Readers(t.Context())})
			var got []string
			for _, d := range directories {
				got = append(got, nodetest.ShowDirectory(d))
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
			// credentials reports the header that is in the file,
			// unless some release may not log in with it.
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

// plan says what a login depends on that no agent has probed.
func TestPlanSaysWhatWasNotProbed(t *testing.T) {
	m := open(t, t.TempDir())
	nodetest.SetRelease(&m.Machine, "2.4.2")
	cfg := nodetest.ParseConfig(t, "registries: [{host: harbor.corp, username: u, password: p}, {host: b.corp, username: u, password: p, auth: basic}]\n")
	plan, err := m.Plan(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	const want = "login: sent to https://harbor.corp if it accepts Basic, or if its token server is in its domain; not probed yet; the agent probes it"
	if got := plan.Summary().Notices; len(got) != 1 || got[0] != want {
		t.Errorf("plan says %q", got)
	}
	nodetest.SetRelease(&m.Machine, "1.7.28")
	if plan, err = m.Plan(t.Context(), cfg); err != nil || strings.Contains(strings.Join(plan.Summary().Notices, ""), "token server") {
		t.Errorf("plan for 1.7 says %q (%v)", plan.Summary().Notices, err)
	}
}

// plan and apply ask the same registries and come to the same result. Only apply remembers it. A
// known registry, a recent answer, and a node with an agent are not asked.
func TestPlanAndApplyProbeLogins(t *testing.T) {
	m := open(t, t.TempDir())
	nodetest.SetRelease(&m.Machine, "2.4.2")
	cfg := nodetest.ParseConfig(t, "registries: [{host: r.corp, username: u, password: p}, {host: ghcr.io, username: u, password: p}, {host: b.corp, username: u, password: p, auth: basic}]\n")
	var asked []string
	m.ProbeLogins = func(_ context.Context, _ *config.Config, targets []desired.Target, earlier probestate.SavedLogins) []probestate.Fact {
		if len(earlier.Key) == 0 {
			t.Error("no key")
		}
		for _, target := range targets {
			asked = append(asked, target.Host.URL.String())
		}
		return []probestate.Fact{{URL: "https://r.corp/v2", Basic: probestate.Refused, Realm: "https://evil.example", Time: time.Now()}}
	}
	check := func(when string, notices []string, want ...string) {
		t.Helper()
		if !slices.Equal(asked, want) {
			t.Errorf("%s: asked were %q, want %q", when, asked, want)
		}
		if all := strings.Join(notices, "\n"); !strings.Contains(all, `https://evil.example, which is not of its domain; if that server may have the login, write tokenRealms: ["evil.example"]`) {
			t.Errorf("%s: it says %q", when, all)
		}
		asked = nil
	}
	plan := func() []string {
		t.Helper()
		p, err := m.Plan(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		return p.Summary().Notices
	}
	check("plan", plan(), "https://r.corp")
	check("plan again", plan(), "https://r.corp")
	if m.HasPrivate(LearnedFile) {
		t.Error("plan remembers")
	}
	result, err := m.Apply(t.Context(), cfg, nil)
	if err != nil {
		t.Fatal(err)
	}
	check("apply", result.Summary().Notices, "https://r.corp")
	check("plan after apply", plan())
	l, err := m.Learned()
	if err != nil || len(l.Facts) != 1 {
		t.Fatalf("%+v, %v", l, err)
	}
	l.Facts[0].Time = time.Now().Add(-factAge - time.Minute)
	if err := m.saveLearned(l); err != nil {
		t.Fatal(err)
	}
	check("plan with an old answer", plan(), "https://r.corp")
	lock, err := nodefs.LockFile(t.Context(), m.Root, AgentLockFile, true)
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Unlock()
	check("plan beside an agent", plan())
}
