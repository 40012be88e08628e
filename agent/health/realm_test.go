package health

import (
	"encoding/base64"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/berth-registry/berth/node/probestate"
)

// namesRealm is a registry that accepts only tokens, and names this token server.
func namesRealm(realm string, more ...string) func(http.ResponseWriter, *http.Request) bool {
	return func(w http.ResponseWriter, _ *http.Request) bool {
		return challenge(w, append([]string{`Bearer realm="` + realm + `",service="r"`}, more...)...)
	}
}

// learnOnce returns the fact that a Prober learns about a registry.
func learnOnce(t *testing.T, s *fakeRegistry) probestate.Fact {
	t.Helper()
	var f probestate.Fact
	synctest.Test(t, func(t *testing.T) {
		p := New(Options{Transport: s.transport, Getenv: noEnvironment})
		e := endpoint(t, "https://r.corp")
		e.Learn, e.Authorization = true, goodLogin
		p.Set(defaults(), []Endpoint{e})
		stop := run(t, p)
		time.Sleep(time.Second)
		stop()
		f, _ = probestate.ParseFact(p.Learned(), e.URL)
	})
	return f
}

// The fact holds the token server that the registry names to the login, and nothing else of the
// realm.
func TestLearnsTheRealm(t *testing.T) {
	login := goodLogin.Reveal()
	encoded := strings.ToLower(strings.TrimRight(strings.TrimPrefix(login, "Basic "), "="))
	for _, c := range []struct {
		name         string
		guard        func(http.ResponseWriter, *http.Request) bool
		basic, realm string
	}{
		{"its own", namesRealm("https://r.corp/token?account=" + password), probestate.Refused, "https://r.corp"},
		{"another one", namesRealm("https://evil.example/token"), probestate.Refused, "https://evil.example"},
		{"over plain http", namesRealm("http://r.corp:8080/token"), probestate.Refused, "http://r.corp:8080"},
		{"one that repeats the login", namesRealm("https://" + encoded + ".evil.example/token"), probestate.Refused, "https://[redacted]"},
		{"one that repeats the password", namesRealm("https://" + password + ".evil.example/token"), probestate.Refused, "https://[redacted]"},
		{"none that can be asked", namesRealm("/token"), probestate.Refused, ""},
		{"beside Basic, with a wrong login", namesRealm("https://evil.example/token", `Basic realm="x"`), probestate.Unknown, "https://evil.example"},
		{"none is needed", nil, probestate.Accepted, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			if f := learnOnce(t, &fakeRegistry{guard: c.guard}); f.Basic != c.basic || f.Realm != c.realm {
				t.Errorf("learned %+v, want %s by %s", f, c.basic, c.realm)
			}
		})
	}
	if base64.StdEncoding.EncodeToString([]byte(username+":"+password)) != strings.TrimPrefix(login, "Basic ") {
		t.Error("the control does not work: the login is another one")
	}
}

// A fact of an earlier version has no token server: the registry is asked at once.
func TestLearnsTheRealmOfAnOldFact(t *testing.T) {
	old := probestate.Fact{URL: "https://r.corp/v2", Basic: probestate.Refused, Redirect: probestate.Unknown, Time: time.Now()}
	synctest.Test(t, func(t *testing.T) {
		s := &fakeRegistry{guard: namesRealm("https://r.corp/token")}
		p := New(Options{Transport: s.transport, Getenv: noEnvironment})
		e := endpoint(t, "https://r.corp")
		e.Learn, e.Authorization = true, goodLogin
		old.Login, old.Time = p.login(e.Authorization), time.Now()
		p.RestoreFacts([]probestate.Fact{old})
		p.Set(defaults(), []Endpoint{e})
		stop := run(t, p)
		time.Sleep(time.Second)
		stop()
		if f, _ := probestate.ParseFact(p.Learned(), e.URL); f.Realm != "https://r.corp" {
			t.Errorf("%+v", f)
		}
	})
}

// naming is a registry whose API root and manifests may name other token servers, from one moment to
// the next.
type naming struct {
	mu        sync.Mutex
	root      string // named without a login
	login     string // named to the login; "" accepts it
	manifests int    // an answer for manifests in place of a challenge
}

func (n *naming) set(root, login string, manifests int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.root, n.login, n.manifests = root, login, manifests
}

func (n *naming) guard(w http.ResponseWriter, r *http.Request) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	with := r.Header.Get("Authorization") != ""
	switch {
	case with && n.manifests != 0:
		w.WriteHeader(n.manifests)
		return true
	case with && n.login == "":
		return false
	case with:
		return challenge(w, `Bearer realm="`+n.login+`/token"`)
	case n.root == "":
		return false
	}
	return challenge(w, `Bearer realm="`+n.root+`/token"`)
}

