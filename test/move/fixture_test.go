package move

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/berth-registry/berth/test/fakes/fakecri"
	"github.com/berth-registry/berth/test/fakes/fakeregistry"
	"github.com/berth-registry/berth/test/fakes/internet"
	"github.com/berth-registry/berth/test/gobuild"
	"github.com/berth-registry/berth/test/images/sample"
)

// The registries, by the names that programs use.
const (
	hub  = "registry-1.docker.io"
	quay = "quay.io"
	k8s  = "registry.k8s.io"
	corp = "registry.corp"
)

// login is one of the two logins that registry.corp accepts.
type login struct{ name, password string }

var (
	pusher = login{"pusher", "pushes and pulls"}
	puller = login{"puller", "only pulls"} // as in the page's cluster.yml
)

// fixture holds the registries, a workstation and a node.
type fixture struct {
	registries map[string]*fakeregistry.Server
	internet   *internet.Internet
	dir        string           // the working directory of commands, with all files
	requests   []map[string]int // to each registry, by each block of commands
}

// newFixture starts the registries and their network. change may put a handler in front of a
// registry; without it Docker Hub has 76 pulls left.
func newFixture(t *testing.T, change ...func(map[string]http.Handler)) *fixture {
	t.Helper()
	// Its path is short: the path of a socket has at most 107 bytes.
	dir, err := os.MkdirTemp("", "move")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	w := &fixture{registries: map[string]*fakeregistry.Server{}, dir: dir}
	handlers := map[string]http.Handler{}
	for _, name := range []string{hub, quay, k8s, corp} {
		var o fakeregistry.Options
		if name == corp {
			o.Admit = func(username, password string) bool {
				return username == pusher.name && password == pusher.password || username == puller.name && password == puller.password
			}
		}
		s := fakeregistry.Start(o)
		t.Cleanup(s.Close)
		w.registries[name], handlers[name] = s, s.Handler()
	}
	w.registries[corp].Intercept(pullerOnlyPulls)
	if len(change) == 0 {
		w.registries[hub].Intercept(func(rw http.ResponseWriter, _ *http.Request) bool {
			rw.Header().Set("RateLimit-Limit", "100;w=21600")
			rw.Header().Set("RateLimit-Remaining", "76;w=21600")
			return false
		})
	}
	w.fill()
	for _, f := range change {
		f(handlers)
	}
	if w.internet, err = internet.Start(dir, handlers); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.internet.Close(); err != nil {
			t.Error(err)
		}
	})
	w.programs(t)
	w.runtime(t)
	for name, content := range map[string]string{
		"pusher-password": pusher.password, "puller-password": puller.password, "node/etc/berth/secrets/registry-corp": puller.password,
	} {
		if err := w.write(name, content); err != nil {
			t.Fatal(err)
		}
	}
	return w
}

// pullerOnlyPulls refuses requests with the nodes' login that change the registry.
func pullerOnlyPulls(rw http.ResponseWriter, r *http.Request) bool {
	name, _, _ := r.BasicAuth()
	refused := name == puller.name && r.Method != http.MethodGet && r.Method != http.MethodHead
	if refused {
		http.Error(rw, "this login may only pull", http.StatusForbidden)
	}
	return refused
}

// moved maps the source of each image of the page to its destinations.
func moved() map[string][]string {
	images := map[string][]string{
		hub: {"redislabs/redis:7.2.4-64", "redislabs/operator:7.2.4-7", "redislabs/k8s-controller:7.2.4-7"},
		k8s: {"pause:3.10"},
	}
	_, list, _ := strings.Cut(systemImages, "\n")
	for line := range strings.Lines(list) {
		name := strings.TrimSpace(line)
		from := hub
		if short, ok := strings.CutPrefix(name, quay+"/"); ok {
			name, from = short, quay
		}
		images[from] = append(images[from], name)
	}
	return images
}

func (w *fixture) fill() {
	for registry, images := range moved() {
		for _, name := range images {
			add(w.registries[registry], name)
		}
	}
	add(w.registries[hub], "ratelimitpreview/test:latest")
}

