package credprovider

import (
	"strings"
	"testing"
)

// The grammar is tested in package imagename.
func TestParseImage(t *testing.T) {
	digest := "@sha256:" + strings.Repeat("0", 64)
	for in, want := range map[string]Image{
		"nginx:1.27":                         {"docker.io", "docker.io", "library/nginx", "docker.io/library/nginx"},
		"index.docker.io/x:1":                {"docker.io", "docker.io", "library/x", "docker.io/library/x"},
		"registry-1.docker.io/x":             {"registry-1.docker.io", "docker.io", "x", "registry-1.docker.io/x"},
		"registry.hub.docker.com/x/y":        {"registry.hub.docker.com", "docker.io", "x/y", "registry.hub.docker.com/x/y"},
		"Index.docker.io/x":                  {"Index.docker.io", "docker.io", "x", "Index.docker.io/x"},
		"registry.corp:5000/a/b:v1" + digest: {"registry.corp:5000", "registry.corp:5000", "a/b", "registry.corp:5000/a/b"},
		"registry.corp:443/a":                {"registry.corp:443", "registry.corp", "a", "registry.corp:443/a"},
		"Registry.CORP/a":                    {"Registry.CORP", "registry.corp", "a", "Registry.CORP/a"},
		"REGISTRY/a":                         {"REGISTRY", "registry", "a", "REGISTRY/a"},
		"[2001:DB8::1]/a":                    {"[2001:DB8::1]", "[2001:db8::1]", "a", "[2001:DB8::1]/a"},
	} {
		if got, err := ParseImage(in); err != nil || got != want {
			t.Errorf("ParseImage(%q) = %+v, %v; want %+v", in, got, err, want)
		}
	}
	for in, want := range map[string]string{
		"":               "image name: is empty",
		"user:canary@h/": "image name: the digest",
		"h.corp:0/a":     "image name: the registry must have a number",
		"h.corp:99999/a": "image name: the registry must have a number",
		"[:::]/a":        "image name: the registry must have an IPv6 address",
	} {
		if got, err := ParseImage(in); err == nil || !strings.HasPrefix(err.Error(), want) || strings.Contains(err.Error(), "canary") {
			t.Errorf("ParseImage(%q) = %+v, %v; want %q", in, got, err, want)
		}
	}
}
