package main

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/berth-registry/berth/cmd/berth/cli"
	"github.com/berth-registry/berth/test/fakes/fakeregistry"
	"github.com/berth-registry/berth/test/fakes/internet"
	"github.com/berth-registry/berth/test/images/sample"
	"github.com/berth-registry/berth/test/walkthrough"
)

// tracedNode makes a node whose containerd uses a proxy, behind which are the registries of the
// page and the help. It returns the root.
func tracedNode(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	hub, quay, k8s := fakeregistry.Start(fakeregistry.Options{}), fakeregistry.Start(fakeregistry.Options{}), fakeregistry.Start(fakeregistry.Options{})
	mirror := fakeregistry.Start(fakeregistry.Options{Username: "robot", Password: "hunter2"})
	for _, s := range []*fakeregistry.Server{hub, quay, k8s, mirror} {
		t.Cleanup(s.Close)
	}
	putImage(hub, "library/busybox:1.36")
	putImage(hub, "library/nginx:latest")
	putImage(quay, "prometheus/busybox:latest")
	putImage(k8s, "pause:3.10")
	const store = "production.cloudflare.docker.com"
	world, err := internet.Start(t.TempDir(), map[string]http.Handler{
		"registry-1.docker.io": dockerHub(hub, "https://"+store), store: inParts(hub), "quay.io": quay.Handler(),
		"registry.k8s.io": k8s.Handler(), "mirror.corp:5000": mirror.Handler(),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := world.Close(); err != nil {
			t.Error(err)
		}
	})
	for _, pair := range world.Env() {
		name, value, _ := strings.Cut(pair, "=")
		t.Setenv(name, value)
	}
	for name, content := range map[string]string{
		"etc/containerd/config.toml":    "version = 2\n[plugins.\"io.containerd.grpc.v1.cri\".registry]\n  config_path = \"/etc/containerd/certs.d\"\n",
		"etc/berth/secrets/mirror-corp": "hunter2",
		"proc/7/comm":                   "containerd\n",
		"proc/7/cmdline":                "/usr/bin/containerd\x00",
		"proc/7/environ":                strings.Join(world.Env(), "\x00"),
		"proc/7/stat":                   "7 (containerd) S 1 7 7 0 -1 0 0 0 0 0 0 0 0 0 20 0 9 0 1000 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0\n",
		"proc/stat":                     "btime 4000000000\n",
		"containerd":                    "#!/bin/sh\necho containerd github.com/containerd/containerd/v2 v2.4.2 abcdef\n",
	} {
		putFile(t, filepath.Join(root, name), content)
	}
	if err := os.Chmod(filepath.Join(root, "containerd"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("../../containerd", filepath.Join(root, "proc/7/exe")); err != nil {
		t.Fatal(err)
	}
	return root
}

func putFile(t *testing.T, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// putImage puts an image of one layer into a registry.
func putImage(s *fakeregistry.Server, name string) {
	repository, tag, _ := strings.Cut(name, ":")
	config, layer := []byte(`{"architecture":"amd64","os":"linux"}`), []byte("layer of "+name)
	s.PutManifest(repository, tag, sample.OCIManifest, fmt.Appendf(nil,
		`{"schemaVersion":2,"mediaType":%q,"config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":%q,"size":%d},`+
			`"layers":[{"mediaType":"application/vnd.oci.image.layer.v1.tar","digest":%q,"size":%d}]}`,
		sample.OCIManifest, s.PutBlob(repository, config), len(config), s.PutBlob(repository, layer), len(layer)))
}

// dockerHub reports its limit, and redirects its layers to another host.
func dockerHub(s *fakeregistry.Server, store string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.URL.Path, "/blobs/") {
			http.Redirect(w, r, store+r.URL.Path, http.StatusTemporaryRedirect)
			return
		}
		w.Header().Set("RateLimit-Limit", "100;w=21600")
		w.Header().Set("RateLimit-Remaining", "98;w=21600")
		s.Handler().ServeHTTP(w, r)
	})
}

// inParts serves ranges of layers.
func inParts(s *fakeregistry.Server) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		whole := httptest.NewRecorder()
		s.Handler().ServeHTTP(whole, r)
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(whole.Body.Bytes()))
	})
}

