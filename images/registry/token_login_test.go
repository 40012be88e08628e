package registry

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/berth-registry/berth/credprovider"
	"github.com/berth-registry/berth/internal/redact"
	"github.com/berth-registry/berth/test/fakes/upstream"
)

// An identity token is exchanged at the token server, a Bearer token goes to the registry as it is.
func TestTokenLogins(t *testing.T) {
	for name, c := range map[string]struct {
		login credprovider.Login
		ok    bool
		want  []string
	}{
		"identity":       {credprovider.Login{Username: credprovider.TokenUser, Password: redact.New("refresh")}, true, []string{"refresh_token refresh"}},
		"wrong identity": {credprovider.Login{Username: credprovider.TokenUser, Password: redact.New("expired")}, false, []string{"refresh_token expired"}},
		"Bearer":         {credprovider.Login{Bearer: true, Password: redact.New("granted")}, true, nil},
		"expired Bearer": {credprovider.Login{Bearer: true, Password: redact.New("expired")}, false, nil},
	} {
		server, asked := tokenRegistry(t)
		host := strings.TrimPrefix(server.URL, "http://")
		c.login.Host = host
		w := NewClient(Access{Logins: credprovider.NewLogins([]credprovider.Login{c.login})}, 1, time.Second, nil)
		reg, err := w.At(host, "team/app")
		if err != nil {
			t.Fatal(err)
		}
		digest, err := reg.Repository("team/app", false).Digest(t.Context(), "v1")
		if (err == nil) != c.ok || c.ok && digest.String() != anyDigest {
			t.Errorf("%s: %v, %v", name, digest, err)
		}
		if err != nil && (strings.Contains(err.Error(), "expired") || !strings.Contains(err.Error(), "login of the config")) {
			t.Errorf("%s: %v", name, err)
		}
		if got := asked(); !slices.Equal(got, c.want) {
			t.Errorf("%s: the token server got %q, want %q", name, got, c.want)
		}
		w.Close()
	}
}

const anyDigest = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

// tokenRegistry starts a registry that takes the Bearer token "granted" alone, and its token server,
// which gives it for the refresh token "refresh". asked returns what the token server was sent.
func tokenRegistry(t *testing.T) (server *httptest.Server, asked func() []string) {
	var mu sync.Mutex
	var seen []string
	mux := http.NewServeMux()
	mux.HandleFunc("/token", func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		seen = append(seen, r.PostFormValue("grant_type")+" "+r.PostFormValue("refresh_token"))
		mu.Unlock()
		if r.PostFormValue("grant_type") != "refresh_token" || r.PostFormValue("refresh_token") != "refresh" {
			upstream.Status(http.StatusUnauthorized).ServeHTTP(w, r)
			return
		}
		upstream.Token("granted").ServeHTTP(w, r)
	})
	var registry http.Handler
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { registry.ServeHTTP(w, r) })
	server = httptest.NewServer(mux)
	t.Cleanup(server.Close)
	registry = upstream.Bearer(server.URL+"/token", "granted", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Docker-Content-Digest", anyDigest)
		w.Header().Set("Content-Type", "application/vnd.oci.image.manifest.v1+json")
		w.Header().Set("Content-Length", "17")
	}))
	return server, func() []string {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(seen)
	}
}
