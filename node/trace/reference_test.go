package trace

import (
	"strings"
	"testing"
)

func TestParseImage(t *testing.T) {
	sum := "sha256:" + strings.Repeat("a", 64)
	for in, want := range map[string]string{
		"busybox":                  "docker.io/library/busybox:latest",
		"quay.io/a/b:v1":           "quay.io/a/b:v1",
		"quay.io/a/b:v1@" + sum:    "quay.io/a/b@" + sum,
		"localhost:5000/a":         "localhost:5000/a:latest",
		"[::1]:5000/a:v1":          "[::1]:5000/a:v1",
		"registry.k8s.io/pause:3":  "registry.k8s.io/pause:3",
		"index.docker.io/nginx:v1": "docker.io/library/nginx:v1",
	} {
		if got, err := parseImage(in); err != nil || got.full != want {
			t.Errorf("%s: %+v, %v", in, got, err)
		}
	}
	for in, want := range map[string]string{
		"":                               "is empty",
		"https://quay.io/a":              "must not have a scheme",
		"UPPER":                          "must be in lower case",
		"user:hunter2@quay.io/a":         "must not contain a login",
		"user:hunter2@quay.io/a@" + sum:  "must not contain a login",
		"https://user:hunter2@quay.io/a": "must not contain a login",
		"a b":                            "write registry/repository:tag",
	} {
		_, err := parseImage(in)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error()+shown(in), "hunter2") {
			t.Errorf("%q: %v", in, err)
		}
	}
}

func FuzzContent(f *testing.F) {
	f.Add([]byte(`{"manifests":[{"digest":"x","platform":{"os":"linux"}}],"layers":[{"size":1}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		if d, err := blob(b); err == nil && (d.Digest.Validate() != nil || d.Size <= 0 || len(d.URLs) > 0) {
			t.Errorf("layer %+v", d)
		}
		if d, err := child(b); err == nil && (d.Digest.Validate() != nil || d.Size < 0 || d.Size > maxManifest) {
			t.Errorf("manifest %+v", d)
		}
	})
}
