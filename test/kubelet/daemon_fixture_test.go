package kubelet

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/berth-registry/berth/test/e2e/containerd"
	"github.com/berth-registry/berth/test/e2e/parts"
	"github.com/berth-registry/berth/test/fakes/upstream"
	"github.com/berth-registry/berth/test/gobuild"
	"github.com/berth-registry/berth/test/pki"
	"github.com/berth-registry/berth/test/sample"
)

// sandboxImage is the image of pod sandboxes. kubelet passes no credential for it.
const sandboxImage = "registry.k8s.io/pause:e2e"

// daemonFixture is one containerd that runs through all scenarios.
type daemonFixture struct {
	kubelet part
	program string // a static binary for images
	daemon  *containerd.Daemon
	proxy   *upstream.Proxy
	root    string // berth's --root
	pods    cri.RuntimeServiceClient
	ids     []string // of all containers and sandboxes so far
}

func newDaemonFixture(t *testing.T) *daemonFixture {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("kubelet and containerd need root: run this test as root")
	}
	set, err := parts.Locate(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	b := &daemonFixture{
		kubelet: built(t, "kubelet")[0],
		program: filepath.Join(t.TempDir(), "pause"),
		root:    filepath.Join(t.TempDir(), "root"),
	}
	if err := gobuild.Programs(t.Context(), filepath.Join("..", ".."), b.program, "./test/sample/pause"); err != nil {
		t.Fatal(err)
	}
	kernel := settings(t)
	t.Cleanup(func() {
		removeCgroups(t, b.ids)
		if now := settings(t); now != kernel {
			t.Errorf("kubelet has set in the machine's kernel:\n%s\nwhere there was:\n%s", now, kernel)
		}
	})
	ca, err := pki.New("the Internet of the kubelet tests")
	if err != nil {
		t.Fatal(err)
	}
	if b.proxy, err = upstream.NewProxy(ca); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { must(t, b.proxy.Close()) })
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	trusted := write(t, "roots.pem", ca.PEM())
	b.daemon, err = containerd.Start(ctx, newest(set), containerd.Options{
		CertsDir:     filepath.Join(b.root, certsDir),
		SandboxImage: sandboxImage,
		Runc:         set.Runc,
		// It trusts the decoys' authority alone.
		Env: append(b.proxy.Env(), "SSL_CERT_FILE="+trusted, "SSL_CERT_DIR="+filepath.Join(b.root, "none")),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { must(t, b.daemon.Close()) })
	conn, err := grpc.NewClient("unix://"+b.daemon.Socket(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { must(t, conn.Close()) })
	b.pods = cri.NewRuntimeServiceClient(conn)
	return b
}

// newest returns the containerd of the highest version.
func newest(set parts.Set) parts.Containerd { return set.Containerd[len(set.Containerd)-1] }

// image makes a new image that runs until it gets a signal to stop.
func (b *daemonFixture) image(t *testing.T) sample.Image {
	t.Helper()
	img, err := sample.NewProgram(b.program)
	if err != nil {
		t.Fatal(err)
	}
	return img
}

// running reports whether a container of a pod runs.
func (b *daemonFixture) running(ctx context.Context, pod string) (bool, error) {
	answer, err := b.pods.ListContainers(ctx, &cri.ListContainersRequest{Filter: &cri.ContainerFilter{
		State: &cri.ContainerStateValue{State: cri.ContainerState_CONTAINER_RUNNING},
	}})
	if err != nil {
		return false, err
	}
	for _, c := range answer.GetContainers() {
		// kubelet adds the node's name to that of a static pod.
		if strings.HasPrefix(c.GetLabels()["io.kubernetes.pod.name"], pod+"-") {
			return true, nil
		}
	}
	return false, nil
}

// removePods stops and removes all pods.
func (b *daemonFixture) removePods() error {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	answer, err := b.pods.ListPodSandbox(ctx, &cri.ListPodSandboxRequest{})
	if err != nil {
		return err
	}
	containers, err := b.pods.ListContainers(ctx, &cri.ListContainersRequest{})
	if err != nil {
		return err
	}
	for _, c := range containers.GetContainers() {
		b.ids = append(b.ids, c.GetId())
	}
	var errs []error
	for _, p := range answer.GetItems() {
		b.ids = append(b.ids, p.GetId())
		if _, err := b.pods.StopPodSandbox(ctx, &cri.StopPodSandboxRequest{PodSandboxId: p.GetId()}); err != nil {
			errs = append(errs, err)
			continue
		}
		_, err := b.pods.RemovePodSandbox(ctx, &cri.RemovePodSandboxRequest{PodSandboxId: p.GetId()})
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}