// rounds is an agent's prober of one registry in simulated time.
type rounds struct {
	*Prober
	*naming
	registry *fakeRegistry
	endpoint Endpoint
	changes  int // calls of Options.Changed
}

func newRounds(t *testing.T, root, login string) *rounds {
	t.Helper()
	n := &rounds{naming: &naming{root: root, login: login}}
	n.registry = &fakeRegistry{guard: n.guard}
	n.Prober = New(Options{Transport: n.registry.transport, Getenv: noEnvironment, Changed: func() { n.changes++ }})
	n.endpoint = endpoint(t, "https://r.example.com")
	n.endpoint.Learn, n.endpoint.Authorization = true, goodLogin
	n.Set(defaults(), []Endpoint{n.endpoint})
	run(t, n.Prober)
	time.Sleep(time.Second)
	return n
}

// probes is how many probes were sent: requests of the API root without a login.
func (n *rounds) probes() int { return int(n.Status()[0].Probes) }

// next waits until one more probe and what follows from it have ended.
func (n *rounds) next() {
	for before := n.probes(); n.probes() == before; {
		time.Sleep(100 * time.Millisecond)
	}
	time.Sleep(time.Second)
}

func (n *rounds) fact() probestate.Fact {
	f, _ := probestate.ParseFact(n.Learned(), n.endpoint.URL)
	return f
}

// Another token server is known after one probe, for which no login is needed, and stays apart from
// the one that was noted until the config lists it.
func TestAnotherRealmIsSeenWithinOneProbe(t *testing.T) {
	const old, evil, beside = "https://auth.example.com", "https://evil.example", "https://auth2.example.com"
	for _, c := range []struct {
		name             string
		root, login      string // after the change
		manifests        int
		realm, rootRealm string
		noted, listed    string // listed: noted once the config lists the new one
	}{
		{"another domain", evil, evil, 0, evil, evil, old, evil},
		{"its own domain", beside, beside, 0, beside, beside, old, beside},
		{"only without a login", evil, old, 0, old, evil, old, old},
		{"and the login cannot be probed", evil, "", http.StatusServiceUnavailable, evil, evil, old, evil},
		{"the registry itself", "https://r.example.com", "https://r.example.com", 0, "https://r.example.com", "https://r.example.com", "https://r.example.com", "https://r.example.com"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := newRounds(t, old, old)
				if f := n.fact(); f.Realm != old || f.RootRealm != old || f.NotedRealm != old {
					t.Fatalf("at first: %+v", f)
				}
				n.next()
				changes := n.changes
				n.set(c.root, c.login, c.manifests)
				n.next()
				f := n.fact()
				if f.Realm != c.realm || f.RootRealm != c.rootRealm || f.NotedRealm != c.noted || f.Basic != probestate.Refused {
					t.Errorf("after one probe: %+v", f)
				}
				if n.changes == changes {
					t.Error("the agent was not told")
				}
				_, host, _ := strings.Cut(c.root, "://")
				n.endpoint.TokenRealms = []string{host}
				n.Set(defaults(), []Endpoint{n.endpoint})
				n.next()
				if f := n.fact(); f.NotedRealm != c.listed {
					t.Errorf("when it is listed: %+v", f)
				}
				n.endpoint.TokenRealms = nil
				n.Set(defaults(), []Endpoint{n.endpoint})
				n.set(old, old, 0)
				n.next()
				if f := n.fact(); f.Realm != old || f.RootRealm != old {
					t.Errorf("when the old one is back: %+v", f)
				}
			})
		})
	}
}

// A registry that accepted Basic and begins to name another token server is probed again at once.
func TestBasicBecomesTokens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newRounds(t, "", "")
		if f := n.fact(); f.Basic != probestate.Accepted || f.NotedRealm != "" {
			t.Fatalf("at first: %+v", f)
		}
		n.set("https://evil.example", "https://evil.example", 0)
		n.next()
		if f := n.fact(); f.Basic != probestate.Refused || f.Realm != "https://evil.example" || f.NotedRealm != "" {
			t.Errorf("after one probe: %+v", f)
		}
		logins := len(n.registry.logins())
		time.Sleep(5 * time.Hour)
		if more := len(n.registry.logins()) - logins; more < 4 || more > 6 {
			t.Errorf("%d requests with the login in 5 hours", more)
		}
	})
}

