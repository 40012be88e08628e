package dockerhub

import "testing"

func TestNames(t *testing.T) {
	for host, want := range map[string]struct{ canonical, asked string }{
		"docker.io":                {"docker.io", "registry-1.docker.io"},
		"registry-1.docker.io":     {"docker.io", "registry-1.docker.io"},
		"index.docker.io":          {"docker.io", "index.docker.io"},
		"registry.hub.docker.com":  {"docker.io", "registry.hub.docker.com"},
		"Registry-1.Docker.IO:443": {"docker.io", "Registry-1.Docker.IO:443"},
		"docker.io:443":            {"docker.io", "docker.io:443"},
		"docker.io:5000":           {"docker.io:5000", "docker.io:5000"},
		"registry-1.docker.io:80":  {"registry-1.docker.io:80", "registry-1.docker.io:80"},
		"auth.docker.io":           {"auth.docker.io", "auth.docker.io"},
		"hub.docker.com":           {"hub.docker.com", "hub.docker.com"},
		"docker.io.evil.corp":      {"docker.io.evil.corp", "docker.io.evil.corp"},
		"evil-docker.io":           {"evil-docker.io", "evil-docker.io"},
		"registry-1.docker.io.":    {"registry-1.docker.io.", "registry-1.docker.io."},
		"quay.io":                  {"quay.io", "quay.io"},
		"":                         {"", ""},
	} {
		if got := Canonical(host); got != want.canonical || Is(host) != (want.canonical == Name) {
			t.Errorf("Canonical(%q) = %q, Is %t; want %q", host, got, Is(host), want.canonical)
		}
		if got := Host(host); got != want.asked {
			t.Errorf("Host(%q) = %q, want %q", host, got, want.asked)
		}
	}
	for _, host := range Names() {
		if !Is(host) || IsWebsite(host) {
			t.Errorf("%s: a name that is none", host)
		}
	}
}
