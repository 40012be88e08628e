package hostsconf

import (
	"strings"
	"testing"
)

func TestParseURL(t *testing.T) {
	for _, c := range []struct {
		written      string
		overridePath bool
		want         string // as in hosts.toml, with "+" if override_path is set
		api          string // path that requests are sent to
		repository   string
	}{
		{"mirror.corp", false, "https://mirror.corp", "/v2", ""},
		{"http://mirror.corp:5000", false, "http://mirror.corp:5000", "/v2", ""},
		{"HTTPS://Mirror.Corp", false, "https://mirror.corp", "/v2", ""},
		{"localhost:5000", false, "http://localhost:5000", "/v2", ""},
		{"127.0.0.1:5000", false, "http://127.0.0.1:5000", "/v2", ""},
		{"[::1]:5000", false, "http://[::1]:5000", "/v2", ""},
		{"https://localhost:5000", false, "https://localhost:5000", "/v2", ""},
		{"harbor.corp/hub", false, "https://harbor.corp/v2/hub+", "/v2/hub", "hub"},
		{"https://harbor.corp/v2/hub", false, "https://harbor.corp/v2/hub+", "/v2/hub", "hub"},
		{"https://art.corp/api/docker/hub/v2", false, "https://art.corp/api/docker/hub/v2", "/api/docker/hub/v2", "api/docker/hub"},
		{"https://odd.corp/root", true, "https://odd.corp/root+", "/root", "root"},
		{"https://odd.corp", true, "https://odd.corp+", "", ""},
		{"1.1.1.1:5555/artifactory", false, "https://1.1.1.1:5555/v2/artifactory+", "/v2/artifactory", "artifactory"},
		{"httpd.example", false, "https://httpd.example", "/v2", ""},
		{"[2001:db8::1]:5000", false, "https://[2001:db8::1]:5000", "/v2", ""},
		{"https://mirror.corp/", false, "https://mirror.corp", "/v2", ""},
		{"https://mirror.corp/v2/", false, "https://mirror.corp/v2", "/v2", ""},
		{"https://mirror.corp/team/app//", false, "https://mirror.corp/v2/team/app+", "/v2/team/app", "team/app"},
	} {
		u, err := ParseURL(c.written, c.overridePath)
		if err != nil {
			t.Errorf("ParseURL(%q): %v", c.written, err)
			continue
		}
		got := u.String()
		if u.OverridePath {
			got += "+"
		}
		if got != c.want || u.APIPath() != c.api || u.RepositoryPath() != c.repository {
			t.Errorf("ParseURL(%q) = %s, requests to %s, repositories %q; want %s, %s, %q",
				c.written, got, u.APIPath(), u.RepositoryPath(), c.want, c.api, c.repository)
		}
	}
}

func TestParseURLRefuses(t *testing.T) {
	for written, want := range map[string]string{
		"ftp://x":             "scheme must be http or https",
		"://x":                "scheme must be http or https",
		"https://u:p@x":       "must not contain a login",
		"https://x?y":         "query",
		"https://x#y":         "fragment",
		"https://x:0":         "1 to 65535",
		"https://x:70000":     "1 to 65535",
		"https://a b":         "space",
		"https://":            "no host",
		"":                    "no host",
		"/v2":                 "no host",
		"https://x/../y":      `".."`,
		"https://x/./y":       `"."`,
		"https://x//y":        "two slashes",
		"https://x/a%2fb":     "percent-encoding",
		"https://x%00":        "percent-encoding",
		"https://x/a\x00b":    "must not contain",
		"https://x/a b":       "must not contain",
		"https://x/ü":         "must not contain",
		`https://x/a"b`:       "must not contain",
		"https://..":          "dot",
		"https://x\x7f":       "control",
		"https://2001:db8::1": "[2001:db8::1]",
	} {
		if u, err := ParseURL(written, false); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("ParseURL(%q) = %v, %v; want an error with %q", written, u, err, want)
		}
	}
}

// Every character of a path, at the boundaries of the accepted ranges.
func TestPathCharacters(t *testing.T) {
	for c := rune(1); c < 0x80; c++ {
		written := "https://h/a" + string(c) + "b"
		want := strings.ContainsRune("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789/-._~+=", c)
		if c == '?' || c == '#' {
			continue // a query and a fragment have their own errors
		}
		if u, err := ParseURL(written, false); (err == nil) != want || want && u.Path != "/v2/a"+string(c)+"b" {
			t.Errorf("ParseURL(%q) = %+v, %v", written, u, err)
		}
	}
}

func TestParseUpstream(t *testing.T) {
	for written, want := range map[string]string{
		"docker.io": "docker.io", "Quay.IO": "quay.io", "*": "*", "registry.corp:5000": "registry.corp:5000", "[::1]:5000": "[::1]:5000",
	} {
		if got, err := ParseUpstream(written); err != nil || got != want {
			t.Errorf("ParseUpstream(%q) = %q, %v", written, got, err)
		}
	}
	for written, want := range map[string]string{
		"https://docker.io": "without a scheme", "docker.io/library": "without a path", "index.docker.io": "write docker.io",
		"registry-1.docker.io": "write docker.io", "*.corp": "a label with other", "": "empty", "_default": "a label with other",
	} {
		if got, err := ParseUpstream(written); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("ParseUpstream(%q) = %q, %v; want an error with %q", written, got, err, want)
		}
	}
}

func TestDirName(t *testing.T) {
	for upstream, want := range map[string]string{
		"docker.io": "docker.io", "*": "_default", "registry.corp:5000": "registry.corp_5000_",
		"[2001:db8::1]:5000": "[2001:db8::1]_5000_", "[::1]": "[::1]", "localhost:5000": "localhost_5000_",
	} {
		if got := DirName(upstream); got != want {
			t.Errorf("DirName(%q) = %q, want %q", upstream, got, want)
		}
		if got := UpstreamOf(want); got != upstream {
			t.Errorf("UpstreamOf(%q) = %q, want %q", want, got, upstream)
		}
	}
	for _, name := range []string{"_berth", "a_b", "a_1_b", "_berth-tmp-1"} {
		if got := UpstreamOf(name); got != "" {
			t.Errorf("UpstreamOf(%q) = %q, want none", name, got)
		}
	}
}

func FuzzParseURL(f *testing.F) {
	for _, s := range []string{"mirror.corp", "https://h/v2/x", "http://[::1]:1/a/v2", "h/..", "https://h/v2/v2", "httpd"} {
		f.Add(s, false)
		f.Add(s, true)
	}
	f.Fuzz(func(t *testing.T, s string, literal bool) {
		u, err := ParseURL(s, literal)
		if err != nil {
			return
		}
		again, err := ParseURL(u.String(), u.OverridePath)
		if err != nil || again != u {
			t.Fatalf("ParseURL(%q) = %+v, read again: %+v, %v", s, u, again, err)
		}
	})
}

func FuzzDirName(f *testing.F) {
	for _, s := range []string{"docker.io", "h:5000", "[::1]:5000", "[::1]", "*"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		upstream, err := ParseUpstream(s)
		if err != nil {
			return
		}
		dir := DirName(upstream)
		if strings.ContainsAny(dir, "/\x00") || dir == ".." || dir == "." || dir == "" {
			t.Fatalf("DirName(%q) = %q", upstream, dir)
		}
		if back := UpstreamOf(dir); back != upstream {
			t.Fatalf("UpstreamOf(%q) = %q, want %q", dir, back, upstream)
		}
	})
}
