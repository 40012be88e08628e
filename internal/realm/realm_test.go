package realm

import (
	"errors"
	"net/http"
	"testing"
)

func TestCheck(t *testing.T) {
	for _, c := range []struct {
		scheme, host, realm string
		want                error
	}{
		{"https", "registry-1.docker.io", "https://auth.docker.io/token", nil},
		{"https", "registry.hub.docker.com:443", "https://auth.docker.io/token", nil},
		{"https", "hub.docker.com", "https://auth.docker.io/token", ErrForeign},
		{"https", "ghcr.io", "https://ghcr.io/token", nil},
		{"https", "quay.io:443", "https://quay.io/v2/auth", nil},
		{"https", "registry.gitlab.com", "https://gitlab.com/jwt/auth", nil},
		{"https", "harbor.corp", "https://harbor.corp/service/token", nil},
		{"https", "harbor.corp:8443", "https://HARBOR.corp:9443/service/token", nil},
		{"https", "registry.example.com", "https://auth.example.com/token", nil},
		{"https", "registry.example.co.uk", "https://auth.example.co.uk/token", nil},
		{"https", "registry.example.co.uk", "https://auth.other.co.uk/token", ErrForeign},
		{"https", "harbor.corp", "https://evil.example/token", ErrForeign},
		{"https", "harbor.corp", "https://harbor.corp.evil.example/token", ErrForeign},
		{"https", "a.github.io", "https://b.github.io/token", ErrForeign},
		{"https", "registry.corp", "https://auth.corp/token", ErrForeign}, // corp is a top-level domain
		{"https", "harbor.corp", "http://harbor.corp/token", ErrPlainHTTP},
		{"https", "registry.example.com", "http://auth.example.com/token", ErrPlainHTTP},
		{"https", "harbor.corp", "http://evil.example/token", ErrForeign},
		{"http", "harbor.corp", "https://harbor.corp/token", nil},
		{"http", "127.0.0.1:5000", "http://127.0.0.1:5001/token", nil},
		{"http", "127.0.0.1:5000", "http://127.0.0.2:5001/token", ErrForeign},
		{"http", "registry.example.com", "http://auth.example.com/token", ErrPlainHTTP},
		{"https", "10.0.0.1", "https://192.168.0.1/token", ErrForeign},
		{"https", "10.0.0.1", "https://10.0.0.1/token", nil},
		{"https", "[2001:db8::1]:5000", "https://[2001:db8::1]/token", nil},
		{"https", "[2001:db8::1]", "https://[2001:db8::2]/token", ErrForeign},
		{"https", "localhost:5000", "https://localhost/token", nil},
	} {
		server, err := Parse(c.realm)
		if err != nil {
			t.Fatal(c.realm, err)
		}
		if got := Check(c.scheme, c.host, server, nil); !errors.Is(got, c.want) {
			t.Errorf("%s://%s names %s: %v, want %v", c.scheme, c.host, server, got, c.want)
		}
	}
}

func TestParse(t *testing.T) {
	for realm, want := range map[string]string{
		"https://auth.corp/token?service=x": "https://auth.corp",
		"https://AUTH.corp:443":             "https://auth.corp",
		"http://auth.corp:80/":              "http://auth.corp",
		"https://user:secret@auth.corp/":    "https://auth.corp",
		"":                                  "",
		"/token":                            "",
		"ftp://auth.corp":                   "",
		"https://":                          "",
		"https://a b":                       "",
		"https://%41uth.corp/\x00":          "",
	} {
		if got, err := Parse(realm); got != want || (err == nil) != (want != "") {
			t.Errorf("%q: %q, %v, want %q", realm, got, err, want)
		}
	}
}

func TestNamed(t *testing.T) {
	for _, c := range []struct {
		challenges []string
		want       string
	}{
		{[]string{`Bearer realm="https://auth.corp/token",service="x"`}, "https://auth.corp"},
		{[]string{`Basic realm="x"`, `Bearer realm="https://auth.corp/token"`}, "https://auth.corp"},
		{[]string{`Basic realm="https://auth.corp/token"`}, ""},
		{[]string{`Bearer service="x"`}, ""},
		{nil, ""},
	} {
		got, ok := Named(http.Header{"Www-Authenticate": c.challenges})
		if got != c.want || ok != (c.want != "") {
			t.Errorf("%q: %q, %t, want %q", c.challenges, got, ok, c.want)
		}
	}
}

// The hosts that the config lists are allowed as they are written, over https; over http only for a
// registry that is itself asked over http.
func TestListed(t *testing.T) {
	for _, c := range []struct {
		scheme, realm string
		listed        string
		want          error
	}{
		{"https", "https://auth.corp/token", "auth.corp", nil},
		{"https", "https://auth.corp:443/token", "auth.corp", nil},
		{"https", "https://auth.corp/token", "auth.corp:443", nil},
		{"https", "https://auth.corp:8443/token", "auth.corp:8443", nil},
		{"https", "https://auth.corp:8443/token", "auth.corp", ErrForeign},
		{"https", "https://auth.corp/token", "auth.corp:8443", ErrForeign},
		{"https", "https://auth.corp/token", "corp", ErrForeign},
		{"https", "https://x.auth.corp/token", "auth.corp", ErrForeign},
		{"https", "http://auth.corp/token", "auth.corp", ErrPlainHTTP},
		{"https", "http://auth.corp:443/token", "auth.corp", ErrForeign},
		{"http", "http://auth.corp/token", "auth.corp", nil},
		{"http", "http://auth.corp:80/token", "auth.corp", nil},
		{"http", "http://auth.corp:8080/token", "auth.corp", ErrForeign},
		{"http", "https://auth.corp/token", "auth.corp", nil},
		{"https", "https://10.0.0.7:5001/token", "10.0.0.7:5001", nil},
		{"https", "https://[2001:db8::1]/token", "[2001:db8::1]", nil},
	} {
		server, err := Parse(c.realm)
		if err != nil {
			t.Fatal(c.realm, err)
		}
		if got := Check(c.scheme, "registry.example.com", server, []string{"other.corp", c.listed}); !errors.Is(got, c.want) {
			t.Errorf("%s names %s, listed %s: %v, want %v", c.scheme, server, c.listed, got, c.want)
		}
	}
}

func TestReplaces(t *testing.T) {
	for _, c := range []struct {
		host, server string
		want         bool
	}{
		{"r.example.com", "https://r.example.com", true},
		{"R.example.com:443", "https://r.example.com", true},
		{"r.example.com", "https://r.example.com:8443", false},
		{"r.example.com", "http://r.example.com", false},
		{"r.example.com", "https://auth.example.com", false},
		{"r.example.com", "https://listed.corp", true},
		{"registry-1.docker.io", "https://auth.docker.io", true},
	} {
		if got := Replaces("https", c.host, c.server, []string{"listed.corp"}); got != c.want {
			t.Errorf("%s, %s: %t", c.host, c.server, got)
		}
	}
}
