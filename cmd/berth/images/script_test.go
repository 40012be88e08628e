package images

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/berth-registry/berth/cmd/berth/cli"
	"github.com/berth-registry/berth/test/fakes/fakeregistry"
	"github.com/berth-registry/berth/test/images/sample"
	"github.com/berth-registry/berth/test/scripts"
)

// world is where the registries of the examples are: all of them behind a proxy
// that the config of the node names.
type world struct {
	hub, corp *fakeregistry.Server
	root      string
}

const exampleECR = "111122223333.dkr.ecr.eu-west-1.amazonaws.com"

func startWorld(t *testing.T) *world {
	t.Helper()
	w := &world{hub: fakeregistry.Start(fakeregistry.Options{}), corp: fakeregistry.Start(fakeregistry.Options{}), root: nodeRoot(t)}
	t.Cleanup(w.hub.Close)
	t.Cleanup(w.corp.Close)
	amazon, env, stop, err := scripts.StartAmazon()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stop)
	for name, value := range env {
		t.Setenv(name, value)
	}
	w.hub.Intercept(func(w http.ResponseWriter, _ *http.Request) bool {
		w.Header().Set("RateLimit-Limit", "100;w=21600")
		w.Header().Set("RateLimit-Remaining", "76;w=21600")
		return false
	})
	for _, name := range []string{
		"library/nginx:1.27", "library/nginx:latest", "redislabs/redis:7.2.4-64", "redislabs/operator:7.2.4-7", "redislabs/k8s-controller:7.2.4-7",
		"ratelimitpreview/test:latest",
	} {
		w.add(t, name)
	}
	proxy := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Host == "registry-1.docker.io":
			w.hub.Handler().ServeHTTP(rw, r)
		case strings.HasPrefix(r.URL.Host, "registry.corp"):
			w.corp.Handler().ServeHTTP(rw, r)
		case r.URL.Host == exampleECR:
			amazon.Handler().ServeHTTP(rw, r)
		default:
			http.Error(rw, "nobody of that name", http.StatusBadGateway)
		}
	}))
	t.Cleanup(proxy.Close)
	config := fmt.Sprintf(`apiVersion: berth/v1alpha1
kind: RegistryConfig
mirrors:
- {upstream: docker.io, endpoints: [{url: "http://registry.corp:5000"}]}
proxy: {httpProxy: %q}
registries:
- {host: docker.io, plainHTTP: true}
- {host: "registry.corp:5000", plainHTTP: true}
- {host: registry.corp, plainHTTP: true}
- {host: %s, plainHTTP: true, allowPlainHTTPCredentials: true}
`, proxy.URL, exampleECR)
	file := filepath.Join(w.root, "etc/berth/config.yaml")
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	return w
}

// add puts an image for two platforms onto Docker Hub.
func (w *world) add(t *testing.T, name string) {
	t.Helper()
	repository, tag, _ := strings.Cut(name, ":")
	index := `{"schemaVersion":2,"mediaType":"` + sample.OCIIndex + `","manifests":[`
	for i, architecture := range []string{"amd64", "arm64"} {
		config := fmt.Appendf(nil, `{"architecture":%q,"os":"linux","of":%q}`, architecture, name)
		layer := []byte("layer of " + name)
		manifest := fmt.Appendf(nil, `{"schemaVersion":2,"mediaType":%q,"config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":%q,"size":%d},`+
			`"layers":[{"mediaType":"application/vnd.oci.image.layer.v1.tar","digest":%q,"size":%d}]}`,
			sample.OCIManifest, w.hub.PutBlob(repository, config), len(config), w.hub.PutBlob(repository, layer), len(layer))
		digest := w.hub.PutManifest(repository, "", sample.OCIManifest, manifest)
		if i > 0 {
			index += ","
		}
		index += fmt.Sprintf(`{"mediaType":%q,"digest":%q,"size":%d,"platform":{"os":"linux","architecture":%q}}`, sample.OCIManifest, digest, len(manifest), architecture)
	}
	w.hub.PutManifest(repository, tag, sample.OCIIndex, []byte(index+"]}"))
}

// Every example in the help of copy, check and diff works as it is written: what
// copy has copied, check finds.
func TestCopyAndCheckExamples(t *testing.T) {
	redis := chapter(t, filepath.Join(Repository(t), "docs/images.md"), "\n# Images", "\n## List\n")["yaml"][0]
	w := startWorld(t)
	imageFiles(t, redis)
	list := "redislabs/redis:7.2.4-64\nnginx:1.27\n"
	if err := os.WriteFile("images.txt", []byte(list), 0o600); err != nil {
		t.Fatal(err)
	}
	ran := 0
	for _, verb := range []*cobra.Command{newCopy(&cli.Options{}), newCheck(&cli.Options{}), newDiff(&cli.Options{})} {
		for line := range strings.Lines(verb.Example) {
			line = strings.TrimSpace(line)
			out, err := shell(t, w.root, line)
			if err != nil {
				t.Errorf("%s: %v\n%s", line, err, out)
			}
			want := "as it should be"
			switch {
			case strings.Contains(line, "--rate-limit"):
				want = "docker.io: 76 of 100 pulls left in 6 hours (anonymous)"
			case strings.Contains(line, "-o json"):
				want = `"finding": "ok"`
			case verb.Name() == "copy":
				want = " copied, "
			case verb.Name() == "diff":
				want = "0 images, 0 B\n"
			}
			if !strings.Contains(out, want) || strings.Contains(out, "failed") {
				t.Errorf("%s: no %q in\n%s", line, want, out)
			}
			ran++
		}
	}
	if ran != 19 {
		t.Errorf("%d examples ran, want 19", ran)
	}
	if w.corp.Manifest("mirror/redislabs/operator", "7.2.4-7") == nil {
		t.Error("nothing came to registry.corp/mirror")
	}
}

// The page shows what its commands print, in the order in which they stand.
func TestCopyAndCheckPage(t *testing.T) {
	page := filepath.Join(Repository(t), "docs/images.md")
	redis := chapter(t, page, "\n# Images", "\n## List\n")["yaml"][0]
	w := startWorld(t)
	imageFiles(t, redis)
	var out []string
	for _, title := range []string{"Check", "Copy", "Diff"} {
		blocks := chapter(t, page, "\n## "+title+"\n", "\n## ")
		for _, block := range blocks["sh"] {
			for line := range strings.Lines(block) {
				text, err := shell(t, w.root, line)
				if missing := len(out) == 0; (err != nil) != missing {
					t.Errorf("%s%v\n%s", line, err, text)
				}
				out = append(out, text)
			}
		}
		for _, want := range blocks["text"] {
			if !slices.Contains(out, want) {
				t.Errorf("the page shows\n%s\nprinted was\n%s", want, strings.Join(out, "\n"))
			}
		}
	}
	if len(out) != 17 {
		t.Errorf("%d commands ran, want 17", len(out))
	}
	if w.corp.Manifest("mirror/redislabs/redis", "7.2.4-64") == nil {
		t.Error("nothing came to registry.corp/mirror")
	}
}
