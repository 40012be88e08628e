package health

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/berth-registry/berth/hostsconf"
	"github.com/berth-registry/berth/internal/redact"
)

const blobDigest = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

// fakeRegistry is a registry with repositories of one tag each. It serves the part of the API that
// a pull needs.
type fakeRegistry struct {
	root         string // "" means "/v2"
	repositories []string
	empty        map[string]bool // repositories without tags
	index        bool            // tags name an index
	blob         string          // where blobs redirect to, "" for nowhere
	manifest     string          // where manifests redirect to
	// guard may answer instead of the registry.
	guard func(w http.ResponseWriter, r *http.Request) (done bool)

	mu   sync.Mutex
	seen []request
}

type request struct {
	at               time.Time
	method, url, uri string
	login            string
}

func (s *fakeRegistry) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.seen = append(s.seen, request{time.Now(), r.Method, "http://" + r.Host + r.URL.Path, r.URL.RequestURI(), r.Header.Get("Authorization")})
	s.mu.Unlock()
	if s.guard != nil && s.guard(w, r) {
		return
	}
	root := s.root
	if root == "" {
		root = "/v2"
	}
	path, ok := strings.CutPrefix(r.URL.Path, root+"/")
	if !ok {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	for _, name := range s.repositories {
		rest, ok := strings.CutPrefix(path, name+"/")
		if !ok {
			continue
		}
		switch {
		case rest == "tags/list" && s.empty[name]:
			fmt.Fprintf(w, `{"name":%q,"tags":null}`, name)
		case rest == "tags/list":
			fmt.Fprintf(w, `{"name":%q,"tags":["1.0","2.0"]}`, name)
		case rest == "manifests/1.0" && s.index:
			fmt.Fprintf(w, `{"manifests":[{"digest":%q}]}`, blobDigest)
		case strings.HasPrefix(rest, "manifests/") && s.manifest != "":
			w.Header().Set("Location", s.manifest)
			w.WriteHeader(http.StatusTemporaryRedirect)
		case rest == "manifests/1.0", rest == "manifests/"+blobDigest:
			fmt.Fprintf(w, `{"config":{"digest":"sha256:%064d","size":3},"layers":[{"digest":"sha256:%064d","size":2},{"digest":%q,"size":9}]}`, 1, 2, blobDigest)
		case rest == "blobs/"+blobDigest && s.blob != "":
			w.Header().Set("Location", s.blob)
			w.WriteHeader(http.StatusTemporaryRedirect)
		case rest == "blobs/"+blobDigest && r.Header.Get("Range") == "bytes=0-0":
			w.WriteHeader(http.StatusPartialContent)
		default:
			w.WriteHeader(http.StatusNotFound)
		}
		return
	}
	switch path {
	case "":
		w.WriteHeader(http.StatusOK)
	case "_catalog":
		names := slices.Clone(s.repositories)
		slices.Sort(names)
		names = slices.DeleteFunc(names, func(n string) bool { return n <= r.URL.Query().Get("last") })
		var limit int
		if _, err := fmt.Sscan(r.URL.Query().Get("n"), &limit); err == nil && limit < len(names) {
			names = names[:limit]
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"other": map[string]any{"repositories": []string{"no"}}, "repositories": names})
	default:
		w.WriteHeader(http.StatusNotFound)
	}
}

// RoundTrip makes a fakeRegistry a network of its own.
func (s *fakeRegistry) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	q := r.Clone(r.Context())
	q.Host = r.URL.Host
	s.ServeHTTP(w, q)
	return w.Result(), nil
}

func (s *fakeRegistry) transport(hostsconf.TLS) (http.RoundTripper, error) { return s, nil }

// logins lists the requests with a login. Probes have none.
func (s *fakeRegistry) logins() []request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(s.seen), func(r request) bool { return r.login == "" })
}

const (
	username = "robot"
	password = "s3cret-canary"
)

var goodLogin = hostsconf.BasicAuthorization(username, redact.New(password))

// challenge answers 401 with these challenges.
func challenge(w http.ResponseWriter, challenges ...string) bool {
	for _, c := range challenges {
		w.Header().Add("Www-Authenticate", c)
	}
	w.WriteHeader(http.StatusUnauthorized)
	return true
}

func basicOnly(w http.ResponseWriter, r *http.Request) bool {
	if r.Header.Get("Authorization") == goodLogin.Reveal() {
		return false
	}
	return challenge(w, `Basic realm="registry, corp"`)
}

const bearerChallenge = `Bearer realm="https://evil.example/token",service="registry",scope="repository:x:pull"`

// bearerOnly behaves as Docker Hub: Basic is ignored.
func bearerOnly(w http.ResponseWriter, _ *http.Request) bool { return challenge(w, bearerChallenge) }

// harbor accepts Basic, answers with a challenge for Basic where the login may not read, and names
// a token server to requests without a login.
func harbor(w http.ResponseWriter, r *http.Request) bool {
	switch _, _, basic := r.BasicAuth(); {
	case !basic:
		return challenge(w, bearerChallenge)
	case r.Header.Get("Authorization") != goodLogin.Reveal(), strings.Contains(r.URL.Path, probeRepository), strings.Contains(r.URL.Path, "_catalog"):
		return challenge(w, `Basic realm="harbor"`)
	}
	return false
}

func refuseAll(code int) func(http.ResponseWriter, *http.Request) bool {
	return func(w http.ResponseWriter, _ *http.Request) bool { w.WriteHeader(code); return true }
}
