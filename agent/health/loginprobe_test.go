package health

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/berth-registry/berth/hostsconf"
	"github.com/berth-registry/berth/internal/redact"
	"github.com/berth-registry/berth/node/probestate"
)

func TestLearn(t *testing.T) {
	for _, c := range []struct {
		name            string
		url             string
		registry        *fakeRegistry
		login           redact.Secret
		basic, redirect string
		to, text        string
	}{
		{name: "htpasswd, blobs served", url: "https://r.corp", registry: &fakeRegistry{guard: basicOnly, repositories: []string{"app"}},
			basic: probestate.Accepted, redirect: probestate.NoRedirect},
		{name: "htpasswd, presigned", url: "https://r.corp", registry: &fakeRegistry{guard: basicOnly, repositories: []string{"app"}, blob: "https://s3.example/b?X-Sig=1"},
			basic: probestate.Accepted, redirect: probestate.OtherHost},
		{name: "object store beside the registry", url: "https://r.corp:5000", registry: &fakeRegistry{guard: basicOnly, repositories: []string{"app"}, blob: "https://r.corp:9000/b"},
			basic: probestate.Accepted, redirect: probestate.OtherPort, to: "r.corp:9000"},
		{name: "the same over http", url: "https://r.corp", registry: &fakeRegistry{guard: basicOnly, repositories: []string{"app"}, blob: "http://r.corp/b"},
			basic: probestate.Accepted, redirect: probestate.OtherPort, to: "r.corp"},
		{name: "subdomain", url: "https://r.corp", registry: &fakeRegistry{guard: basicOnly, repositories: []string{"app"}, blob: "https://blobs.r.corp/b"},
			basic: probestate.Accepted, redirect: probestate.Subdomain},
		{name: "not a subdomain", url: "https://r.corp", registry: &fakeRegistry{guard: basicOnly, repositories: []string{"app"}, blob: "https://evilr.corp/b"},
			basic: probestate.Accepted, redirect: probestate.OtherHost},
		{name: "within the registry", url: "https://r.corp", registry: &fakeRegistry{guard: basicOnly, repositories: []string{"app"}, blob: "https://r.corp:443/b"},
			basic: probestate.Accepted, redirect: probestate.Unknown},
		{name: "within the registry, relative", url: "https://r.corp", registry: &fakeRegistry{guard: basicOnly, repositories: []string{"app"}, blob: "/b"},
			basic: probestate.Accepted, redirect: probestate.Unknown},
		{name: "to nowhere", url: "https://r.corp", registry: &fakeRegistry{guard: basicOnly, repositories: []string{"app"}, blob: "ftp://r.corp/b"},
			basic: probestate.Accepted, redirect: probestate.Unknown},
		{name: "manifests redirect", url: "https://r.corp", registry: &fakeRegistry{guard: basicOnly, repositories: []string{"app"}, manifest: "https://r.corp:9000/m"},
			basic: probestate.Accepted, redirect: probestate.OtherPort, to: "r.corp:9000"},
		{name: "index", url: "https://r.corp", registry: &fakeRegistry{guard: basicOnly, repositories: []string{"app"}, index: true, blob: "https://r.corp:9000/b"},
			basic: probestate.Accepted, redirect: probestate.OtherPort, to: "r.corp:9000"},
		{name: "below a prefix", url: "https://r.corp/hub",
			registry: &fakeRegistry{guard: basicOnly, repositories: []string{"a/b", "hub/library/x", "hubble/x"}, blob: "https://s3.example/b"},
			basic:    probestate.Accepted, redirect: probestate.OtherHost},
		{name: "nothing below the prefix", url: "https://r.corp/hub",
			registry: &fakeRegistry{guard: basicOnly, repositories: []string{"a/b", "hubble/x"}, blob: "https://s3.example/b"}, basic: probestate.Accepted, redirect: probestate.Unknown},
		{name: "API root under a path", url: "https://r.corp/api/hub/v2",
			registry: &fakeRegistry{root: "/api/hub/v2", guard: basicOnly, repositories: []string{"app"}, blob: "https://s3.example/b"},
			basic:    probestate.Accepted, redirect: probestate.OtherHost},
		{name: "no repositories", url: "https://r.corp", registry: &fakeRegistry{guard: basicOnly}, basic: probestate.Accepted, redirect: probestate.Unknown},
		{name: "no tags", url: "https://r.corp", registry: &fakeRegistry{guard: basicOnly, repositories: []string{"app"}, empty: map[string]bool{"app": true}},
			basic: probestate.Accepted, redirect: probestate.Unknown},
		{name: "open to all", url: "https://r.corp", registry: &fakeRegistry{repositories: []string{"app"}}, basic: probestate.Accepted, redirect: probestate.NoRedirect},
		{name: "tokens only", url: "https://r.corp", registry: &fakeRegistry{guard: bearerOnly, repositories: []string{"app"}}, basic: probestate.Refused, redirect: probestate.Unknown},
		{name: "both challenges, wrong login", url: "https://r.corp", registry: &fakeRegistry{guard: func(w http.ResponseWriter, _ *http.Request) bool {
			return challenge(w, bearerChallenge+`, Basic realm="x"`)
		}}, basic: probestate.Unknown, redirect: probestate.Unknown, text: "wrong username or password"},
		{name: "wrong login", url: "https://r.corp", registry: &fakeRegistry{guard: basicOnly, repositories: []string{"app"}},
			login: hostsconf.BasicAuthorization(username, redact.New("wrong")), basic: probestate.Unknown, redirect: probestate.Unknown, text: "wrong username or password"},
		{name: "Harbor: the login is right, but may see little", url: "https://r.corp", registry: &fakeRegistry{guard: harbor, repositories: []string{"app"}},
			basic: probestate.Accepted, redirect: probestate.Unknown},
		{name: "Harbor: wrong login", url: "https://r.corp", registry: &fakeRegistry{guard: harbor, repositories: []string{"app"}},
			login: hostsconf.BasicAuthorization(username, redact.New("wrong")), basic: probestate.Unknown, redirect: probestate.Unknown, text: "wrong username or password"},
		{name: "wrong login, and a root that lets everybody in", url: "https://r.corp",
			registry: &fakeRegistry{guard: func(w http.ResponseWriter, r *http.Request) bool { return r.URL.Path != "/v2/" && basicOnly(w, r) }},
			login:    hostsconf.BasicAuthorization(username, redact.New("wrong")), basic: probestate.Unknown, redirect: probestate.Unknown, text: "wrong username or password"},
		{name: "401 without a challenge", url: "https://r.corp", registry: &fakeRegistry{guard: refuseAll(401)}, basic: probestate.Unknown, redirect: probestate.Unknown, text: "names no way"},
		{name: "403 for the login, 401 without", url: "https://r.corp", registry: &fakeRegistry{guard: func(w http.ResponseWriter, r *http.Request) bool {
			if r.Header.Get("Authorization") == "" {
				return challenge(w, bearerChallenge)
			}
			return refuseAll(403)(w, r)
		}}, basic: probestate.Accepted, redirect: probestate.Unknown},
		{name: "403 for all", url: "https://r.corp", registry: &fakeRegistry{guard: refuseAll(403)}, basic: probestate.Unknown, redirect: probestate.Unknown},
		{name: "400 for the login only", url: "https://r.corp", registry: &fakeRegistry{guard: func(w http.ResponseWriter, r *http.Request) bool {
			return r.Header.Get("Authorization") != "" && refuseAll(400)(w, r)
		}}, basic: probestate.Unknown, redirect: probestate.Unknown, text: "400"},
		{name: "too many requests", url: "https://r.corp", registry: &fakeRegistry{guard: refuseAll(429)}, basic: probestate.Unknown, redirect: probestate.Unknown, text: "429"},
		{name: "ECR", url: "https://111122223333.dkr.ecr.us-east-1.amazonaws.com/hub",
			registry: &fakeRegistry{guard: basicOnly, repositories: []string{"hub/x"}, blob: "https://prod.s3.us-east-1.amazonaws.com/b"},
			basic:    probestate.Accepted, redirect: probestate.OtherHost},
		{name: "ECR with an expired token", url: "https://111122223333.dkr.ecr.us-east-1.amazonaws.com",
			registry: &fakeRegistry{guard: refuseAll(403)}, basic: probestate.Accepted, redirect: probestate.Unknown},
		{name: "ECR Public is asked", url: "https://public.ecr.aws", registry: &fakeRegistry{guard: bearerOnly}, basic: probestate.Refused, redirect: probestate.Unknown},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var log logBuffer
				p := New(Options{Rand: seeded(1), Transport: c.registry.transport, Log: log.logger()})
				e := Endpoint{URL: mustURL(t, c.url), Authorization: goodLogin, Learn: true, Header: map[string][]string{"X-Org": {"a"}}}
				if !c.login.IsZero() {
					e.Authorization = c.login
				}
				p.Set(defaults(), []Endpoint{e})
				stop := run(t, p)
				time.Sleep(time.Second)
				stop()
				facts := p.Learned()
				f, ok := probestate.ParseFact(facts, e.URL)
				if !ok || len(facts) != 1 {
					t.Fatalf("learned %+v", facts)
				}
				if f.Basic != c.basic || f.Redirect != c.redirect || f.To != c.to || (f.Error == "") != (c.text == "") || !strings.Contains(f.Error, c.text) {
					t.Errorf("learned %+v", f)
				}
				if f.WrongLogin != strings.Contains(f.Error, "wrong username") {
					t.Errorf("a wrong login is not reported: %+v", f)
				}
				if f.Leaks() != (c.redirect == probestate.OtherPort || c.redirect == probestate.Subdomain) {
					t.Errorf("leaks: %v", f.Leaks())
				}
				c.registry.mu.Lock()
				defer c.registry.mu.Unlock()
				for _, r := range c.registry.seen {
					if !strings.HasPrefix(r.url, "http://"+e.URL.Host+"/") {
						t.Errorf("another host was asked: %s", r.url)
					}
					if strings.HasPrefix(c.name, "ECR") && c.name != "ECR Public is asked" && r.method == http.MethodHead {
						t.Errorf("ECR was asked about Basic: %+v", r)
					}
				}
				if n := len(c.registry.seen); n > 1+basicRequests+redirectRequests {
					t.Errorf("%d requests", n)
				}
			})
		})
	}
}

