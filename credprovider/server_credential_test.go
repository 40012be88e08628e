package credprovider

import (
	"net/url"
	"strings"
	"testing"

	"github.com/berth-registry/berth/internal/dockerhub"
	"github.com/berth-registry/berth/internal/redact"
)

// A login is given only for the host that net/url finds in the server URL, too: that one is asked.
func FuzzServerCredential(f *testing.F) {
	given := map[string]string{
		"registry.corp": "host", "https://registry.corp:443/v2/": "host", "registry.corp/team/app": "team",
		"https://index.docker.io/v1/": "hub", "docker.io": "hub", "http://127.0.0.1:5000": "local",
	}
	provider := &Provider{Rules: Rules{Registries: []Login{
		{Host: "registry.corp", Username: "host", Password: redact.New("p")},
		{Host: "registry.corp", Path: "team", Username: "team", Password: redact.New("p")},
		{Host: "docker.io", Username: "hub", Password: redact.New("p")},
		{Host: "127.0.0.1:5000", Username: "local", Password: redact.New("p")},
	}}}
	for server := range given {
		f.Add(server)
	}
	for _, server := range []string{
		"", "http://registry.corp", "registry.corp@evil.corp", "https://u:p@registry.corp", "registry.corp:5000", "evil.corp/registry.corp",
		"https://evil.corp\\@registry.corp", "ftp://registry.corp", "https://index.docker.io/v1/refresh-token", "registry.corp?a", "registry.corp#a",
		"://registry.corp", "https://https://registry.corp", "registry.corp.evil.corp", "127.0.0.1:5000.evil.corp",
	} {
		f.Add(server)
	}
	f.Fuzz(func(t *testing.T, server string) {
		c, err := provider.ServerCredential(t.Context(), server)
		if want, ok := given[server]; ok && c.Username != want {
			t.Errorf("%q: %q, want %q; %v", server, c.Username, want, err)
		}
		if err != nil {
			return
		}
		full := server
		if !strings.Contains(server, "://") {
			full = "https://" + server
		}
		u, err := url.Parse(full)
		if err != nil {
			return // no client can ask it
		}
		login := map[string]string{"host": "registry.corp", "team": "registry.corp", "hub": dockerhub.Name, "local": "127.0.0.1:5000"}[c.Username]
		if !SameHost(u.Host, login, "https") || u.User != nil || u.Scheme == "http" && c.Username != "local" {
			t.Errorf("%q: the login %s is given to %s", server, c.Username, u.Redacted())
		}
	})
}