// add adds an image for two platforms to a registry.
func add(s *fakeregistry.Server, name string) {
	repository, tag, _ := strings.Cut(name, ":")
	var children []string
	for _, architecture := range []string{"amd64", "arm64"} {
		config := fmt.Appendf(nil, `{"architecture":%q,"os":"linux","of":%q}`, architecture, name)
		layer := []byte("layer of " + name)
		manifest := fmt.Appendf(nil, `{"schemaVersion":2,"mediaType":%q,"config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":%q,"size":%d},`+
			`"layers":[{"mediaType":"application/vnd.oci.image.layer.v1.tar","digest":%q,"size":%d}]}`,
			sample.OCIManifest, s.PutBlob(repository, config), len(config), s.PutBlob(repository, layer), len(layer))
		children = append(children, fmt.Sprintf(`{"mediaType":%q,"digest":%q,"size":%d,"platform":{"os":"linux","architecture":%q}}`,
			sample.OCIManifest, s.PutManifest(repository, "", sample.OCIManifest, manifest), len(manifest), architecture))
	}
	s.PutManifest(repository, tag, sample.OCIIndex, fmt.Appendf(nil, `{"schemaVersion":2,"mediaType":%q,"manifests":[%s]}`,
		sample.OCIIndex, strings.Join(children, ",")))
}

// programs installs berth and the stand-ins: for the workstation, and for the node, whose files
// have their own root.
func (w *fixture) programs(t *testing.T) {
	t.Helper()
	real := berthBinary(t)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, place := range []string{"workstation", "node"} {
		bin := filepath.Join(w.dir, "bin-"+place)
		if err := os.MkdirAll(bin, 0o755); err != nil {
			t.Fatal(err)
		}
		script := fmt.Sprintf("#!/bin/sh\nexec '%s' --root '%s' \"$@\"\n", real, filepath.Join(w.dir, place))
		if err := os.WriteFile(filepath.Join(bin, "berth"), []byte(script), 0o755); err != nil {
			t.Fatal(err)
		}
		for name := range standIns {
			if err := os.Symlink(self, filepath.Join(bin, name)); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// berthBinary returns the path of berth, which is built at the first call.
func berthBinary(t *testing.T) string {
	t.Helper()
	file := filepath.Join(os.Getenv(programsDir), "berth")
	if _, err := os.Stat(file); err == nil {
		return file
	}
	if err := gobuild.Programs(t.Context(), "../..", file, "./cmd/berth"); err != nil {
		t.Fatal(err)
	}
	return file
}

// runtime starts the CRI of the node's containerd, in which Redis runs.
func (w *fixture) runtime(t *testing.T) {
	t.Helper()
	r := &fakecri.Runtime{SandboxInfo: map[string]map[string]string{"p": {"info": `{"image":"registry.k8s.io/pause:3.10"}`}}}
	r.Sandboxes = []*cri.PodSandbox{{Id: "p", Metadata: &cri.PodSandboxMetadata{Name: "rec-0", Namespace: "redis"}}}
	for i, name := range moved()[hub][:3] {
		r.Containers = append(r.Containers, &cri.Container{
			Id: fmt.Sprint(i), PodSandboxId: "p", Metadata: &cri.ContainerMetadata{Name: fmt.Sprint(i)}, State: cri.ContainerState_CONTAINER_RUNNING,
			Image: &cri.ImageSpec{Image: "docker.io/" + name},
		})
	}
	socket := filepath.Join(w.dir, "node/run/containerd/containerd.sock")
	if err := os.MkdirAll(filepath.Dir(socket), 0o755); err != nil {
		t.Fatal(err)
	}
	stop, err := r.Serve(socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stop)
}

// write writes a file into the directory and makes its parents.
func (w *fixture) write(name, content string) error {
	path := filepath.Join(w.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, []byte(content), 0o600)
}

// shell runs commands in the directory, on the workstation or on the node, and returns their output
// and the exit code.
func (w *fixture) shell(ctx context.Context, place, commands string) (string, int, error) {
	cmd := exec.CommandContext(ctx, "bash", "-euo", "pipefail", "-c", commands)
	cmd.Dir = w.dir
	cmd.Env = append(w.internet.Env(),
		"PATH="+filepath.Join(w.dir, "bin-"+place)+":/usr/bin:/bin", "HOME="+filepath.Join(w.dir, "home"), "TMPDIR="+w.dir,
		clusterFile+"="+filepath.Join(w.dir, "cluster.json"), "AWS_EC2_METADATA_SERVICE_ENDPOINT=http://127.0.0.1:1")
	out, err := cmd.CombinedOutput()
	if _, ok := err.(*exec.ExitError); ok {
		err = nil
	}
	// The page calls the root directory of the node /.
	return strings.ReplaceAll(string(out), filepath.Join(w.dir, "node"), ""), cmd.ProcessState.ExitCode(), err
}

// asked returns the number of requests to each registry.
func (w *fixture) asked() map[string]int {
	n := map[string]int{}
	for name, s := range w.registries {
		n[name] = len(s.Requests())
	}
	return n
}
