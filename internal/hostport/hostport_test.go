package hostport

import (
	"slices"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	good := map[string]string{
		"docker.io":              "docker.io",
		"Registry.Corp:5000":     "registry.corp:5000",
		"localhost":              "localhost",
		"1.1.1.1:5555":           "1.1.1.1:5555",
		"[2001:DB8::1]:5000":     "[2001:db8::1]:5000",
		"[::1]":                  "[::1]",
		"httpd.example":          "httpd.example",
		"xn--bcher-kva.example":  "xn--bcher-kva.example",
		"a-b.c:65535":            "a-b.c:65535",
		strings.Repeat("a", 63):  strings.Repeat("a", 63),
		"111122223333.dkr.ecr.x": "111122223333.dkr.ecr.x",
	}
	for in, want := range good {
		if got, err := Parse(in); err != nil || got != want {
			t.Errorf("Parse(%q) = %q, %v; want %q", in, got, err, want)
		}
	}
	bad := map[string]string{
		"":                              "is empty",
		"a/b":                           "without a path",
		"a b":                           "space",
		"a\x00b":                        "control",
		"a%2eb":                         "percent-encoding",
		"u@h":                           "login",
		"bücher.example":                "xn--",
		"..":                            "dot",
		"a..b":                          "empty label",
		".a":                            "empty label",
		"a.":                            "end in a dot",
		"-a.b":                          "inner hyphens",
		"a_b":                           "inner hyphens",
		"h:0":                           "1 to 65535",
		"h:70000":                       "1 to 65535",
		"h:":                            "1 to 65535",
		"h:+5":                          "1 to 65535",
		"h:080":                         "1 to 65535",
		":5000":                         "nothing before",
		"a:b:c":                         "more than one colon",
		"2001:db8::1":                   "[2001:db8::1]",
		"[::1":                          `without the "]"`,
		"[::1]x":                        "other than a :port",
		"[fe80::1%25eth0]":              "percent-encoding",
		"[1.2.3.4]":                     "IPv6 address",
		"[]":                            "IPv6 address",
		strings.Repeat("a", 64):         "63",
		strings.Repeat("a.", 130) + "a": "253",
	}
	for in, want := range bad {
		if got, err := Parse(in); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Parse(%q) = %q, %v; want an error with %q", in, got, err, want)
		}
	}
}

func TestParts(t *testing.T) {
	for in, want := range map[string][2]string{
		"h":          {"h", ""},
		"h:1":        {"h", "1"},
		"[::1]:5000": {"::1", "5000"},
		"[::1]":      {"::1", ""},
	} {
		if got := [2]string{Host(in), Port(in)}; got != want {
			t.Errorf("%q: host and port %q, want %q", in, got, want)
		}
	}
	if got := TrimDefaultPort("h:443", "https"); got != "h" {
		t.Errorf("443 with https: %q", got)
	}
	if got := TrimDefaultPort("h:443", "http"); got != "h:443" {
		t.Errorf("443 with http: %q", got)
	}
}

func TestTrimDot(t *testing.T) {
	for in, want := range map[string]string{"h.": "h", "h.corp.:5000": "h.corp:5000", "h": "h", "h:1": "h:1", "h..": "h.", "[::1]:1": "[::1]:1", "[::1].": "[::1]."} {
		if got := TrimDot(in); got != want {
			t.Errorf("TrimDot(%q) = %q", in, got)
		}
	}
}

func TestExposed(t *testing.T) {
	for _, c := range []struct {
		plain bool
		host  string
		want  bool
	}{{true, "h.corp:5000", true}, {false, "h.corp:5000", false}, {true, "127.0.0.1:5000", false}, {true, "localhost", false}, {false, "[::1]", false}} {
		if got := Exposed(Scheme(c.plain), c.host); got != c.want {
			t.Errorf("%s://%s: %t", Scheme(c.plain), c.host, got)
		}
	}
}

func TestIsLoopback(t *testing.T) {
	for in, want := range map[string]bool{
		"localhost": true, "localhost:5000": true, "127.0.0.1": true, "127.9.9.9:1": true, "[::1]:1": true,
		"localhost.corp": false, "128.0.0.1": false, "[::2]": false, "127.0.0.1.corp": false,
	} {
		if got := IsLoopback(in); got != want {
			t.Errorf("IsLoopback(%q) = %v", in, got)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"docker.io", "[::1]:5000", "a:b:c", "h:443", "..", "\x00", "[", "]:"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, err := Parse(s)
		if err != nil {
			return
		}
		if again, err := Parse(got); err != nil || again != got {
			t.Fatalf("Parse(%q) = %q, but Parse of that = %q, %v", s, got, again, err)
		}
		if strings.ContainsAny(got, "/\\ \x00%@") || strings.Contains(got, "..") {
			t.Fatalf("Parse(%q) let %q through", s, got)
		}
	})
}

// Every reason must read well after a name, and after the host of an address.
func TestReasonsFollowAName(t *testing.T) {
	for _, wrong := range []string{
		"", "a b", "a%2eb", "u@a", "a/b", "ü", "a\n", "[::1", "[::1]5000", "::1", "a:b:c", "a:0", "a:x", "a:", ":5000",
		"[a]", "[::1%lo]", strings.Repeat("a.", 130) + "a", "a.", "a..b", strings.Repeat("a", 64), "a_b",
	} {
		_, err := Parse(wrong)
		if err == nil {
			t.Errorf("%q was taken", wrong)
			continue
		}
		verb, _, _ := strings.Cut(err.Error(), " ")
		if !slices.Contains([]string{"must", "has", "is"}, verb) {
			t.Errorf("%q: host %v", wrong, err)
		}
	}
}
