package health

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/berth-registry/berth/config"
	"github.com/berth-registry/berth/internal/dockerhublimit"
	"github.com/berth-registry/berth/internal/redact"
)

const hubTestToken = "hub-token-canary"

// dockerHub is Docker Hub's token server and registry in one.
type dockerHub struct {
	mu     sync.Mutex
	seen   []request
	accept string
	// answers, changed by a test
	tokenStatus, status int
	header              http.Header
}

func newDockerHub() *dockerHub {
	return &dockerHub{tokenStatus: 200, status: 200, header: http.Header{
		"Ratelimit-Limit": {"100;w=21600"}, "Ratelimit-Remaining": {"76;w=21600"}, "Docker-Ratelimit-Source": {"192.0.2.7"},
	}}
}

func (h *dockerHub) RoundTrip(r *http.Request) (*http.Response, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.seen = append(h.seen, request{time.Now(), r.Method, r.URL.Host + r.URL.Path, r.URL.RequestURI(), r.Header.Get("Authorization")})
	if r.URL.Path == "/token" {
		return body(h.tokenStatus, fmt.Sprintf(`{"token":%q,"expires_in":300}`, hubTestToken)), nil
	}
	h.accept = r.Header.Get("Accept")
	resp := status(h.status)
	resp.Header = h.header.Clone()
	return resp, nil
}

func (h *dockerHub) change(f func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	f()
}

func (h *dockerHub) requests() []request {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]request(nil), h.seen...)
}

func TestHub(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newDockerHub()
		p := New(Options{Rand: seeded(1), Transport: answers(h.RoundTrip).transport})
		if _, on := p.Hub(); on {
			t.Error("on before it is said")
		}
		run(t, p)
		time.Sleep(time.Hour)
		if n := len(h.requests()); n != 0 {
			t.Fatalf("%d requests before it is said", n)
		}
		p.SetHub(true, "", redact.Secret{})
		time.Sleep(time.Second)
		l, on := p.Hub()
		if !on || l.Limit != (dockerhublimit.Limit{Limited: true, Total: 100, Remaining: 76, Window: 6 * time.Hour, Counted: "192.0.2.7"}) || l.Err != "" || l.Time.IsZero() {
			t.Errorf("%+v", l)
		}
		got := h.requests()
		if len(got) != 2 || got[0].method != "GET" || got[0].url != "auth.docker.io/token" || got[0].login != "" ||
			got[0].uri != "/token?scope=repository%3Aratelimitpreview%2Ftest%3Apull&service=registry.docker.io" {
			t.Errorf("%+v", got)
		}
		// GET would count as a pull.
		if got[1].method != "HEAD" || got[1].url != "registry-1.docker.io/v2/ratelimitpreview/test/manifests/latest" || got[1].login != "Bearer "+hubTestToken {
			t.Errorf("%+v", got[1])
		}
		if !strings.Contains(h.accept, "oci.image.index") {
			t.Errorf("Accept %q", h.accept)
		}

		// A new login is used at once, and only the token server gets it.
		p.SetHub(true, username, redact.New(password))
		time.Sleep(time.Second)
		got = h.requests()[2:]
		if len(got) != 2 || got[0].login != goodLogin.Reveal() || got[1].login != "Bearer "+hubTestToken {
			t.Errorf("with a login: %+v", got)
		}
		for range 100 { // level-triggered
			p.SetHub(true, username, redact.New(password))
			time.Sleep(time.Second)
		}
		if n := len(h.requests()); n != 4 {
			t.Errorf("%d requests", n)
		}
		start := len(h.requests())
		time.Sleep(10 * time.Hour)
		if n := float64(len(h.requests())-start) / 10; n < HubRequestsPerHour*0.9 || n > HubRequestsPerHour*1.1 {
			t.Errorf("%v requests an hour", n)
		}
		p.SetHub(false, "", redact.Secret{})
		start = len(h.requests())
		time.Sleep(10 * time.Hour)
		if n := len(h.requests()); n != start {
			t.Errorf("%d requests when off", n-start)
		}
		if l, on := p.Hub(); on || l != (HubLimit{}) {
			t.Errorf("off: %+v", l)
		}
	})
}