// With real servers the header reaches the registry and no other port.
func TestLearnOverSockets(t *testing.T) {
	decoy := &fakeRegistry{}
	other := httptest.NewServer(decoy)
	defer other.Close()
	registry := &fakeRegistry{guard: basicOnly, repositories: []string{"team/app"}, index: true, blob: other.URL + "/bucket/blob"}
	server := httptest.NewServer(registry)
	defer server.Close()
	learned := make(chan struct{}, 100)
	p := New(Options{Getenv: noEnvironment, Changed: func() { learned <- struct{}{} }})
	e := Endpoint{URL: mustURL(t, server.URL+"/team"), Authorization: goodLogin, Learn: true}
	p.Set(longTimeout(), []Endpoint{e})
	stop := run(t, p)
	eventually(t, "it is learned", func() bool { return len(p.Learned()) == 1 })
	stop()
	f := p.Learned()[0]
	if f.Basic != probestate.Accepted || f.Redirect != probestate.OtherPort || f.To != strings.TrimPrefix(other.URL, "http://") || f.URL != server.URL+"/v2/team" {
		t.Errorf("%+v", f)
	}
	if len(learned) < 2 {
		t.Errorf("Changed was called %d times", len(learned))
	}
	if n := len(decoy.seen); n != 0 {
		t.Errorf("the other port was asked: %+v", decoy.seen)
	}
	if len(registry.logins()) == 0 {
		t.Error("the control does not work: no request with a login")
	}
	// The control: Go itself would carry the header to the other port.
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	req, err := http.NewRequest(http.MethodGet, server.URL+"/v2/team/app/blobs/"+blobDigest, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", goodLogin.Reveal())
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if got := decoy.logins(); len(got) != 1 || got[0].login != goodLogin.Reveal() {
		t.Errorf("Go does not carry the header to another port any more: %+v", decoy.seen)
	}
}

// classifyRedirect and net/http decide alike.
func TestRedirectRuleIsThatOfNetHTTP(t *testing.T) {
	for _, c := range [][2]string{
		{"https://r.corp", "https://r.corp:9000/b"}, {"https://r.corp", "http://r.corp/b"}, {"https://r.corp", "https://s3.r.corp/b"},
		{"https://r.corp", "https://corp/b"}, {"https://r.corp", "https://xr.corp/b"}, {"https://10.0.0.1", "https://10.0.0.1:9000/b"},
		{"https://10.0.0.1", "https://1.10.0.0.1/b"}, {"https://[::1]:5000", "https://[::1]:9000/b"}, {"https://r.corp", "https://r.corp.evil/b"},
	} {
		carried := false
		client := &http.Client{Transport: answers(func(r *http.Request) (*http.Response, error) {
			if r.URL.String() == c[1] {
				carried = r.Header.Get("Authorization") != ""
				return status(200), nil
			}
			return status(307, "Location", c[1]), nil
		})}
		req, err := http.NewRequest(http.MethodGet, c[0]+"/v2/x", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Basic x")
		if _, err := client.Do(req); err != nil {
			t.Fatal(err)
		}
		q := newLoginProbe(Endpoint{URL: mustURL(t, c[0])}, nil, 0)
		where, _ := q.classifyRedirect("/v2/x", reply{status: 307, location: c[1]})
		if got := (probestate.Fact{Redirect: where}).Leaks(); got != carried {
			t.Errorf("%s → %s: %s, leaks %v; Go carries the header: %v", c[0], c[1], where, got, carried)
		}
	}
}

// The Prober learns at once, every six hours, after a new login, and with growing pauses after
// errors.
func TestLearnSchedule(t *testing.T) {
	attempts := func(s *fakeRegistry, path string) []time.Time {
		var at []time.Time
		for _, r := range s.logins() {
			if strings.Contains(r.uri, path) {
				at = append(at, r.at)
			}
		}
		return at
	}
	const ask = probeRepository + "/manifests"
	settings := defaults()
	settings.Interval = time.Minute // a probe must answer before anything is learned
	between := func(t *testing.T, what string, got, low, high time.Duration) {
		t.Helper()
		if got < low || got > high {
			t.Errorf("%s after %s, want %s to %s", what, got, low, high)
		}
	}
	t.Run("steady", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := &fakeRegistry{guard: basicOnly, repositories: []string{"app"}}
			p := New(Options{Rand: seeded(1), Transport: s.transport})
			e := Endpoint{URL: mustURL(t, "https://r.corp"), Authorization: goodLogin, Learn: true}
			start := time.Now()
			p.Set(settings, []Endpoint{e})
			run(t, p)
			time.Sleep(100 * time.Hour)
			at := attempts(s, ask)
			between(t, "first", at[0].Sub(start), 0, time.Second)
			for i := range at[1:] {
				between(t, "again", at[i+1].Sub(at[i]), learnInterval*9/10, learnInterval*11/10+time.Minute)
			}
			if n := len(attempts(s, "_catalog")); n != len(at) {
				t.Errorf("%d catalogs, %d manifests", n, len(at))
			}
			// After a new login Basic is tried again, redirects are not.
			p.Set(settings, []Endpoint{{URL: e.URL, Authorization: redact.New("Basic other"), Learn: true}})
			time.Sleep(time.Minute)
			if n := len(attempts(s, ask)); n != len(at)+1 {
				t.Errorf("%d attempts after a new login", n-len(at))
			}
			f := p.Learned()[0]
			if f.Basic != probestate.Accepted || f.Redirect != probestate.NoRedirect || f.Error == "" || !f.WrongLogin {
				t.Errorf("what was learned is lost with a wrong login: %+v", f)
			}
			// A wrong login is not tried often: the registry could lock the account.
			time.Sleep(4 * time.Hour)
			if n := len(attempts(s, ask)); n != len(at)+1 {
				t.Errorf("a wrong login was tried %d times", n-len(at))
			}
			// Without Learn or without a login nothing is asked.
			p.Set(settings, []Endpoint{{URL: e.URL, Authorization: goodLogin}})
			time.Sleep(24 * time.Hour)
			p.Set(settings, []Endpoint{{URL: e.URL, Learn: true}})
			time.Sleep(24 * time.Hour)
			if n := len(attempts(s, ask)); n != len(at)+1 {
				t.Errorf("%d attempts without Learn or a login", n-len(at)-1)
			}
		})
	})
	t.Run("errors", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := &fakeRegistry{}
			s.guard = func(w http.ResponseWriter, r *http.Request) bool {
				return r.Header.Get("Authorization") != "" && refuseAll(503)(w, r)
			}
			p := New(Options{Rand: seeded(1), Transport: s.transport})
			p.Set(settings, []Endpoint{{URL: mustURL(t, "https://r.corp"), Authorization: goodLogin, Learn: true}})
			run(t, p)
			time.Sleep(100 * time.Hour)
			at := attempts(s, ask)
			want := firstRetry
			for i := range at[1:] {
				between(t, "again", at[i+1].Sub(at[i]), want*9/10, want*11/10+time.Minute)
				want = min(2*want, learnInterval)
			}
			if len(at) < 15 || len(at) > 30 {
				t.Errorf("%d attempts", len(at))
			}
		})
	})
	t.Run("ECR's tokens change", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := &fakeRegistry{repositories: []string{"app"}}
			p := New(Options{Rand: seeded(1), Transport: s.transport})
			u := mustURL(t, "https://111122223333.dkr.ecr.us-east-1.amazonaws.com")
			run(t, p)
			for i := range 24 * 60 {
				p.Set(settings, []Endpoint{{URL: u, Authorization: redact.New(fmt.Sprint("Basic ", i)), Learn: true}})
				time.Sleep(time.Minute)
			}
			// New tokens cause neither more attempts nor later ones.
			if n := len(attempts(s, "_catalog")); n < 4 || n > 5 {
				t.Errorf("learned %d times in a day", n)
			}
		})
	})
	t.Run("dead registry", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := &fakeRegistry{guard: refuseAll(500)}
			p := New(Options{Transport: s.transport})
			p.Set(settings, []Endpoint{{URL: mustURL(t, "https://r.corp"), Authorization: goodLogin, Learn: true}})
			run(t, p)
			time.Sleep(time.Hour)
			if n := len(s.logins()); n != 0 {
				t.Errorf("%d requests with a login to a dead registry", n)
			}
		})
	})
}

