package list

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/berth-registry/berth/images/document"
	"github.com/berth-registry/berth/images/place"
)

// lines returns the content of a list: a line for each place, then the problems.
func lines(l *List) []string {
	var all []string
	for _, image := range l.Images() {
		for _, p := range image.Found {
			all = append(all, fmt.Sprintf("%s %s:%d %s %s", image.Reference, filepath.Base(p.File), p.Line, p.Use, p.Field))
		}
	}
	for _, err := range l.Problems() {
		all = append(all, "problem "+err.Error())
	}
	return all
}

func wantLines(t *testing.T, l *List, want ...string) {
	t.Helper()
	got := lines(l)
	if !slices.Equal(got, want) {
		t.Errorf("got\n  %s\nwant\n  %s", strings.Join(got, "\n  "), strings.Join(want, "\n  "))
	}
}

func TestListRedis(t *testing.T) {
	var l List
	l.AddManifests("testdata/redis.yaml", nil)
	wantLines(t, &l,
		"docker.io/redislabs/default:1 redis.yaml:22 field spec.versions[0].schema.openAPIV3Schema.properties.spec.properties.image.default",
		"docker.io/redislabs/k8s-controller:7.2.4-7 redis.yaml:79 field spec.redisEnterpriseServicesRiggerImageSpec",
		"docker.io/redislabs/operator:7.2.4-7 redis.yaml:56 container spec.template.spec.containers[0].image",
		"docker.io/redislabs/operator:7.2.4-7 redis.yaml:64 container spec.template.spec.containers[1].image",
		"docker.io/redislabs/operator:7.2.4-7 redis.yaml:82 field spec.bootstrapperImageSpec",
		"docker.io/redislabs/redis:7.2.4-64 redis.yaml:76 field spec.redisEnterpriseImageSpec",
		"docker.io/redislabs/setting:3 redis.yaml:32 field data.image",
		"docker.io/redislabs/setting:4 redis.yaml:35 container data[\"pod.yaml\"].containers[0].image")
	found := l.Images()[2].Found[1]
	want := place.Place{File: "testdata/redis.yaml", Line: 64, Column: 16, Kind: "Deployment", Namespace: "redis",
		Name: "redis-enterprise-operator", Container: "admission", Field: "spec.template.spec.containers[1].image", Use: place.UseContainer}
	if found != want {
		t.Errorf("got %+v, want %+v", found, want)
	}
}

func TestListJSON(t *testing.T) {
	var l List
	l.AddManifests("testdata/pods.json", nil)
	wantLines(t, &l,
		"docker.io/library/busybox:1.36 pods.json:20 container spec.ephemeralContainers[0].image",
		"docker.io/library/nginx:latest pods.json:17 container spec.containers[0].image",
		"ghcr.io/acme/init@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef pods.json:23 container spec.initContainers[0].image",
		"quay.io/acme/model:v1 pods.json:26 volume spec.volumes[0].image.reference")
}

// kustomize recognises its file by the name; a kind is optional.
func TestListKustomization(t *testing.T) {
	text := "images:\n- {name: a, newName: b, newTag: v1}\n"
	for file, want := range map[string]int{"kustomization.yaml": 1, "Kustomization.yml": 1, "Kustomization": 1, "values.yaml": 0, "kustomization.txt": 0} {
		name := filepath.Join(t.TempDir(), file)
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		var l List
		l.AddManifests(name, nil)
		if got := l.References(); len(got) != want || want > 0 && got[0].Familiar() != "b:v1" || len(l.Problems()) > 0 {
			t.Errorf("%s: %v, %v", file, got, l.Problems())
		}
	}
}

