package imagename_test

import (
	_ "crypto/sha512" // the parser to compare with knows only digests whose algorithm is linked
	"slices"
	"strings"
	"testing"

	upstream "github.com/distribution/reference"

	"github.com/berth-registry/berth/credprovider"
	"github.com/berth-registry/berth/images/reference"
	"github.com/berth-registry/berth/internal/imagename"
)

var (
	hex    = strings.Repeat("0123456789abcdef", 4)
	sha256 = "@sha256:" + hex
)

// good are names and what they mean.
func good() map[string]imagename.Name {
	digest := sha256[1:]
	return map[string]imagename.Name{
		"nginx":                                {Registry: "docker.io", Repository: "library/nginx"},
		"nginx:1.27":                           {Registry: "docker.io", Repository: "library/nginx", Tag: "1.27"},
		"nginx" + sha256:                       {Registry: "docker.io", Repository: "library/nginx", Digest: digest},
		"team/app":                             {Registry: "docker.io", Repository: "team/app"},
		"docker.io/library/nginx":              {Registry: "docker.io", Repository: "library/nginx"},
		"docker.io/nginx:1" + sha256:           {Registry: "docker.io", Repository: "library/nginx", Tag: "1", Digest: digest},
		"index.docker.io/nginx":                {Registry: "docker.io", Repository: "library/nginx"},
		"Index.docker.io/nginx":                {Registry: "Index.docker.io", Repository: "nginx"},
		"registry-1.docker.io/x":               {Registry: "registry-1.docker.io", Repository: "x"},
		"docker.io:443/x":                      {Registry: "docker.io:443", Repository: "x"},
		"registry.corp:5000/a/b:v1" + sha256:   {Registry: "registry.corp:5000", Repository: "a/b", Tag: "v1", Digest: digest},
		"localhost/a":                          {Registry: "localhost", Repository: "a"},
		"LOCALHOST/a":                          {Registry: "LOCALHOST", Repository: "a"},
		"Registry/a":                           {Registry: "Registry", Repository: "a"},
		"registry/a":                           {Registry: "docker.io", Repository: "registry/a"},
		"registry:5000/a":                      {Registry: "registry:5000", Repository: "a"},
		"registry:5000":                        {Registry: "docker.io", Repository: "library/registry", Tag: "5000"},
		"[2001:DB8::1]:5000/a":                 {Registry: "[2001:DB8::1]:5000", Repository: "a"},
		"[::1]/a":                              {Registry: "[::1]", Repository: "a"},
		"h.corp/a.b_c__d---e/f0":               {Registry: "h.corp", Repository: "a.b_c__d---e/f0"},
		"h.corp/a:_T.a-g":                      {Registry: "h.corp", Repository: "a", Tag: "_T.a-g"},
		"h.corp/a:" + strings.Repeat("t", 128): {Registry: "h.corp", Repository: "a", Tag: strings.Repeat("t", 128)},
		"h.corp/" + strings.Repeat("a", 255):   {Registry: "h.corp", Repository: strings.Repeat("a", 255)},
		"h.corp/a@sha512:" + hex + hex:         {Registry: "h.corp", Repository: "a", Digest: "sha512:" + hex + hex},
		"h.corp/" + hex:                        {Registry: "h.corp", Repository: hex},
		hex[1:]:                                {Registry: "docker.io", Repository: "library/" + hex[1:]},
	}
}

