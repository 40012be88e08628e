package list

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/berth-registry/berth/images/copy"
	"github.com/berth-registry/berth/images/document"
	"github.com/berth-registry/berth/images/internal/imagestest"
	"github.com/berth-registry/berth/images/reference"
	"github.com/berth-registry/berth/test/fakes/fakeregistry"
	"github.com/berth-registry/berth/test/images/sample"
)

// readList reads a text as a manifest or as a plain list.
func readList(t *testing.T, plain bool, text string) (images, problems []string, l *List) {
	t.Helper()
	l = &List{}
	if plain {
		l.AddPlain(document.Stdin, strings.NewReader(text))
	} else {
		l.AddManifests(document.Stdin, strings.NewReader(text))
	}
	for _, r := range l.References() {
		images = append(images, r.String())
	}
	for _, p := range l.Problems() {
		problems = append(problems, p.Error())
	}
	return images, problems, l
}

// Of lists for other programs, the images that they name are listed, what they would look up is
// named, and nothing else is read, above all no login.
func TestForeignLists(t *testing.T) {
	for _, c := range []struct {
		name, text       string
		images, problems []string // problems as prefixes
	}{
		{"zarf", `kind: ZarfPackageConfig
metadata: {name: shop}
components:
- name: web
  images:
  - redis:7.2
  - ghcr.io/acme/web@sha256:` + strings.Repeat("a", 64) + `
  charts: [{name: x, url: "oci://ghcr.io/acme/chart", version: 1.0.0}]
- name: new
  images: [{name: quay.io/acme/new:1, source: daemon}]
- name: rest
  images: ["###ZARF_PKG_TMPL_IMAGE###"]
  imageArchives: [{path: a.tar, images: [a:1]}]
  import: {path: ../other}
`, []string{"docker.io/library/redis:7.2", "ghcr.io/acme/web@sha256:" + strings.Repeat("a", 64), "quay.io/acme/new:1"},
			[]string{`components[2].images[0]: image "###ZARF_PKG_TMPL_IMAGE###"`, "components[2].imageArchives: images out of an archive", "components[2].import: the images of another package"}},
		{"zarf init", "kind: ZarfInitConfig\ncomponents: [{images: ['registry:3']}]\n", []string{"docker.io/library/registry:3"}, nil},
		{"hauler", `apiVersion: content.hauler.cattle.io/v1
kind: Images
metadata: {name: a, annotations: {hauler.dev/registry: registry.corp/hub}}
spec:
  images:
  - name: acme/web:1
    platform: linux/amd64
  - name: quay.io/acme/side:2
  - name: redis:7
---
apiVersion: content.hauler.cattle.io/v1
kind: Files
spec: {files: [{path: https://example.com/x:1}]}
---
apiVersion: content.hauler.cattle.io/v1
kind: Charts
spec: {charts: [{name: rancher, repoURL: https://charts.corp, version: 2.8.5}]}
`, []string{"quay.io/acme/side:2", "registry.corp/hub/acme/web:1", "registry.corp/hub/redis:7"}, []string{`the images of hauler's "Charts" are not looked up`}},
		{"skopeo sync", `docker.io:
  credentials: {username: me, password: hunter2}
  tls-verify: true
  images:
    busybox: [1.36, "1.37"]
    acme/all: []
    acme/rest:
    acme/pinned:
    - sha256:` + strings.Repeat("b", 64) + `
quay.io:
  tls-verify: false
  images-by-tag-regex: {acme/regex: ^1\.27.*$}
  images-by-semver: {acme/semver: ">= 3.12.0"}
`, []string{"docker.io/acme/pinned@sha256:" + strings.Repeat("b", 64), "docker.io/library/busybox:1.36", "docker.io/library/busybox:1.37"},
			[]string{"all tags of docker.io/acme/all are selected", "all tags of docker.io/acme/rest are selected", `the tags of quay.io/acme/regex that match "^1\\.27.*$"`, `the tags of quay.io/acme/semver that match ">= 3.12.0"`}},
		{"regsync", `version: 1
creds: [{registry: docker.io, user: me, pass: hunter2}]
defaults: {ratelimit: {min: 100}}
sync:
- {source: "busybox:1.36", target: "registry.corp/busybox:1.36", type: image}
- source: ghcr.io/acme/web
  target: registry.corp/web
  type: repository
  tags: {allow: ["1.27", "latest", "^v3$", "v4.*", "rc1"], deny: ["rc.*"]}
- {source: ghcr.io/acme/all, target: registry.corp/all, type: repository}
- {source: "old.corp:5000", target: "registry.corp", type: registry}
- {source: '{{ env "X" }}', target: y, type: image}
`, []string{"docker.io/library/busybox:1.36", "ghcr.io/acme/web:1.27", "ghcr.io/acme/web:latest", "ghcr.io/acme/web:v3"},
			[]string{`that match "v4.*" are not looked up`, `the tags of "ghcr.io/acme/all" are not looked up`, `all of "old.corp:5000" is selected (type "registry")`, "placeholder"}},
	} {
		for _, plain := range []bool{false, true} {
			images, problems, _ := readList(t, plain, c.text)
			if !slices.Equal(images, c.images) {
				t.Errorf("%s, plain %v: %q, want %q", c.name, plain, images, c.images)
			}
			if len(problems) != len(c.problems) {
				t.Errorf("%s, plain %v: problems %q, want %q", c.name, plain, problems, c.problems)
				continue
			}
			for i, want := range c.problems {
				if !strings.Contains(problems[i], want) || !strings.HasPrefix(problems[i], "-:") {
					t.Errorf("%s, plain %v: %q, want %q", c.name, plain, problems[i], want)
				}
				if strings.Contains(problems[i], "hunter2") {
					t.Errorf("%s: a secret: %q", c.name, problems[i])
				}
			}
		}
	}
}