// Lists are read the same whatever is between their lines.
func TestListPlain(t *testing.T) {
	var l List
	l.AddPlain("testdata/rke-system-images.txt", nil)
	l.AddPlain("testdata/kubeadm.txt", nil)
	if n := len(l.Images()); n != 15 || len(l.Problems()) > 0 {
		t.Errorf("%d images, problems %v", n, l.Problems())
	}
	registries := l.Registries()
	var names []string
	for _, r := range registries {
		names = append(names, fmt.Sprintf("%s %d", r.Registry, len(r.Images)))
	}
	if want := []string{"docker.io 10", "quay.io 1", "registry.k8s.io 4"}; !slices.Equal(names, want) {
		t.Errorf("%q, want %q", names, want)
	}
	for _, test := range []struct{ name, text, want string }{
		{"quotes", "'redis:7'\n\"redis:7\",\n- redis:7\n", "redis:7 redis:7 redis:7"},
		{"comments", "# redis:6\n\n  redis:7  # cache\nredis:7\t#x\n", "redis:7 redis:7"},
		{"rke on a terminal", "\x1b[36mINFO\x1b[0m[0000] Generating images list for version [v1.17]:\nredis:7\nINFO[0001] done\n", "redis:7"},
		{"klog", "W0611 12:00:00.000000    1234 version.go:104] could not fetch a version\nI0611 12:00:00.000000 1 x.go:1] falling back\nredis:7\n", "redis:7"},
		{"old Macs do not exist", "redis:7\nredis:6", "redis:6 redis:7"},
		{"a mark of the byte order", "\ufeffredis:7\r\n", "redis:7"},
	} {
		var l List
		l.AddPlain(document.Stdin, strings.NewReader(test.text))
		var got []string
		for _, image := range l.Images() {
			for range image.Found {
				got = append(got, image.Reference.Familiar())
			}
		}
		if strings.Join(got, " ") != test.want || len(l.Problems()) > 0 {
			t.Errorf("%s: %q, problems %v", test.name, got, l.Problems())
		}
	}
}

func TestListPlainErrors(t *testing.T) {
	for _, test := range []struct{ text, want string }{
		{"", "-: names no image"},
		{"# nothing\n\n", "-: names no image"},
		{"redis:7\nredis and more\nRedis\n", "-:2:1: image \"redis and more\": an image name has no spaces\n-:3:1: image \"Redis\": the repository must be in lower case"},
		{"  https://user:hunter2@reg.corp/a\n", `-:1:3: image "https://…@reg.corp/a": an image name has no scheme; write registry/repository:tag`},
		{"time=\"x\" level=fatal msg=\"hunter2\"\n", "-:1:1: the program that printed this list reported an error here; the list may be incomplete"},
		{"FATA[0000] hunter2\n", "-:1:1: the program that printed this list reported an error here; the list may be incomplete"},
		{"\xff\xfer\x00", "-:1:1: is UTF-16; save it as UTF-8 (PowerShell: Out-File -Encoding utf8)"},
		{"redis\n\x00", "-:2:1: holds a NUL byte; this is a binary file, and text in UTF-8 is needed"},
		{"redis\n \xe9", "-:2:2: byte 0xe9 is not UTF-8; save the file as UTF-8"},
	} {
		var l List
		l.AddPlain(document.Stdin, strings.NewReader(test.text))
		var got []string
		for _, err := range l.Problems() {
			got = append(got, err.Error())
		}
		if strings.Join(got, "\n") != test.want {
			t.Errorf("%q: got\n%s\nwant\n%s", test.text, strings.Join(got, "\n"), test.want)
		}
	}
}

// A directory is read with all below it, and one bad file does not stop the others.
func TestListDirectory(t *testing.T) {
	dir := t.TempDir()
	pod := "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec:\n  containers:\n  - {name: c, image: "
	for name, text := range map[string]string{
		"a.yaml": pod + "a:1}\n", "sub/b.YML": pod + "b:1}\n", "sub/deep/c.json": `{"kind":"Pod","apiVersion":"v1","spec":{"containers":[{"image":"c:1"}]}}`,
		"notes.txt": pod + "never:1}\n", "..data/a.yaml": pod + "never:2}\n", "bad.yaml": "a: [\n", "empty.yaml": "",
	} {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(dir, filepath.Join(dir, "sub", "loop.yaml")); err != nil {
		t.Fatal(err)
	}
	var l List
	l.AddManifests(dir, nil)
	l.AddManifests(filepath.Join(dir, "absent"), nil)
	l.AddManifests(t.TempDir(), nil)
	l.AddManifests("https://example.com/x.yaml", nil)
	l.AddManifests(filepath.Join(dir, "empty.yaml"), nil)
	var names, problems []string
	for _, r := range l.References() {
		names = append(names, r.Familiar())
	}
	for _, err := range l.Problems() {
		problems = append(problems, err.Error())
	}
	if strings.Join(names, " ") != "a:1 b:1 c:1" {
		t.Errorf("%q", names)
	}
	for i, want := range []string{"bad.yaml:1:1: is no valid YAML near here: ", "absent: no such file", "no file in this directory ends in", "a URL is not read", "empty.yaml: is empty"} {
		if len(problems) != 5 || !strings.Contains(problems[i], want) {
			t.Fatalf("%q: want %q", problems, want)
		}
	}
}
