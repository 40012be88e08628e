package reference_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/berth-registry/berth/images/internal/imagestest"
	"github.com/berth-registry/berth/images/reference"
)

func TestParse(t *testing.T) {
	for _, test := range []struct{ in, registry, repository, tag, digest, full, familiar string }{
		{"busybox", "docker.io", "library/busybox", "latest", "", "docker.io/library/busybox:latest", "busybox:latest"},
		{"redislabs/redis:7.2.4-64", "docker.io", "redislabs/redis", "7.2.4-64", "", "docker.io/redislabs/redis:7.2.4-64", "redislabs/redis:7.2.4-64"},
		{"docker.io/busybox", "docker.io", "library/busybox", "latest", "", "docker.io/library/busybox:latest", "busybox:latest"},
		{"index.docker.io/library/busybox:1", "docker.io", "library/busybox", "1", "", "docker.io/library/busybox:1", "busybox:1"},
		{"localhost/a", "localhost", "a", "latest", "", "localhost/a:latest", "localhost/a:latest"},
		{"localhost:5000/a/b/c:v1", "localhost:5000", "a/b/c", "v1", "", "localhost:5000/a/b/c:v1", "localhost:5000/a/b/c:v1"},
		{"[2001:db8::1]:5000/a", "[2001:db8::1]:5000", "a", "latest", "", "[2001:db8::1]:5000/a:latest", "[2001:db8::1]:5000/a:latest"},
		{"Registry.Corp/a", "Registry.Corp", "a", "latest", "", "Registry.Corp/a:latest", "Registry.Corp/a:latest"},
		{"docker.io/a.b/c", "docker.io", "a.b/c", "latest", "", "docker.io/a.b/c:latest", "docker.io/a.b/c:latest"},
		{"library/a/b", "docker.io", "library/a/b", "latest", "", "docker.io/library/a/b:latest", "library/a/b:latest"},
		{"quay.io/a/b@sha256:" + imagestest.Hex64, "quay.io", "a/b", "", "sha256:" + imagestest.Hex64, "quay.io/a/b@sha256:" + imagestest.Hex64, "quay.io/a/b@sha256:" + imagestest.Hex64},
		{"redis:7@sha256:" + imagestest.Hex64, "docker.io", "library/redis", "7", "sha256:" + imagestest.Hex64, "docker.io/library/redis:7@sha256:" + imagestest.Hex64, "redis:7@sha256:" + imagestest.Hex64},
		{"registry.k8s.io/pause:3.10", "registry.k8s.io", "pause", "3.10", "", "registry.k8s.io/pause:3.10", "registry.k8s.io/pause:3.10"},
	} {
		r := imagestest.MustParse(t, test.in)
		got := []string{r.Registry(), r.Repository(), r.Tag(), r.Digest(), r.String(), r.Familiar()}
		want := []string{test.registry, test.repository, test.tag, test.digest, test.full, test.familiar}
		for i := range got {
			if got[i] != want[i] {
				t.Errorf("%s: got %q, want %q", test.in, got, want)
				break
			}
		}
		if again := imagestest.MustParse(t, r.String()); again != r {
			t.Errorf("%s: its full form is read as %s", test.in, again)
		}
	}
}

func TestParseErrors(t *testing.T) {
	for _, test := range []struct{ in, want string }{
		{"", `image "": is empty`},
		{"a b", `image "a b": an image name has no spaces`},
		{"redis\n", `image "redis\n": an image name has no spaces`},
		{"https://quay.io/a", `image "https://quay.io/a": an image name has no scheme; write registry/repository:tag`},
		{"https://u:hunter2@quay.io/a", `image "https://…@quay.io/a": an image name has no scheme; write registry/repository:tag`},
		{"u:hunter2@quay.io/a", `image "…@quay.io/a": the digest is malformed; sha256: and 64 hexadecimal digits are needed`},
		{"redis/Redis:7", `image "redis/Redis:7": the repository must be in lower case`},
		{"redis:7:8", `image "redis:7:8": is not of the form registry/repository:tag`},
		{"redis@sha256:12", `image "redis@sha256:12": the digest is malformed; sha256: and 64 hexadecimal digits are needed`},
		{"sha256:" + imagestest.Hex64, `image "sha256:` + imagestest.Hex64 + `": is the ID of an image and not its name`},
		{imagestest.Hex64, `image "` + imagestest.Hex64 + `": is the ID of an image and not its name`},
		{"{{ .Values.image }}", `image "{{ .Values.image }}": holds a placeholder that something else fills in; fill it in first (a chart: helm template)`},
		{"quay.io/", `image "quay.io/": is not of the form registry/repository:tag`},
		{"a/" + strings.Repeat("b", 300), `image "a/` + strings.Repeat("b", 158) + `…": the repository is longer than 255 characters`},
		{strings.Repeat("a/", 1000) + "b", `image "` + strings.Repeat("a/", 80) + `…": is longer than the 1024 characters that an image name can have`},
	} {
		r, err := reference.Parse(test.in)
		if err == nil || err.Error() != test.want || !r.IsZero() {
			t.Errorf("%.40q: got %v, %v, want %s", test.in, r, err, test.want)
		}
	}
}