// Restored facts are valid at once, and with the same key they are not learned again early.
func TestRestore(t *testing.T) {
	for _, c := range []struct {
		name string
		key  []byte
		want bool // learned again
	}{{"same key", []byte("key"), false}, {"other key", []byte("other"), true}, {"no key", nil, true}} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &fakeRegistry{guard: basicOnly, repositories: []string{"app"}}
				e := Endpoint{URL: mustURL(t, "https://r.corp"), Authorization: goodLogin, Learn: true}
				first := New(Options{Transport: s.transport, LoginKey: []byte("key")})
				first.Set(defaults(), []Endpoint{e})
				stop := run(t, first)
				time.Sleep(time.Second)
				stop()
				kept, err := json.Marshal(first.Learned())
				if err != nil {
					t.Fatal(err)
				}
				var facts []probestate.Fact
				if err := json.Unmarshal(kept, &facts); err != nil {
					t.Fatal(err)
				}
				before := len(s.logins())
				second := New(Options{Transport: s.transport, LoginKey: c.key})
				second.RestoreFacts(facts)
				if f, ok := probestate.ParseFact(second.Learned(), e.URL); !ok || f.Basic != probestate.Accepted {
					t.Errorf("restored %+v", second.Learned())
				}
				second.Set(defaults(), []Endpoint{e})
				stop = run(t, second)
				time.Sleep(time.Hour)
				stop()
				if got := len(s.logins()) > before; got != c.want {
					t.Errorf("learned again: %v, want %v", got, c.want)
				}
			})
		})
	}
	p := New(Options{})
	now := time.Now()
	p.RestoreFacts([]probestate.Fact{{URL: "https://a/v2", Basic: "nonsense", Redirect: "x", To: "y", Realm: "z", Time: now}, {Basic: probestate.Accepted}})
	p.RestoreFacts([]probestate.Fact{{URL: "https://a/v2", Basic: probestate.Refused, Time: now.Add(-time.Hour)}})
	if got := p.Learned(); len(got) != 1 || got[0].Basic != probestate.Unknown || got[0].Redirect != probestate.Unknown || got[0].To != "" || got[0].Realm != "" {
		t.Errorf("%+v", got)
	}
	p.Set(defaults(), nil)
	if len(p.Learned()) != 1 {
		t.Error("a fact about an endpoint that is gone for a moment is forgotten")
	}
	p.RestoreFacts([]probestate.Fact{{URL: "https://b/v2", Basic: probestate.Refused, Time: now.Add(-keepFacts - time.Hour)}})
	p.Set(defaults(), nil)
	if got := p.Learned(); len(got) != 1 {
		t.Errorf("facts are kept for ever: %+v", got)
	}
}
