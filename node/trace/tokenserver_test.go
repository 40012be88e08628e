package trace

import (
	"net/http"
	"strings"
	"testing"

	"github.com/berth-registry/berth/config"
	"github.com/berth-registry/berth/hostsconf"
	"github.com/berth-registry/berth/internal/containerdconf"
	"github.com/berth-registry/berth/node"
	"github.com/berth-registry/berth/node/desired"
)

// The report says which login the token server of a host gets from this program, and what to write
// if it must not have it.
func TestTokenServerOfAHost(t *testing.T) {
	for _, c := range []struct {
		name, release string
		docker        bool
		allowed       bool
		want          string
	}{
		{"from 2.1 on", "2.4.2", false, true, "the login in the header"},
		{"before 2.1", "1.7.28", false, true, "no login: containerd 1.7.28 requests tokens without the header"},
		{"a release that is not known", "", false, true, "the login in the header, from containerd 2.1 on"},
		{"Docker", "", true, true, "no login: Docker requests tokens without the header"},
		{"a server that is not allowed", "2.4.2", false, false, "the login in the header"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newFixture(t)
			tokens := serve(t, "127.0.0.2", nil, http.NotFoundHandler())
			w.mirror = serve(t, "127.0.0.1", nil, bearer(tokens.URL, "robot", secret, http.NotFoundHandler()))
			w.Node.Release, _ = containerdconf.ParseRelease(c.release)
			if c.docker {
				w.Node.Docker = &node.DockerSettings{}
			}
			cfg := &config.Config{}
			if c.allowed {
				cfg.Registries = []config.Registry{{Host: w.mirror.addr(), TokenRealms: []string{tokens.addr()}}}
			}
			w.CheckRealm = func(u hostsconf.URL, server string) error { return desired.CheckRealm(cfg, nil, u, server) }
			w.hosts(w.own(), "[host.%q]\n[host.%q.header]\nAuthorization = \"Basic cm9ib3Q6Y29ycmVjdC1ob3JzZQ==\"\n", w.mirror.URL, w.mirror.URL)
			r := w.Image(t.Context(), w.name)
			if h := r.Hosts[0]; h.TokenServer != tokens.URL || h.TokenLogin != c.want {
				t.Errorf("%q gets %q, want %q", h.TokenServer, h.TokenLogin, c.want)
			}
			remedy := ""
			for _, n := range r.Notes {
				if n.ID == "token-server" {
					remedy = n.Remedy
				}
			}
			if (remedy == "") != c.allowed || !c.allowed && !strings.Contains(remedy, `tokenRealms: ["`+tokens.addr()+`"]`) {
				t.Errorf("the remedy is %q", remedy)
			}
			if got, want := strings.Contains(tokens.headers(), "Basic"), c.allowed && !c.docker && c.release != "1.7.28"; got != want {
				t.Errorf("the token server got the login: %t, want %t", got, want)
			}
		})
	}
}
