package credprovider

import (
	"strings"
	"testing"
)

func TestParseImage(t *testing.T) {
	digest := "@sha256:" + strings.Repeat("0", 64)
	for in, want := range map[string]Image{
		"nginx":                              {"docker.io", "docker.io", "library/nginx", "docker.io/library/nginx"},
		"nginx:1.27":                         {"docker.io", "docker.io", "library/nginx", "docker.io/library/nginx"},
		"team/app":                           {"docker.io", "docker.io", "team/app", "docker.io/team/app"},
		"docker.io/library/nginx" + digest:   {"docker.io", "docker.io", "library/nginx", "docker.io/library/nginx"},
		"docker.io/nginx":                    {"docker.io", "docker.io", "library/nginx", "docker.io/library/nginx"},
		"index.docker.io/library/nginx":      {"docker.io", "docker.io", "library/nginx", "docker.io/library/nginx"},
		"index.docker.io/x:1":                {"docker.io", "docker.io", "library/x", "docker.io/library/x"},
		"registry-1.docker.io/x":             {"registry-1.docker.io", "docker.io", "x", "registry-1.docker.io/x"},
		"Index.docker.io/x":                  {"Index.docker.io", "docker.io", "x", "Index.docker.io/x"},
		"registry.corp:5000/a/b:v1" + digest: {"registry.corp:5000", "registry.corp:5000", "a/b", "registry.corp:5000/a/b"},
		"registry.corp:443/a":                {"registry.corp:443", "registry.corp", "a", "registry.corp:443/a"},
		"Registry.CORP/a":                    {"Registry.CORP", "registry.corp", "a", "Registry.CORP/a"},
		"REGISTRY/a":                         {"REGISTRY", "registry", "a", "REGISTRY/a"},
		"registry.corp./a":                   {"registry.corp.", "registry.corp", "a", "registry.corp./a"},
		"localhost/a":                        {"localhost", "localhost", "a", "localhost/a"},
		"[2001:db8::1]:5000/a:v1":            {"[2001:db8::1]:5000", "[2001:db8::1]:5000", "a", "[2001:db8::1]:5000/a"},
		"[2001:DB8::1]/a":                    {"[2001:DB8::1]", "[2001:db8::1]", "a", "[2001:DB8::1]/a"},
	} {
		if got, err := ParseImage(in); err != nil || got != want {
			t.Errorf("ParseImage(%q) = %+v, %v; want %+v", in, got, err, want)
		}
	}
	for _, in := range []string{
		"", ":", "@", "/", "/a", "a/", "a//b", "https://canary:canary@h/x", "user:canary@h.corp/x/y", "h.corp/../x", "h.corp/a*", "h.corp/a?b", "h.corp/a b",
		"h.corp:0/a", "h.corp:99999/a", "h..corp/a", "[::1/a", "a\x00b", "h.corp/\u00e4", strings.Repeat("a", maxImage+1),
	} {
		if got, err := ParseImage(in); err == nil {
			t.Errorf("ParseImage(%q) = %+v", in, got)
		} else if strings.Contains(err.Error(), "canary") {
			t.Errorf("%q is quoted: %v", in, err)
		}
	}
}

// A repository consists of letters, digits and three signs, in parts that are not empty.
func TestIsRepository(t *testing.T) {
	for _, c := range "azAZ09._-" {
		if part := "x" + string(c); !isRepository(part) || !isRepository("a/"+part) {
			t.Errorf("%q is refused", part)
		}
	}
	for _, c := range "`{@[/:+ \u00e9" {
		if part := string(c); isRepository("a/" + part) {
			t.Errorf("%q is taken", "a/"+part)
		}
	}
	for _, s := range []string{"", "/", "a/", "/a", "a//b", ".", "a/..", "../a"} {
		if isRepository(s) {
			t.Errorf("%q is taken", s)
		}
	}
}
