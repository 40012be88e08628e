package credprovider

import (
	"testing"

	"github.com/berth-registry/berth/internal/redact"
)

func TestLoginsFor(t *testing.T) {
	logins := NewLogins(
		[]Login{
			{Host: "registry.corp", Username: "all"},
			{Host: "registry.corp", Path: "team", Username: "team"},
			{Host: "registry.corp", Path: "team/app", Username: "app"},
			{Host: "registry.corp:5000", Path: "x", Username: "port"},
		},
		[]Login{
			{Host: "registry.corp", Path: "team/app/deep", Username: "hidden by the first list"},
			{Host: "docker.io", Username: "hub"},
		},
	)
	for _, c := range []struct{ host, path, want string }{
		{"registry.corp", "", "all"},
		{"registry.corp", "other/app", "all"},
		{"registry.corp", "team", "team"},
		{"registry.corp", "team/x", "team"},
		{"registry.corp", "team-evil/x", "all"},
		{"registry.corp", "team/app", "app"},
		{"registry.corp", "team/application", "team"},
		{"registry.corp", "team/app/deep", "app"},
		{"registry.corp:5000", "x/y", "port"},
		{"registry.corp:5000", "y", ""},
		{"registry.corp:443", "", "all"},
		{"registry.corp:443", "team/app", "app"},
		{"Registry.Corp.", "team/app", "app"},
		{"registry.corp:80", "team", ""},
		{"evil-registry.corp", "", ""},
		{"docker.io", "library/nginx", "hub"},
	} {
		got, ok := logins.For(c.host, "https", c.path)
		if got.Username != c.want || ok != (c.want != "") {
			t.Errorf("For(%q, %q) = %q, %t; want %q", c.host, c.path, got.Username, ok, c.want)
		}
	}
}

// The longest path wins for every spelling of a host, in the login and in the question: with or
// without the default port of the scheme, and under each of Docker Hub's names. A login for another
// port is for another host.
func TestLoginsForAllSpellings(t *testing.T) {
	for _, c := range []struct{ whole, part, scheme string }{
		{"h.corp", "h.corp:443", "https"},
		{"h.corp:443", "h.corp", "https"},
		{"h.corp", "h.corp:80", "http"},
		{"h.corp:80", "h.corp", "http"},
		{"docker.io", "registry-1.docker.io", "https"},
		{"index.docker.io", "docker.io", "https"},
		{"registry-1.docker.io", "index.docker.io", "https"},
		{"docker.io", "registry.hub.docker.com", "https"},
	} {
		logins := NewLogins([]Login{
			{Host: c.whole, Username: "whole"},
			{Host: c.part, Path: "team", Username: "team"},
			{Host: "h.corp:5000", Path: "team/app", Username: "another host"},
		})
		for _, asked := range []string{c.whole, c.part} {
			for path, want := range map[string]string{"team/app": "team", "team": "team", "other": "whole"} {
				if got, _ := logins.For(asked, c.scheme, path); got.Username != want {
					t.Errorf("logins for %s and %s/team: %s %s/%s gets %q, want %q",
						c.whole, c.part, c.scheme, asked, path, got.Username, want)
				}
			}
			if below := logins.Below(asked, c.scheme, ""); len(below) != 1 || below[0].Username != "team" {
				t.Errorf("logins for %s and %s/team: below %s %v", c.whole, c.part, asked, below)
			}
		}
	}
}

// When both spellings have a login for one path, the one with the spelling of the host wins.
func TestLoginsForTheSpellingAsked(t *testing.T) {
	logins := NewLogins([]Login{{Host: "h.corp", Username: "without"}, {Host: "h.corp:443", Username: "with"}})
	for host, want := range map[string]string{"h.corp": "without", "h.corp:443": "with"} {
		if got, _ := logins.For(host, "https", "x"); got.Username != want {
			t.Errorf("%s gets %q, want %q", host, got.Username, want)
		}
	}
}

func TestLoginsBelow(t *testing.T) {
	logins := NewLogins(
		[]Login{{Host: "h", Username: "all"}, {Host: "h", Path: "a/b", Username: "b"}},
		[]Login{{Host: "h", Path: "a/c", Username: "never reached"}, {Host: "i", Path: "x", Username: "x"}},
	)
	for _, c := range []struct {
		host, path string
		want       int
	}{{"h", "", 1}, {"h", "a", 1}, {"h", "a/b", 0}, {"h", "ab", 0}, {"i", "", 1}, {"i", "x", 0}} {
		if got := logins.Below(c.host, "https", c.path); len(got) != c.want {
			t.Errorf("Below(%q, %q) = %v, want %d", c.host, c.path, got, c.want)
		}
	}
}

func TestLoginDoesNotPrintItsPassword(t *testing.T) {
	l := Login{Host: "h", Username: "u", Password: redact.New("hunter2")}
	if got := l.Name(); got != "h" {
		t.Errorf("Name() = %q", got)
	}
	if l.Password.String() == "hunter2" {
		t.Error("the password is printed")
	}
}