// bad are texts that are no image names, and a part of the reason.
func bad() map[string]string {
	return map[string]string{
		"": "is empty", strings.Repeat("a", 1025): "longer than the 1024", hex: "is the ID",
		"Nginx": "lower case", "h.corp/A": "lower case", "team/App:V1": "lower case",
		"a@sha256:12": "digest", "a@": "digest", "a@sha256:" + strings.ToUpper(hex): "digest", "a@md5:" + hex[:32]: "digest", "a@:": "digest",
		"a@sha384:" + hex: "digest", "a@sha256:" + hex + "@x": "digest", "user:canary@h.corp/x": "digest",
		":": "form", "/": "form", "/a": "form", "a/": "form", "a//b": "form", "a:": "form", "a:-b": "form", "a:.b": "form", "a:b:c": "form", "a:b/c": "form",
		"h.corp/a:" + strings.Repeat("t", 129): "form", "h.corp/" + strings.Repeat("a", 256): "longer than 255",
		"h.corp/../x": "form", "h.corp/.": "form", "h.corp/a*": "form", "h.corp/a b": "form", "h.corp/-a": "form", "h.corp/a-": "form",
		"h.corp/a..b": "form", "h.corp/a___b": "form", "h.corp/a._b": "form", "h.corp/_a": "form", "h.corp/a\x00": "form", "h.corp/ä": "form",
		"h..corp/a": "form", ".corp/a": "form", "h.corp./a": "form", "-h.corp/a": "form", "h-.corp/a": "form", "h.corp:/a": "form", "h.corp:x/a": "form",
		"[::1/a": "form", "::1]/a": "form", "[]/a": "form", "[::1]x/a": "form", "[::1]:/a": "form", "[::g]/a": "form", "https://h.corp/a": "form",
		"a_b.c/x": "form",
	}
}

func TestParse(t *testing.T) {
	for in, want := range good() {
		if got, err := imagename.Parse(in); err != nil || got != want {
			t.Errorf("Parse(%q) = %+v, %v; want %+v", in, got, err, want)
		}
	}
	for in, want := range bad() {
		if got, err := imagename.Parse(in); err == nil || got != (imagename.Name{}) || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "canary") {
			t.Errorf("Parse(%q) = %+v, %v; want %q", in, got, err, want)
		}
	}
}

// The image verbs and the credential provider read a name alike.
func TestCallersAgree(t *testing.T) {
	for in, want := range good() {
		r, err := reference.Parse(in)
		if err != nil || r.Registry() != want.Registry || r.Repository() != want.Repository || r.Digest() != want.Digest {
			t.Errorf("images: %q is %s, %v", in, r, err)
		}
		image, err := credprovider.ParseImage(in)
		if err != nil || image.Registry != want.Registry || image.Repository != want.Repository || image.Name != r.Name() {
			t.Errorf("credential provider: %q is %+v, %v", in, image, err)
		}
	}
	for in := range bad() {
		if r, err := reference.Parse(in); err == nil {
			t.Errorf("images: %q is %s", in, r)
		}
		if image, err := credprovider.ParseImage(in); err == nil {
			t.Errorf("credential provider: %q is %+v", in, image)
		}
	}
}

func TestHasRegistry(t *testing.T) {
	for name, want := range map[string]bool{
		"localhost/a": true, "h.corp/a": true, "h:1/a": true, "[::1]/a": true, "H/a": true,
		"a": false, "h.corp": false, "h:1": false, "team/a": false, "localhosts/a": false, "": false, "/a": false,
	} {
		if imagename.HasRegistry(name) != want {
			t.Errorf("HasRegistry(%q) = %t", name, !want)
		}
	}
}

// FuzzParse compares with the parser that kubelet and containerd use.
func FuzzParse(f *testing.F) {
	for in := range good() {
		f.Add(in)
	}
	for in := range bad() {
		f.Add(in)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, err := imagename.Parse(s)
		named, theirs := upstream.ParseNormalizedNamed(s)
		if theirs == nil && (upstream.Domain(named) == "" || len(s) > imagename.MaxLength) {
			theirs = upstream.ErrReferenceInvalidFormat
		}
		if (err == nil) != (theirs == nil) {
			t.Fatalf("%q: %+v, %v, and %v for others", s, got, err, theirs)
		}
		if err != nil {
			return
		}
		want := []string{upstream.Domain(named), upstream.Path(named), "", ""}
		if x, ok := named.(upstream.Tagged); ok {
			want[2] = x.Tag()
		}
		if x, ok := named.(upstream.Digested); ok {
			want[3] = x.Digest().String()
		}
		if have := []string{got.Registry, got.Repository, got.Tag, got.Digest}; !slices.Equal(have, want) {
			t.Errorf("%q is %q, and %q for others", s, have, want)
		}
	})
}
