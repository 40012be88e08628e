package transport

import (
	"net/http"
	"net/url"
	"testing"

	"github.com/berth-registry/berth/internal/proxy"
	"github.com/berth-registry/berth/internal/redact"
)

// The settings of a config win as a whole over those of the environment.
func TestChoice(t *testing.T) {
	environment := map[string]string{"HTTPS_PROXY": "http://p.corp:3128", "https_proxy": "http://lower.corp:1", "no_proxy": "near.corp,.inner.corp,10.0.0.0/8"}
	environ := proxy.FromEnvironment(func(name string) string { return environment[name] })
	config := proxy.Settings{HTTPS: redact.New("q.corp:3128"), No: "far.corp"}
	for _, c := range []struct {
		config    proxy.Settings
		url, want string
	}{
		{proxy.Settings{}, "https://far.corp/v2/", "http://p.corp:3128"},
		{proxy.Settings{}, "https://near.corp/v2/", ""},
		{proxy.Settings{}, "https://a.inner.corp:5000/v2/", ""},
		{proxy.Settings{}, "https://10.1.2.3/v2/", ""},
		{proxy.Settings{}, "http://far.corp/v2/", ""},
		{proxy.Settings{}, "https://localhost:5000/v2/", ""},
		{config, "https://far.corp/v2/", ""},
		{config, "https://near.corp/v2/", "http://q.corp:3128"},
		{config, "https://127.0.0.1:5000/v2/", ""},
		{proxy.Settings{No: "x"}, "https://far.corp/v2/", ""},
		{proxy.Settings{HTTPS: redact.New("http://%zz")}, "https://far.corp/v2/", ErrAddress.Error()},
		{proxy.FromEnvironment(func(string) string { return "http://%zz" }), "https://far.corp/v2/", ""},
	} {
		address, err := url.Parse(c.url)
		if err != nil {
			t.Fatal(err)
		}
		u, err := Proxy(c.config.Or(environ))(&http.Request{URL: address})
		got := ""
		switch {
		case err != nil:
			got = err.Error()
		case u != nil:
			got = u.String()
		}
		if got != c.want {
			t.Errorf("%s with %+v: %q, want %q", c.url, c.config, got, c.want)
		}
	}
}