func TestHubAnswers(t *testing.T) {
	for _, c := range []struct {
		name                string
		tokenStatus, status int
		header              http.Header
		want                dockerhublimit.Limit
		text                string
	}{
		{"nothing left", 200, 429, http.Header{"Ratelimit-Limit": {"100;w=21600"}, "Ratelimit-Remaining": {"0;w=21600"}},
			dockerhublimit.Limit{Limited: true, Total: 100, Window: 6 * time.Hour}, ""},
		{"no limit", 200, 200, http.Header{"Docker-Ratelimit-Source": {"uuid"}}, dockerhublimit.Limit{Counted: "uuid"}, ""},
		{"no window", 200, 200, http.Header{"Ratelimit-Limit": {"200"}, "Ratelimit-Remaining": {" 7 ; x=1"}}, dockerhublimit.Limit{Limited: true, Total: 200, Remaining: 7}, ""},
		{"source of many lines", 200, 200, http.Header{"Docker-Ratelimit-Source": {"a\tb" + strings.Repeat("c", 300)}},
			dockerhublimit.Limit{Counted: "ab" + strings.Repeat("c", 62)}, ""},
		{"wrong password", 401, 200, nil, dockerhublimit.Limit{}, "no token: auth.docker.io answered 401"},
		{"token server ill", 503, 200, nil, dockerhublimit.Limit{}, "503"},
		{"registry ill", 200, 500, nil, dockerhublimit.Limit{}, "registry-1.docker.io answered 500"},
		{"garbage", 200, 200, http.Header{"Ratelimit-Limit": {"many"}}, dockerhublimit.Limit{}, "the rate limit in the answer is no number"},
		{"garbage remaining", 200, 200, http.Header{"Ratelimit-Limit": {"1"}, "Ratelimit-Remaining": {"-1"}}, dockerhublimit.Limit{}, "the rate limit in the answer is no number"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newDockerHub()
				h.tokenStatus, h.status, h.header = c.tokenStatus, c.status, c.header
				p := New(Options{Transport: answers(h.RoundTrip).transport})
				p.SetHub(true, "", redact.Secret{})
				run(t, p)
				time.Sleep(time.Second)
				l, _ := p.Hub()
				if (l.Err == "") != (c.text == "") || !strings.Contains(l.Err, c.text) || l.Time.IsZero() != (c.text != "") {
					t.Errorf("%+v, want %q", l, c.text)
				}
				if l.Limit != c.want {
					t.Errorf("%+v, want %+v", l, c.want)
				}
			})
		})
	}
}

// An error keeps the last values and is followed by retries with growing pauses.
func TestHubErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newDockerHub()
		var log logBuffer
		p := New(Options{Rand: seeded(1), Transport: answers(h.RoundTrip).transport, Log: log.logger()})
		p.SetHub(true, "", redact.Secret{})
		run(t, p)
		time.Sleep(time.Minute)
		h.change(func() { h.status = 503 })
		time.Sleep(20 * time.Minute)
		l, _ := p.Hub()
		if l.Remaining != 76 || l.Err == "" {
			t.Errorf("%+v", l)
		}
		start := len(h.requests())
		time.Sleep(10 * time.Hour)
		tries := h.requests()[start:]
		if n := len(tries) / 2; n < 36 || n > 48 {
			t.Errorf("%d tries in ten hours", n)
		}
		for i := 3; i < len(tries); i += 2 {
			if gap := tries[i].at.Sub(tries[i-2].at); gap < firstRetry*9/10 || gap > hubInterval*11/10 {
				t.Errorf("%s between two tries", gap)
			}
		}
		h.change(func() { h.status = 200 })
		time.Sleep(20 * time.Minute)
		if l, _ := p.Hub(); l.Err != "" {
			t.Errorf("%+v", l)
		}
		if n := strings.Count(log.String(), "Docker Hub"); n != 1 {
			t.Errorf("logged %d times:\n%s", n, log.String())
		}
	})
}

// An answer that arrives after SetHub(false) is dropped.
func TestHubAnswersTooLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newDockerHub()
		slow := answers(func(r *http.Request) (*http.Response, error) {
			time.Sleep(2 * time.Second)
			return h.RoundTrip(r)
		})
		p := New(Options{Transport: slow.transport})
		p.SetHub(true, "", redact.Secret{})
		run(t, p)
		time.Sleep(time.Second)
		p.SetHub(false, "", redact.Secret{})
		time.Sleep(time.Minute)
		if l, on := p.Hub(); on || l != (HubLimit{}) {
			t.Errorf("%+v", l)
		}
	})
}

// Over real sockets, through a proxy.
func TestHubThroughProxy(t *testing.T) {
	h := newDockerHub()
	hub := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		resp, _ := h.RoundTrip(r)
		for k, v := range resp.Header {
			w.Header()[k] = v
		}
		w.WriteHeader(resp.StatusCode)
		_, _ = io.Copy(w, resp.Body)
	}))
	defer hub.Close()
	var mu sync.Mutex
	forwarded := map[string]int{}
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		forwarded[r.Method+" "+r.Host]++
		mu.Unlock()
		r.URL.Host = strings.TrimPrefix(hub.URL, "http://")
		r.RequestURI = ""
		resp, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(r)
		if err != nil {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		defer resp.Body.Close()
		for k, v := range resp.Header {
			w.Header()[k] = v
		}
		w.WriteHeader(resp.StatusCode)
		_, _ = io.Copy(w, resp.Body)
	}))
	defer proxy.Close()
	p := New(Options{Getenv: noEnvironment, Hub: dockerhublimit.Service{Registry: "http://hub.corp", Token: "http://auth.corp/token?service=registry.docker.io"}})
	s := longTimeout()
	s.Mode = config.HealthOff // does not matter for Docker Hub
	s.Proxy.HTTPProxy = redact.New(proxy.URL)
	p.Set(s, nil)
	p.SetHub(true, "", redact.Secret{})
	stop := run(t, p)
	eventually(t, "the limit", func() bool { l, _ := p.Hub(); return l.Total == 100 })
	stop()
	mu.Lock()
	defer mu.Unlock()
	if len(forwarded) != 2 || forwarded["GET auth.corp"] != 1 || forwarded["HEAD hub.corp"] != 1 {
		t.Errorf("the proxy saw %v", forwarded)
	}
}
