package health

import (
	"context"
	"encoding/base64"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/berth-registry/berth/config"
	"github.com/berth-registry/berth/hostsconf"
	"github.com/berth-registry/berth/internal/redact"
)

// fakeProxy is a proxy that connects every name to one address and records its requests.
type fakeProxy struct {
	*httptest.Server
	to string // host:port

	mu    sync.Mutex
	asked []string
	login []string
}

// newFakeProxy makes a proxy that refuses with code unless code is 0.
func newFakeProxy(t *testing.T, to string, code int) *fakeProxy {
	t.Helper()
	f := &fakeProxy{to: to}
	// The server does not track a hijacked connection, so its handler is waited for here.
	var handlers sync.WaitGroup
	closed := false
	enter := func() bool {
		f.mu.Lock()
		defer f.mu.Unlock()
		if !closed {
			handlers.Add(1)
		}
		return !closed
	}
	f.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !enter() {
			return
		}
		defer handlers.Done()
		f.mu.Lock()
		f.asked = append(f.asked, r.Method+" "+r.RequestURI)
		f.login = append(f.login, r.Header.Get("Proxy-Authorization"))
		f.mu.Unlock()
		switch {
		case code != 0 && r.Method == http.MethodConnect:
			// A status line that repeats the login, as a debugging proxy may send.
			c, _, err := w.(http.Hijacker).Hijack()
			if err == nil {
				_, _ = io.WriteString(c, "HTTP/1.1 407 no entry for "+r.Header.Get("Proxy-Authorization")+"\r\n\r\n")
				_ = c.Close()
			}
		case code != 0:
			w.WriteHeader(code)
		case r.Method == http.MethodConnect:
			out, err := net.Dial("tcp", f.to)
			if err != nil {
				w.WriteHeader(http.StatusBadGateway)
				return
			}
			c, _, err := w.(http.Hijacker).Hijack()
			if err != nil {
				_ = out.Close()
				return
			}
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\n\r\n")
			var back sync.WaitGroup
			back.Go(func() { _, _ = io.Copy(c, out); _ = c.Close() })
			_, _ = io.Copy(out, c)
			_ = out.Close()
			back.Wait()
		default:
			w.WriteHeader(http.StatusUnauthorized)
		}
	}))
	t.Cleanup(func() {
		f.mu.Lock()
		closed = true
		f.mu.Unlock()
		f.Close()
		handlers.Wait()
	})
	return f
}

func (f *fakeProxy) seen() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]string(nil), f.asked...)
}

func env(pairs ...string) func(string) string {
	return func(name string) string {
		for i := 0; i+1 < len(pairs); i += 2 {
			if pairs[i] == name {
				return pairs[i+1]
			}
		}
		return ""
	}
}

func TestProxy(t *testing.T) {
	ca := newAuthority(t)
	server := serve(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}), issued(t)(ca.Server("mirror.corp", "127.0.0.1")), nil)
	address := strings.TrimPrefix(server.URL, "https://")
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	secure := hostsconf.TLS{CA: ca.PEM()}
	// The loopback address is never proxied; *.corp exists only behind a proxy.
	mirror, plain := "https://mirror.corp:"+port, "http://mirror.corp:"+port
	for _, c := range []struct {
		name  string
		url   string
		env   func(proxy string) func(string) string
		proxy func(proxy string) config.Proxy
		asked string // "" if the proxy is not used
	}{
		{"environment", mirror, func(p string) func(string) string { return env("HTTPS_PROXY", p) }, nil, "CONNECT mirror.corp:" + port},
		{"environment in lower case", mirror, func(p string) func(string) string { return env("https_proxy", p) }, nil, "CONNECT mirror.corp:" + port},
		{"environment for http", plain, func(p string) func(string) string { return env("HTTP_PROXY", p) }, nil, "GET " + plain + "/v2/"},
		{"http's is not for https", "https://127.0.0.1:" + port, func(p string) func(string) string { return env("HTTP_PROXY", p) }, nil, ""},
		{"config", mirror, nil, func(p string) config.Proxy { return config.Proxy{HTTPSProxy: redact.New(p)} }, "CONNECT mirror.corp:" + port},
		{"config wins", mirror, func(string) func(string) string { return env("HTTPS_PROXY", "http://127.0.0.1:1") },
			func(p string) config.Proxy { return config.Proxy{HTTPSProxy: redact.New(p)} }, "CONNECT mirror.corp:" + port},
		{"loopback is never proxied", "https://" + address, func(p string) func(string) string { return env("HTTPS_PROXY", p) }, nil, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newFakeProxy(t, address, 0)
			o, s := Options{}, longTimeout()
			if c.env != nil {
				o.Getenv = c.env(f.URL)
			}
			if c.proxy != nil {
				s.Proxy = c.proxy(f.URL)
			}
			e := endpoint(t, c.url)
			e.TLS = secure
			if r := probeOnce(t, o, s, e); !r.healthy() {
				t.Errorf("%+v", r)
			}
			if got := strings.Join(f.seen(), ", "); got != c.asked {
				t.Errorf("the proxy was asked %q, want %q", got, c.asked)
			}
		})
	}
}

