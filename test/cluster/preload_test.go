package cluster

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	corev1 "k8s.io/api/core/v1"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/berth-registry/berth/test/e2e/registry"
	"github.com/berth-registry/berth/test/fakes/upstream"
	"github.com/berth-registry/berth/test/gobuild"
)

const (
	// carriedImage is in no registry, only in a file on the node.
	carriedImage = "quay.io/acme/carried:v1"
	// The defaults of the chart's option preload.
	imagesDir     = "/var/lib/berth-images"
	runtimeSocket = "/run/containerd/containerd.sock"
)

// carry puts a file with an image, and the socket of containerd, where the chart's option preload
// has them by default. It returns the registry in the name of the image, which counts requests.
func (w *fixture) carry() *upstream.Decoy {
	w.Helper()
	made := filepath.Join(w.dir, "carried")
	w.check(w.image().WriteLayout(made, carriedImage))
	for _, dir := range []string{imagesDir, filepath.Dir(runtimeSocket)} {
		w.check(os.MkdirAll(filepath.Join(w.root, dir), 0o755))
	}
	w.check(os.Symlink(w.daemon.Socket(), filepath.Join(w.root, runtimeSocket)))
	berth := os.Getenv("BERTH_BIN")
	if berth == "" {
		berth = filepath.Join(w.dir, "berth")
		w.check(gobuild.Programs(w.Context(), filepath.Join("..", ".."), berth, "./cmd/berth"))
	}
	if out, err := exec.CommandContext(w.Context(), berth, "images", "copy", "--from", made, "--to", w.carried()).CombinedOutput(); err != nil {
		w.Fatalf("%s: %v\n%s", w.carried(), err, out)
	}
	quay, err := w.proxy.Decoy("quay.io", upstream.NewContent())
	w.check(err)
	return quay
}

// carried is the path of the file.
func (w *fixture) carried() string { return filepath.Join(w.root, imagesDir, "carried.tar.zst") }

// preloaded waits until the pod of preload has loaded the file, and starts a pod with its image:
// no registry is asked for it.
func (w *fixture) preloaded(quay *upstream.Decoy) {
	w.Helper()
	w.until("preload has loaded the file", func() error {
		if logs := w.podLogs("preload"); !strings.Contains(logs, "1 image loaded") {
			return fmt.Errorf("its log: %s\n%s", logs, w.why())
		}
		return nil
	})
	var pods corev1.PodList
	w.check(json.Unmarshal([]byte(w.kubectl("get", "pods", "-n", namespace, "-l", "app.kubernetes.io/name=berth-preload", "-o", "json")), &pods))
	if len(pods.Items) != 1 {
		w.Fatalf("%d pods of preload", len(pods.Items))
	}
	w.confined(pods.Items[0].Spec.Containers[0])
	if !w.pinned(carriedImage) {
		w.Errorf("%s is not pinned", carriedImage)
	}

	w.runs("carried", carriedImage)
	for _, r := range quay.Requests() {
		w.Errorf("quay.io was asked: %s", r)
	}
	for _, r := range []*registry.Registry{w.images, w.first, w.second, w.ecrContent} {
		requests, err := r.Served(w.Context())
		w.check(err)
		for _, one := range requests {
			if strings.Contains(one.URI, "/acme/carried/") {
				w.Errorf("%s was asked: %s", r.Addr(), one.URI)
			}
		}
	}
	// The count notices a pull: of an image that is not in the file.
	if _, err := w.daemon.Pull(w.Context(), "quay.io/acme/carried:v2", nil); err == nil || len(quay.Requests()) == 0 {
		w.Errorf("a pull from quay.io: %v, and %d requests: the count proves nothing", err, len(quay.Requests()))
	}
	w.check(os.Remove(w.carried()))
}

// pinned asks containerd, as kubelet does, whether garbage collection leaves an image alone.
func (w *fixture) pinned(image string) bool {
	w.Helper()
	conn, err := grpc.NewClient("unix://"+w.daemon.Socket(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	w.check(err)
	defer conn.Close()
	status, err := cri.NewImageServiceClient(conn).ImageStatus(w.Context(), &cri.ImageStatusRequest{Image: &cri.ImageSpec{Image: image}})
	w.check(err)
	return status.GetImage().GetPinned()
}
