package serve_test

import (
	"crypto/tls"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"

	"github.com/berth-registry/berth/images/serve"
	"github.com/berth-registry/berth/test/pki"
)

func hash(t testing.TB, password string) string {
	t.Helper()
	h, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	return string(h)
}

func TestPasswords(t *testing.T) {
	file := filepath.Join(t.TempDir(), "users")
	write := func(content string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("# users\nnode:" + hash(t, "p:w") + "\n\nother:" + hash(t, "else") + "\n")
	p, err := serve.ReadPasswords(file)
	if err != nil {
		t.Fatal(err)
	}
	served := 0
	h := p.Protect(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { served++ }))
	login := func(user, password string) int {
		r := httptest.NewRequestWithContext(t.Context(), "GET", "/v2/", nil)
		if user != "" {
			r.SetBasicAuth(user, password)
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code == 401 && !strings.HasPrefix(w.Header().Get("Www-Authenticate"), "Basic ") {
			t.Errorf("a refusal without a challenge: %v", w.Header())
		}
		return w.Code
	}
	for range 2 { // the second time from memory
		for _, test := range []struct {
			user, password string
			status         int
		}{{"node", "p:w", 200}, {"other", "else", 200}, {"node", "else", 401}, {"none", "p:w", 401}, {"", "", 401}} {
			if got := login(test.user, test.password); got != test.status {
				t.Errorf("%s: %d, want %d", test.user, got, test.status)
			}
		}
	}
	if served != 4 {
		t.Errorf("%d requests were served", served)
	}
	// A changed file counts at once; a broken one leaves the last in use.
	write("node:" + hash(t, "newer") + "\n")
	if login("node", "p:w") != 401 || login("node", "newer") != 200 || login("other", "else") != 401 {
		t.Error("the file has changed, the logins have not")
	}
	write("node:broken")
	if login("node", "newer") != 200 {
		t.Error("a broken file ended a login")
	}
}

func TestPasswordFileErrors(t *testing.T) {
	file := filepath.Join(t.TempDir(), "users")
	for content, want := range map[string]string{
		"":                                       "holds no login",
		"a:$apr1$hunter2":                        ":1: is not USER:HASH with a bcrypt hash; write it with htpasswd -B",
		"# x\n\nhunter2\n":                       ":3: is not",
		":" + hash(t, "x"):                       ":1: is not",
		"a:{SHA}hunter2":                         ":1: is not",
		strings.Repeat("#", 1<<20) + "\nhunter2": "is larger than",
	} {
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := serve.ReadPasswords(file)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%.30q: %v, want %s", content, err, want)
		}
	}
}

// TestCertificateIsFollowed replaces a certificate: the next connection gets it, also when the two
// files change one after the other.
func TestCertificateIsFollowed(t *testing.T) {
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	write := func(file string, content []byte) {
		t.Helper()
		if err := os.WriteFile(file, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	pair := func(name string) pki.Pair {
		t.Helper()
		ca, err := pki.New(name)
		if err != nil {
			t.Fatal(err)
		}
		p, err := ca.Server("127.0.0.1")
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	first, second := pair("first"), pair("second")
	write(cert, first.CertPEM)
	write(key, first.KeyPEM)
	c, err := serve.ReadCertificate(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	issuer := func() string {
		t.Helper()
		pair, err := c.Get(&tls.ClientHelloInfo{})
		if err != nil {
			t.Fatal(err)
		}
		return pair.Leaf.Issuer.CommonName
	}
	if issuer() != "first" {
		t.Error(issuer())
	}
	write(cert, second.CertPEM)
	later := time.Now().Add(time.Second)
	if err := os.Chtimes(cert, later, later); err != nil {
		t.Fatal(err)
	}
	if issuer() != "first" {
		t.Error("half a pair was used")
	}
	write(key, second.KeyPEM)
	if issuer() != "second" {
		t.Error("the new pair is not used")
	}
}
