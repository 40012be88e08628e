package kubelet

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/berth-registry/berth/test/e2e/containerd"
	"github.com/berth-registry/berth/test/e2e/parts"
	"github.com/berth-registry/berth/test/fakes/upstream"
	"github.com/berth-registry/berth/test/sample"
	"github.com/berth-registry/berth/test/standalone"
)

// TestImageGarbageCollection: kubelet, which never has enough disk space, removes images that berth
// images load has loaded, and leaves those that it has pinned. A containerd that knows no pin is named
// by the command, and loses them.
func TestImageGarbageCollection(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Fatal("kubelet and containerd need root: run this test as root")
	}
	set, err := parts.Locate(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	program := built(t, "kubelet")[0].path
	kernel := settings(t)
	for _, release := range set.Containerd {
		t.Run(release.Version, func(t *testing.T) { collected(t, set, release, program) })
	}
	if now := settings(t); now != kernel {
		t.Errorf("kubelet has set in the machine's kernel:\n%s\nwhere there was:\n%s", now, kernel)
	}
}

// collected runs kubelet with one release of containerd. Nothing is judged by time: an image that was
// loaded later than the pinned one and is gone shows that kubelet has looked at both.
func collected(t *testing.T, set parts.Set, release parts.Containerd, program string) {
	ctx, cancel := context.WithTimeout(t.Context(), 2*podTime)
	defer cancel()
	d, err := containerd.Start(ctx, release, containerd.Options{
		CertsDir: filepath.Join(t.TempDir(), "none"), SandboxImage: sandboxImage, Runc: set.Runc,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { must(t, d.Close()) })
	conn, err := grpc.NewClient("unix://"+d.Socket(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { must(t, conn.Close()) })
	images := cri.NewImageServiceClient(conn)

	content := upstream.NewContent()
	registry, err := upstream.Listen("127.0.0.1", nil, content)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { must(t, registry.Close()) })
	dir := filepath.Join(t.TempDir(), "images")
	copied := []string{"images", "copy", "--to", "oci:" + dir}
	names := map[string]string{}
	for _, name := range []string{"pinned", "loose", "later"} {
		img, err := sample.New()
		if err == nil {
			err = content.Push(ctx, name+":v1", img)
		}
		if err != nil {
			t.Fatal(err)
		}
		names[name] = registry.Addr() + "/" + name + ":v1"
		copied = append(copied, names[name])
	}
	berth := func(args ...string) string {
		t.Helper()
		out, err := exec.CommandContext(ctx, berthBinary(), args...).CombinedOutput()
		if err != nil {
			t.Fatalf("berth %q: %v\n%s", args, err, out)
		}
		return string(out)
	}
	load := func(name string, flags ...string) string {
		t.Helper()
		return berth(append([]string{"images", "load", "--runtime-endpoint", d.Socket(), dir, names[name]}, flags...)...)
	}
	listed := func(name string) bool {
		t.Helper()
		answer, err := images.ImageStatus(ctx, &cri.ImageStatusRequest{Image: &cri.ImageSpec{Image: names[name]}})
		if err != nil {
			t.Fatal(err)
		}
		return answer.GetImage() != nil
	}

	berth(copied...)
	knows := release.Version >= "1.7"
	if said := strings.Contains(load("pinned", "--pin"), "does not know pinned images"); said == knows {
		t.Errorf("containerd %s is named as one without pins: %t", release.Version, said)
	}
	load("loose")
	// A time of 0 would be the default, two minutes.
	kubelet, err := standalone.Start(standalone.Options{
		Program: program, Socket: d.Socket(), EvictionHard: "{imagefs.available: 1000Ti}", More: "imageMinimumGCAge: 1ns\n",
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { must(t, kubelet.Close()) })
	gone := func(name string) {
		t.Helper()
		for listed(name) {
			if err := kubelet.Pause(ctx); err != nil {
				t.Fatalf("kubelet has not removed %s: %v\n%s", name, err, tail(kubelet.Log(), 60))
			}
		}
	}
	gone("loose")
	load("later")
	gone("later")
	if knows != listed("pinned") {
		t.Errorf("containerd %s: the pinned image is there: %t", release.Version, !knows)
	}
	if !strings.Contains(kubelet.Log(), "Attempting to delete unused images") {
		t.Error("kubelet's log does not say that it has collected images")
	}
}
