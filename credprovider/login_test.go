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
		{"registry.corp:443", "", ""},
		{"evil-registry.corp", "", ""},
		{"docker.io", "library/nginx", "hub"},
	} {
		got, ok := logins.For(c.host, c.path)
		if got.Username != c.want || ok != (c.want != "") {
			t.Errorf("For(%q, %q) = %q, %t; want %q", c.host, c.path, got.Username, ok, c.want)
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
		if got := logins.Below(c.host, c.path); len(got) != c.want {
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