// A document that only resembles such a list is read as a manifest.
func TestForeignListsRefused(t *testing.T) {
	for _, text := range []string{
		"sync: {image: redis:7}\n",
		"sync: [{image: redis:7}]\n",
		"web: {images: {app: [x]}, image: redis:7}\n",
		"kind: Images\nspec: {image: redis:7}\n",
	} {
		if images, problems, _ := readList(t, false, text); !slices.Equal(images, []string{"docker.io/library/redis:7"}) {
			t.Errorf("%q: %q %q", text, images, problems)
		}
	}
}

// Lists as pipelines print them: counted, labelled, several on a line.
func TestPlainFormats(t *testing.T) {
	text := `      2 redislabs/operator:7.2.4-7
      1 redislabs/redis:7.2.4-64
      3 registry.k8s.io/pause:3.10
quay.io/acme/a:1 quay.io/acme/b:2
    Image:         quay.io/acme/c:3
`
	want := map[string]int{
		"docker.io/redislabs/operator:7.2.4-7": 2, "docker.io/redislabs/redis:7.2.4-64": 1, "registry.k8s.io/pause:3.10": 3,
		"quay.io/acme/a:1": 1, "quay.io/acme/b:2": 1, "quay.io/acme/c:3": 1,
	}
	images, problems, l := readList(t, true, text)
	if len(images) != len(want) || problems != nil {
		t.Errorf("%q %q", images, problems)
	}
	for _, image := range l.Images() {
		if image.Count() != want[image.Reference.String()] {
			t.Errorf("%s: counted %d times", image.Reference, image.Count())
		}
	}
	if p := l.Images()[5].Found[0]; p.Line != 3 || p.Column != 9 {
		t.Errorf("%+v", p)
	}
	for _, c := range []struct {
		line             string
		images, problems int
	}{
		{"Image ID:  docker.io/library/redis@sha256:" + strings.Repeat("c", 64) + "\nredis", 1, 0},
		{"- image: redis:7", 1, 0},
		{`  "image": "redis:7",`, 1, 0},
		{"image: redis:7 # old", 1, 0},
		{"a:1, b:2,c:3", 3, 0},
		{`"a:1" "b:2"`, 2, 0},
		{"      3 redis", 1, 0},
		{"12 monkeys are here", 0, 1},
		{"not an image", 0, 1},
		{"nginx redis:7", 0, 1},
		{"99999999999999999999 redis:7", 0, 1},
		{"a:1 b:2 C:3", 2, 1},
		{"$(IMAGE) a:1", 0, 1},
		{"a:1\r\n2 b:2\r\n", 2, 0},
	} {
		if images, problems, _ := readList(t, true, c.line); len(images) != c.images || len(problems) != c.problems {
			t.Errorf("%q: %q %q", c.line, images, problems)
		}
	}
}

// The images of a directory are listed even if their blobs are missing.
func TestAddLayout(t *testing.T) {
	source := imagestest.StartRegistry(t, fakeregistry.Options{})
	_, images := imagestest.Fill(t, source, sample.Options{Seed: 65, Images: 3})
	dir := t.TempDir()
	at := func(dir string) reference.Location {
		t.Helper()
		l, err := reference.ParseLocation("oci:" + dir)
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	if _, err := (&copy.Copier{}).Copy(t.Context(), images, reference.Location{}, at(dir)); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Join(dir, "blobs")); err != nil {
		t.Fatal(err)
	}
	l := &List{}
	l.AddLayout(at(dir))
	if got := l.References(); len(got) != len(images) || l.Problems() != nil {
		t.Errorf("%v %v", got, l.Problems())
	}
	l.AddLayout(at(t.TempDir()))
	if p := l.Problems(); len(p) != 1 || !strings.Contains(p[0].Error(), "is no OCI layout") {
		t.Errorf("%v", p)
	}
}
