package dockerhublimit

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/berth-registry/berth/internal/redact"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func header(pairs ...string) http.Header {
	h := http.Header{}
	for i := 0; i < len(pairs); i += 2 {
		h.Set(pairs[i], pairs[i+1])
	}
	return h
}

func TestParse(t *testing.T) {
	for _, c := range []struct {
		name   string
		header http.Header
		want   Limit
		fails  bool
	}{
		{"as documented", header("ratelimit-limit", "100;w=21600", "ratelimit-remaining", "76;w=21600", "docker-ratelimit-source", "192.0.2.1"),
			Limit{true, 100, 76, 6 * time.Hour, "192.0.2.1"}, false},
		{"nothing left", header("ratelimit-limit", "10;w=3600", "ratelimit-remaining", "0;w=3600"), Limit{true, 10, 0, time.Hour, ""}, false},
		{"no window", header("ratelimit-limit", "200", "ratelimit-remaining", "199"), Limit{true, 200, 199, 0, ""}, false},
		{"another parameter first", header("ratelimit-limit", "5;x=1;w=60", "ratelimit-remaining", "5"), Limit{true, 5, 5, time.Minute, ""}, false},
		{"nothing", header(), Limit{}, true},
		{"half of it", header("ratelimit-limit", "100;w=21600"), Limit{}, true},
		{"no number", header("ratelimit-limit", "many", "ratelimit-remaining", "some"), Limit{}, true},
		{"negative", header("ratelimit-limit", "100;w=1", "ratelimit-remaining", "-1"), Limit{}, true},
		{"huge window", header("ratelimit-limit", "100;w=99999999999999999999", "ratelimit-remaining", "1"), Limit{}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := Parse(c.header)
			if c.fails {
				if err == nil {
					t.Fatalf("%+v, want an error", got)
				}
				return
			}
			if err != nil || got != c.want {
				t.Errorf("%+v %v, want %+v", got, err, c.want)
			}
		})
	}
	if _, err := Parse(header()); !errors.Is(err, ErrNone) {
		t.Errorf("%v, want ErrNone", err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add("100;w=21600", "76;w=21600", "192.0.2.1")
	f.Add(";w=", "", "\x1b[31m")
	f.Fuzz(func(t *testing.T, total, remaining, source string) {
		h := http.Header{"Ratelimit-Limit": {total}, "Ratelimit-Remaining": {remaining}, "Docker-Ratelimit-Source": {source}}
		l, err := Parse(h)
		if err != nil {
			return
		}
		if l.Total < 0 || l.Remaining < 0 || l.Window < 0 || !l.Limited {
			t.Errorf("%+v", l)
		}
		if strings.ContainsFunc(l.Counted, func(r rune) bool { return r <= ' ' || r > '~' }) {
			t.Errorf("counted by %q", l.Counted)
		}
	})
}

// hub is a Docker Hub that gives a token to user:secret or to an anonymous client.
func hub(t *testing.T, manifest http.HandlerFunc) (host string, client *http.Client) {
	t.Helper()
	mux := http.NewServeMux()
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	mux.HandleFunc("GET /token", func(w http.ResponseWriter, r *http.Request) {
		who := "anybody"
		if user, password, ok := r.BasicAuth(); ok {
			if user != "user" || password != "hunter2" {
				w.WriteHeader(http.StatusUnauthorized)
				return
			}
			who = user
		}
		if got := r.URL.Query().Get("scope"); got != "repository:ratelimitpreview/test:pull" {
			t.Errorf("scope %q", got)
		}
		_, _ = w.Write([]byte(`{"token":"` + who + `"}`))
	})
	mux.HandleFunc("/v2/", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") == "" {
			w.Header().Set("WWW-Authenticate", `Bearer realm="`+s.URL+`/token",service="hub"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		if r.Method != http.MethodHead || r.URL.Path != "/v2/ratelimitpreview/test/manifests/latest" {
			t.Errorf("%s %s costs a pull", r.Method, r.URL.Path)
		}
		manifest(w, r)
	})
	return strings.TrimPrefix(s.URL, "http://"), s.Client()
}

func TestAsk(t *testing.T) {
	host, client := hub(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.Header.Get("Authorization") {
		case "Bearer user": // an account without a limit
		case "Bearer anybody":
			w.Header().Set("RateLimit-Limit", "100;w=21600")
			w.Header().Set("RateLimit-Remaining", "0;w=21600")
			w.WriteHeader(http.StatusTooManyRequests)
		}
	})
	got, err := Ask(t.Context(), client, host, "", redact.Secret{})
	if want := (Limit{true, 100, 0, 6 * time.Hour, ""}); err != nil || got != want {
		t.Errorf("%+v %v, want %+v", got, err, want)
	}
	got, err = Ask(t.Context(), client, host, "user", redact.New("hunter2"))
	if err != nil || got != (Limit{}) {
		t.Errorf("%+v %v, want no limit", got, err)
	}
	if _, err = Ask(t.Context(), client, host, "user", redact.New("wrong")); err == nil || !strings.Contains(err.Error(), "401") || strings.Contains(err.Error(), "wrong") {
		t.Errorf("%v, want 401 and no password", err)
	}
}

func TestAskFails(t *testing.T) {
	host, client := hub(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) })
	if got, err := Ask(t.Context(), client, host, "", redact.Secret{}); err == nil || !strings.Contains(err.Error(), "503") {
		t.Errorf("%+v %v, want 503", got, err)
	}
	if _, err := Ask(t.Context(), client, "127.0.0.1:1", "", redact.Secret{}); err == nil || strings.Contains(err.Error(), "\n") {
		t.Errorf("%q, want one line", err)
	}
}

// Another host must not get the login through a redirect.
func TestAskDoesNotFollow(t *testing.T) {
	asked := 0
	decoy := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked++ }))
	defer decoy.Close()
	s := httptest.NewServer(http.RedirectHandler(decoy.URL+"/v2/", http.StatusTemporaryRedirect))
	defer s.Close()
	_, err := Ask(t.Context(), s.Client(), strings.TrimPrefix(s.URL, "http://"), "user", redact.New("hunter2"))
	if err == nil || asked > 0 {
		t.Errorf("%v, and the other host was asked %d times", err, asked)
	}
}

// network is a transport made from a function.
type network func(*http.Request) (*http.Response, error)

func (n network) RoundTrip(r *http.Request) (*http.Response, error) { return n(r) }

// Docker Hub's token service is fixed: a host that stands in for the registry cannot send the login
// elsewhere.
func TestDockerHubNamesItsTokenService(t *testing.T) {
	var asked []string
	_, err := DockerHub().Ask(t.Context(), network(func(r *http.Request) (*http.Response, error) {
		user, _, _ := r.BasicAuth()
		asked = append(asked, r.Method+" "+r.URL.Scheme+"://"+r.URL.Host+" "+user)
		resp := &http.Response{StatusCode: http.StatusUnauthorized, Header: header("www-authenticate", `Bearer realm="https://evil.corp/token"`), Body: http.NoBody}
		if r.URL.Path == "/token" {
			resp.StatusCode, resp.Body = http.StatusOK, io.NopCloser(strings.NewReader(`{"token":"x"}`))
		}
		return resp, nil
	}), "user", redact.New("hunter2"))
	if err == nil || !strings.Contains(err.Error(), "401") {
		t.Error(err)
	}
	if want := []string{"GET https://auth.docker.io user", "HEAD https://registry-1.docker.io "}; !slices.Equal(asked, want) {
		t.Errorf("asked %q, want %q", asked, want)
	}
}

// An answer that is not a token is neither put into a header nor repeated.
func TestAnswersThatAreNoToken(t *testing.T) {
	for _, answer := range []string{"", "no JSON canary", `{"token":""}`, `{"token":"canary\r\nX: y"}`, `{"token":["canary"]}`} {
		heads := 0
		_, err := DockerHub().Ask(t.Context(), network(func(r *http.Request) (*http.Response, error) {
			if r.Method == http.MethodHead {
				heads++
			}
			return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(answer))}, nil
		}), "", redact.Secret{})
		if err == nil || heads > 0 || strings.Contains(err.Error(), "canary") {
			t.Errorf("%q: %v, %d requests to the registry", answer, err, heads)
		}
	}
}