// onNode runs a line as it is written, on the node below root.
func onNode(t *testing.T, root, line string) string {
	t.Helper()
	line = strings.ReplaceAll(line, "/host", root) // the node in a container
	cmd := exec.CommandContext(t.Context(), "sh", "-euc",
		`berth() { verb=$1; shift; set -- --root "$ROOT" "$@"; if test $verb = trace; then set -- --proc "$ROOT/proc" "$@"; fi; command berth $verb "$@"; }`+"\n"+line)
	cmd.Env = append(os.Environ(), "ROOT="+root, "AWS_EC2_METADATA_SERVICE_ENDPOINT=http://127.0.0.1:1")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("%s: %v\n%s", line, err, out)
	}
	return strings.ReplaceAll(string(out), root, "")
}

var changing = regexp.MustCompile(`[0-9.]+ ms|sha256:[0-9a-f]{64}|sha256:…`)

// same is an output without the parts that differ in each run.
func same(output string) string { return changing.ReplaceAllString(output, "_") }

// The commands of the page print what the page shows, with the config that it shows.
func TestTracePage(t *testing.T) {
	root := tracedNode(t)
	page := "../../docs/trace.md"
	found := blocks(t, page)
	putFile(t, filepath.Join(root, "etc/berth/config.yaml"), strings.ReplaceAll(found["yaml"][0], "/etc/berth", root+"/etc/berth"))
	onNode(t, root, "berth apply")
	if len(found["sh"]) != 2 || len(found["text"]) != 1 {
		t.Fatalf("the page has %d commands and %d outputs", len(found["sh"]), len(found["text"]))
	}
	if out := onNode(t, root, found["sh"][0]); same(out) != same(found["text"][0]) {
		t.Errorf("the page shows\n%s\nprinted was\n%s", found["text"][0], out)
	}
	if out := onNode(t, root, found["sh"][1]); strings.Count(out, `"serves": true`) != 2 {
		t.Errorf("%sprinted\n%s", found["sh"][1], out)
	}
}

// The commands of the page about pull secrets print what the page shows, in its order, with its
// configs.
func TestPullSecretsPage(t *testing.T) {
	root := tracedNode(t)
	text, err := os.ReadFile("../../docs/pull-secrets.md")
	if err != nil {
		t.Fatal(err)
	}
	out, compared := "", 0
	for _, b := range walkthrough.Blocks(string(text)) {
		switch b.Info {
		case "yaml":
			putFile(t, filepath.Join(root, "etc/berth/config.yaml"), strings.ReplaceAll(b.Text, ": /etc/berth", ": "+root+"/etc/berth"))
		case "sh":
			out = onNode(t, root, b.Text)
		case "text":
			if same(out) != same(b.Text) {
				t.Errorf("the page shows\n%s\nprinted was\n%s", b.Text, out)
			}
			compared++
		default:
			t.Errorf("a block of %q", b.Info)
		}
	}
	if compared != 2 {
		t.Errorf("%d outputs were compared, want 2", compared)
	}
}

// Every example of the help works, and each image is served.
func TestTraceExamples(t *testing.T) {
	root := tracedNode(t)
	ran := 0
	for line := range strings.Lines(newTrace(&cli.Options{}).Example) {
		line = strings.TrimSpace(line)
		out := onNode(t, root, line)
		switch {
		case strings.Contains(line, "-o json"):
			if strings.Count(out, `"serves": true`) != 2 {
				t.Errorf("%s printed\n%s", line, out)
			}
		case !strings.Contains(out, "verdict     registry-1.docker.io, the registry itself, will serve it\n"):
			t.Errorf("%s printed\n%s", line, out)
		}
		ran++
	}
	if ran != 4 {
		t.Errorf("%d examples ran, want 4", ran)
	}
}

// The comparison can fail.
func TestTracePageNotices(t *testing.T) {
	const shown = "resolve   ok, 200, 4.1 ms\ndigest      sha256:…\n"
	printed := "resolve   ok, 200, 310 ms\ndigest      sha256:" + strings.Repeat("a", 64) + "\n"
	if same(shown) != same(printed) {
		t.Errorf("%q is not %q", same(shown), same(printed))
	}
	for _, other := range []string{"resolve   ok, 206, 310 ms\n", "resolve   no: 310 ms\n", "digest      sha256:aa\n"} {
		if strings.Contains(same(shown), same(other)) {
			t.Errorf("%q passes", other)
		}
	}
}