func TestReferenceText(t *testing.T) {
	r := imagestest.MustParse(t, "redis:7")
	data, err := json.Marshal(map[reference.Reference]reference.Reference{r: r})
	if err != nil || string(data) != `{"docker.io/library/redis:7":"docker.io/library/redis:7"}` {
		t.Errorf("%s, %v", data, err)
	}
	var back map[reference.Reference]reference.Reference
	if err := json.Unmarshal(data, &back); err != nil || back[r] != r {
		t.Errorf("%v, %v", back, err)
	}
	if err := json.Unmarshal([]byte(`{"a b":"x"}`), &back); err == nil {
		t.Error("a wrong name was taken")
	}
	if s := (reference.Reference{}).String(); s != "" {
		t.Errorf("nothing is %q", s)
	}
}

func TestTarget(t *testing.T) {
	for _, test := range []struct{ to, image, want string }{
		{"reg.corp", "docker.io/redislabs/redis:7", "reg.corp/redislabs/redis:7"},
		{"reg.corp:5000/a/b/", "redis", "reg.corp:5000/a/b/library/redis:latest"},
		{"reg.corp", "quay.io/x:1@sha256:" + imagestest.Hex64, "reg.corp/x:1@sha256:" + imagestest.Hex64},
		{"reg.corp/m", "reg.corp/m/x:1", "reg.corp/m/x:1"},
		{"reg.corp/m", "reg.corp/mm/x:1", "reg.corp/m/mm/x:1"},
		{"reg.corp/m", "REG.corp:443/m/x:1", "REG.corp:443/m/x:1"},
		{"docker.io/acme", "redis:7", "docker.io/acme/library/redis:7"},
		{"localhost:5000", "redis:7", "localhost:5000/library/redis:7"},
	} {
		to, err := reference.ParseTarget(test.to)
		if err != nil {
			t.Fatal(err)
		}
		moved := to.Reference(imagestest.MustParse(t, test.image))
		if moved.String() != test.want || to.Reference(moved) != moved || !to.Holds(moved) {
			t.Errorf("%s on %s: %s, want %s", test.image, to, moved, test.want)
		}
	}
}

func TestParseTargetErrors(t *testing.T) {
	for _, s := range []string{"", "/", "harbor", "harbor/team", "reg.corp/A", "reg.corp/a:1", "reg.corp/a@sha256:" + imagestest.Hex64,
		"https://reg.corp", "u:hunter2@reg.corp", "https://u:hunter2@reg.corp/a", "reg.corp//a", "reg.corp:0", "reg.corp:99999/a", "a b", "oci:dir"} {
		to, err := reference.ParseTarget(s)
		if err == nil || strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), "\n") {
			t.Errorf("%q: %v, %v", s, to, err)
		}
	}
}

func TestCollisions(t *testing.T) {
	to, err := reference.ParseTarget("reg.corp/m")
	if err != nil {
		t.Fatal(err)
	}
	var refs []reference.Reference
	for _, s := range []string{"quay.io/a/x:1", "a/x:1", "a/x:1", "a/x:2", "quay.io/a/y:1", "reg.corp/m/a/y:1"} {
		refs = append(refs, imagestest.MustParse(t, s))
	}
	var got []string
	for _, same := range to.Collisions(refs) {
		for _, r := range same {
			got = append(got, r.String())
		}
		got = append(got, ".")
	}
	if want := "docker.io/a/x:1 quay.io/a/x:1 . quay.io/a/y:1 reg.corp/m/a/y:1 ."; strings.Join(got, " ") != want {
		t.Errorf("%q", got)
	}
}

// An accepted name is read back unchanged, in its full and in its short form.
func FuzzParse(f *testing.F) {
	for _, s := range []string{"busybox", "quay.io/a/b:c@sha256:" + imagestest.Hex64, "localhost:5000/a", "[::1]:5/a", "A/b", "a@sha256:1", "u:p@h/a", "sha256", "docker.io/a.b/c"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		r, err := reference.Parse(s)
		if err != nil {
			if strings.ContainsAny(err.Error(), "\n\r") {
				t.Errorf("not one line: %q", err)
			}
			return
		}
		if again, err := reference.Parse(r.String()); err != nil || again != r {
			t.Errorf("%q is %s, which is %s, %v", s, r, again, err)
		}
		if again, err := reference.Parse(r.Familiar()); err != nil || again != r {
			t.Errorf("%q is %s for short, which is %s, %v", s, r.Familiar(), again, err)
		}
	})
}
