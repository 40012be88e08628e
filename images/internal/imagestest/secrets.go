package imagestest

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/berth-registry/berth/credprovider"
	"github.com/berth-registry/berth/internal/redact"
)

// Canary is a password that no output may contain.
const Canary = "hunter2-canary"

// Logins returns the logins in the form in which they are looked up.
func Logins(all ...credprovider.Login) credprovider.Logins { return credprovider.NewLogins(all) }

// Login is a login for a host, or for a path of it, with the password [Canary].
func Login(host, path string) credprovider.Login {
	return credprovider.Login{Host: host, Path: path, Username: "user", Password: redact.New(Canary)}
}

// Decoy is a host that must not get a secret. It answers every request with a request for a login.
type Decoy struct {
	*httptest.Server
	mu   sync.Mutex
	seen []string
	body string
}

// StartDecoy starts a server that records every request.
func StartDecoy(t testing.TB) *Decoy {
	d := &Decoy{}
	d.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		d.mu.Lock()
		seen := r.Method + " " + r.URL.String()
		for name, values := range r.Header {
			seen += fmt.Sprintf(" %s=%q", name, values)
		}
		d.seen = append(d.seen, seen)
		body := d.body
		d.mu.Unlock()
		if body != "" {
			_, _ = w.Write([]byte(body))
			return
		}
		if r.Method == http.MethodPut {
			w.WriteHeader(http.StatusForbidden) // a challenge would be retried
			return
		}
		w.Header().Set("WWW-Authenticate", `Basic realm="give"`)
		w.WriteHeader(http.StatusUnauthorized)
	}))
	t.Cleanup(d.Close)
	return d
}

// WantNothing checks that no request had a secret, and whether there were any.
func (d *Decoy) WantNothing(t testing.TB, came bool) {
	t.Helper()
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, s := range d.seen {
		if strings.Contains(s, Canary) || strings.Contains(s, base64.StdEncoding.EncodeToString([]byte("user:"+Canary))) ||
			strings.Contains(s, "Authorization") || strings.Contains(s, "token-of-") || strings.Contains(s, "X-Secret") {
			t.Errorf("a secret came along: %s", s)
		}
	}
	if came != (len(d.seen) > 0) {
		t.Errorf("%d requests came to the decoy, want any: %v", len(d.seen), came)
	}
}