// NO_PROXY of the environment and of the config keep a host off the proxy. The names are not
// resolved: only the choice is tested.
func TestNoProxy(t *testing.T) {
	request := func(s string) *http.Request {
		u, err := url.Parse(s)
		if err != nil {
			t.Fatal(err)
		}
		return &http.Request{URL: u}
	}
	environment := readEnvironment(env("HTTPS_PROXY", "http://p.corp:3128", "NO_PROXY", "near.corp,.inner.corp,10.0.0.0/8"))
	given := config.Proxy{HTTPSProxy: redact.New("q.corp:3128"), NoProxy: "far.corp"}
	for _, c := range []struct {
		proxy config.Proxy
		url   string
		want  string
	}{
		{config.Proxy{}, "https://far.corp/v2/", "http://p.corp:3128"},
		{config.Proxy{}, "https://near.corp/v2/", ""},
		{config.Proxy{}, "https://a.inner.corp:5000/v2/", ""},
		{config.Proxy{}, "https://10.1.2.3/v2/", ""},
		{config.Proxy{}, "http://far.corp/v2/", ""},
		{given, "https://far.corp/v2/", ""},
		{given, "https://near.corp/v2/", "http://q.corp:3128"},
		{config.Proxy{NoProxy: "x"}, "https://far.corp/v2/", ""},
	} {
		u, err := environment.choose(c.proxy)(request(c.url))
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		if u != nil {
			got = u.String()
		}
		if got != c.want {
			t.Errorf("%s with %+v: %q, want %q", c.url, c.proxy, got, c.want)
		}
	}
}

// A new proxy in the config is used from then on.
func TestNewProxy(t *testing.T) {
	first, second := newFakeProxy(t, "", http.StatusUnauthorized), newFakeProxy(t, "", http.StatusUnauthorized)
	p := New(Options{Getenv: noEnvironment})
	s := longTimeout()
	s.Proxy.HTTPProxy = redact.New(first.URL)
	all := []Endpoint{endpoint(t, "http://mirror.corp")}
	p.Set(s, all)
	stop := run(t, p)
	eventually(t, "the first is asked", func() bool { return len(first.seen()) == 1 })
	s.Proxy.HTTPProxy = redact.New(second.URL)
	p.Set(s, all)
	eventually(t, "the second is asked", func() bool { return len(second.seen()) == 1 })
	stop()
	if n := len(first.seen()); n != 1 {
		t.Errorf("the first was asked %d times", n)
	}
}

// The errors distinguish a proxy that is gone, one that refuses and one that answers for a dead
// host. None shows the proxy's login.
func TestProxyFails(t *testing.T) {
	const password = "pr0xy-canary"
	encoded := base64.StdEncoding.EncodeToString([]byte("user:" + password))
	refuses := newFakeProxy(t, "", http.StatusProxyAuthRequired)
	noHost := newFakeProxy(t, closedPort(t), 0)
	withLogin := func(address string) string {
		return strings.Replace(address, "http://", "http://user:"+password+"@", 1)
	}
	for _, c := range []struct {
		name, proxy string
		expires     moment
		reason      Reason
		text        string
	}{
		{"gone", withLogin("http://" + closedPort(t)), never, Proxy, "cannot be reached: connection refused"},
		{"refuses", withLogin(refuses.URL), never, Proxy, "407"},
		{"cannot reach the host", withLogin(noHost.URL), never, Proxy, "502"},
		{"hangs", withLogin("http://" + rawServer(t, func(ctx context.Context, _ net.Conn) { <-ctx.Done() })), connected, Timeout, "no answer within"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := timeoutAt(t, Options{Getenv: env("HTTPS_PROXY", c.proxy)}, c.expires, endpoint(t, "https://mirror.corp"))
			if r.reason != c.reason || !strings.Contains(r.err, c.text) {
				t.Errorf("%+v, want %s with %q", r, c.reason, c.text)
			}
			if strings.Contains(r.err, password) || strings.Contains(r.err, encoded) {
				t.Errorf("the error shows the proxy's login: %s", r.err)
			}
		})
	}
	refuses.mu.Lock()
	defer refuses.mu.Unlock()
	if len(refuses.login) == 0 || !strings.Contains(refuses.login[0], encoded) {
		t.Errorf("the control does not work: the proxy got %q", refuses.login)
	}
}