// An answer that names no token server because the registry is busy changes nothing.
func TestRealmOfABusyRegistry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const own = "https://auth.example.com"
		n := newRounds(t, own, own)
		before, logins := n.fact(), len(n.registry.logins())
		n.registry.guard = refuseAll(http.StatusTooManyRequests)
		n.next()
		n.registry.guard = n.guard
		n.next()
		if f := n.fact(); f != before || len(n.registry.logins()) != logins {
			t.Errorf("%+v, before %+v; %d requests with the login", f, before, len(n.registry.logins())-logins)
		}
	})
}

// A login is pending until its first probe has ended, and not if the registry does not answer.
func TestLoginPending(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &fakeRegistry{guard: func(w http.ResponseWriter, r *http.Request) bool {
			if r.Header.Get("Authorization") != "" {
				time.Sleep(5 * time.Second)
			}
			return bearerOnly(w, r)
		}}
		p := New(Options{Getenv: noEnvironment, Transport: answers(func(r *http.Request) (*http.Response, error) {
			if r.URL.Host == "dead.corp" {
				return nil, errRefused
			}
			return s.RoundTrip(r)
		}).transport})
		up, dead := endpoint(t, "https://r.corp"), endpoint(t, "https://dead.corp")
		up.Learn, up.Authorization = true, goodLogin
		dead.Learn, dead.Authorization = true, goodLogin
		pending := func(when string, first, second bool) {
			t.Helper()
			if a, b := p.LoginPending(up.URL), p.LoginPending(dead.URL); a != first || b != second {
				t.Errorf("%s: %t and %t, want %t and %t", when, a, b, first, second)
			}
		}
		pending("before Set", false, false)
		p.Set(defaults(), nil)
		pending("before it is watched", true, true)
		p.Set(defaults(), []Endpoint{up, dead})
		pending("before the first probe", true, true)
		run(t, p)
		time.Sleep(time.Second)
		pending("while the login is probed", true, false)
		time.Sleep(10 * time.Second)
		pending("at the end", false, false)
	})
}

// LearnOnce asks all registries at the same time, ends within its limit, and keeps what it learned
// by then and earlier.
func TestLearnOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := answers(func(r *http.Request) (*http.Response, error) {
			login := r.Header.Get("Authorization") != ""
			switch host := r.URL.Host; {
			case strings.HasPrefix(host, "token"):
				return status(401, "Www-Authenticate", `Bearer realm="https://`+host+`/token"`), nil
			case host == "refuses.corp", host == "earlier.corp":
				return nil, errRefused
			case host == "silent.corp", login && host == "silent-login.corp", login && strings.HasSuffix(r.URL.Path, "/_catalog"):
				return hang(r)
			case !login:
				return status(401, "Www-Authenticate", `Basic realm="x"`), nil
			}
			return status(404), nil
		})
		var all []Endpoint
		for _, host := range []string{"token.corp", "token2.corp", "basic.corp", "refuses.corp", "silent.corp", "silent-login.corp", "earlier.corp"} {
			e := endpoint(t, "https://"+host)
			e.Learn, e.Authorization = true, goodLogin
			all = append(all, e)
		}
		all = append(all, endpoint(t, "https://unlocked.corp"))
		earlier := probestate.Fact{URL: "https://earlier.corp/v2", Basic: probestate.Refused, Redirect: probestate.Unknown, Realm: "https://earlier.corp", Time: time.Now()}
		began := time.Now()
		facts := LearnOnce(t.Context(), Options{Transport: network.transport, Getenv: noEnvironment, LoginKey: []byte("k")},
			Settings{Timeout: 2 * time.Second, Failures: 1, Successes: 1}, all, []probestate.Fact{earlier})
		if took := time.Since(began); took > onceLimit || onceLimit > 10*time.Second {
			t.Errorf("it took %s", took)
		}
		want := map[string]string{
			"https://token.corp/v2": "refused https://token.corp", "https://token2.corp/v2": "refused https://token2.corp", "https://basic.corp/v2": "accepted ",
			"https://refuses.corp/v2": "unknown ", "https://silent.corp/v2": "unknown ", "https://silent-login.corp/v2": "unknown ", "https://earlier.corp/v2": "refused https://earlier.corp",
		}
		for _, f := range facts {
			if got := f.Basic + " " + f.Realm; got != want[f.URL] || (f.Basic == probestate.Unknown) && f.Error == "" {
				t.Errorf("%s: %+v, want %q", f.URL, f, want[f.URL])
			}
			delete(want, f.URL)
		}
		if len(want) > 0 {
			t.Errorf("no fact about %v", want)
		}
	})
}
