//go:build e2e

package docker

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
)

// loadedImages makes a layout with an image, and with an index of which only this platform's part was
// copied.
func loadedImages(t *testing.T, dir string) map[string]v1.Hash {
	t.Helper()
	image := func(arch string) v1.Image {
		image, err := random.Image(100<<10, 3)
		must(t, err)
		config, err := image.ConfigFile()
		must(t, err)
		config.OS, config.Architecture, config.Config.Cmd = "linux", arch, []string{"/none"}
		image, err = mutate.ConfigFile(image, config)
		must(t, err)
		return image
	}
	to, err := layout.Write(dir, empty.Index)
	must(t, err)
	named := func(full string) layout.Option {
		return layout.WithAnnotations(map[string]string{"org.opencontainers.image.ref.name": full})
	}
	single, other := image(runtime.GOARCH), image("s390x")
	index := mutate.AppendManifests(empty.Index,
		mutate.IndexAddendum{Add: image(runtime.GOARCH), Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: runtime.GOARCH}}},
		mutate.IndexAddendum{Add: other, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: "s390x"}}})
	must(t, to.AppendImage(single, named("docker.io/library/single:v1")))
	must(t, to.AppendIndex(index, named("quay.io/acme/many:v1")))
	missing, err := other.Digest()
	must(t, err)
	must(t, to.RemoveBlob(missing))
	digests := map[string]v1.Hash{}
	for full, of := range map[string]interface{ Digest() (v1.Hash, error) }{"docker.io/library/single:v1": single, "quay.io/acme/many:v1": index} {
		d, err := of.Digest()
		must(t, err)
		digests[full] = d
	}
	return digests
}

// create makes a container, which pulls nothing.
func (e *engine) create(ctx context.Context, image string) error {
	body, err := json.Marshal(map[string]string{"Image": image})
	if err != nil {
		return err
	}
	_, err = e.call(ctx, http.MethodPost, "/containers/create", bytes.NewReader(body), http.Header{"Content-Type": {"application/json"}})
	return err
}

// TestLoad loads images into each of Docker's two image stores. A container is created by tag, and by
// digest where the store knows it; where it does not, the command says so.
func TestLoad(t *testing.T) {
	for store, containerd := range map[string]bool{"containerd image store": true, "Docker's own store": false} {
		t.Run(store, func(t *testing.T) {
			t.Parallel()
			e := startEngineWith(t, nil, containerd)
			dir := filepath.Join(t.TempDir(), "images")
			digests := loadedImages(t, dir)
			load := func() string {
				t.Helper()
				out, err := exec.CommandContext(t.Context(), berthBinary(t), "images", "load", "--runtime", "docker",
					"--runtime-endpoint", e.socket(), dir).CombinedOutput()
				if err != nil {
					t.Fatalf("%v\n%s", err, out)
				}
				if said := strings.Contains(string(out), "knows loaded images by tag alone"); said == containerd {
					t.Errorf("the digests are named: %t\n%s", said, out)
				}
				return string(out)
			}
			if err := e.create(t.Context(), "docker.io/library/single:v1"); err == nil {
				t.Fatal("the image is there before it is loaded")
			}
			if out := load(); !strings.Contains(out, "2 images loaded, 0 there already\n") {
				t.Errorf("the first time: %s", out)
			}
			if out := load(); !strings.Contains(out, "0 images loaded, 2 there already\n") {
				t.Errorf("the second time: %s", out)
			}
			for full, digest := range digests {
				if err := e.create(t.Context(), full); err != nil {
					t.Errorf("%s: %v", full, err)
				}
				repository, _ := split(full)
				if err := e.create(t.Context(), repository+"@"+digest.String()); (err == nil) != containerd {
					t.Errorf("%s@%s: %v", repository, digest, err)
				}
			}
		})
	}
}
