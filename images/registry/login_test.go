package registry

import (
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/berth-registry/berth/images/internal/imagestest"
	"github.com/berth-registry/berth/test/fakes/fakeregistry"
)

// However host and port are written, the login for the longest path wins, as for kubelet and in
// hosts.toml.
func TestLoginHostPort(t *testing.T) {
	for _, c := range []struct{ whole, part string }{{"h.corp", "h.corp:443"}, {"h.corp:443", "h.corp"}} {
		whole, part := imagestest.Login(c.whole, ""), imagestest.Login(c.part, "team")
		whole.Username, part.Username = "whole", "team"
		access := Access{Logins: imagestest.Logins(whole, part)}
		for _, host := range []string{"h.corp", "h.corp:443"} {
			for path, want := range map[string]string{"team/app": "team", "other": "whole"} {
				got, ok := access.configured(host, path, Settings{})
				if auth, err := got.auth.Authorization(); !ok || err != nil || auth.Username != want {
					t.Errorf("%s/%s with logins for %s and %s/team: %+v, want %s", host, path, c.whole, c.part, auth, want)
				}
			}
		}
	}
}

// Other hosts are reached over TLS only; a request over plain http is not sent.
func TestTLSElsewhere(t *testing.T) {
	target := imagestest.StartRegistry(t, fakeregistry.Options{})
	for _, a := range []Access{
		{},
		{Settings: []Settings{{Host: "registry.test/other", Reach: true, PlainHTTP: true}}},
		{Settings: []Settings{{Host: "registry.test:5000", Reach: true, PlainHTTP: true}}},
	} {
		a.Proxy = imagestest.ThroughFor(t, target.URL(), "registry.test")
		w := NewClient(a, 1, time.Second, nil)
		reg, err := w.At("registry.test", "app")
		if err != nil {
			t.Fatal(err)
		}
		if reg.settings.scheme() != "https" {
			t.Errorf("%+v: %s", a.Settings, reg.settings.scheme())
		}
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://registry.test/x", nil)
		if err != nil {
			t.Fatal(err)
		}
		other := &upstreamTransport{client: w, registry: "another.test"}
		if _, err := other.RoundTrip(req); !errors.Is(err, ErrPlainHTTP) {
			t.Errorf("%v, want that it is refused", err)
		}
		w.Close()
	}
	for host, plain := range map[string]bool{"localhost:5000": true, "127.0.0.2": true, "[::1]:5000": true, "10.0.0.1": false, "registry.local": false} {
		if got := (Access{}).SettingsFor(host, "").PlainHTTP; got != plain {
			t.Errorf("%s: plain http %v", host, got)
		}
	}
	if n := len(target.Requests()); n > 0 {
		t.Errorf("%d requests went in the clear", n)
	}
}
