package health

import (
	"encoding/base64"
	"net/http"
	"strings"
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
