package list

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/berth-registry/berth/test/fakes/fakecri"
)

// serve returns the socket of a runtime. The path is short: Linux allows 107 bytes.
func serve(t *testing.T, r *fakecri.Runtime) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "cri")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	socket := filepath.Join(dir, "s")
	stop, err := r.Serve(socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stop)
	return socket
}

func onNode(l *List) []string {
	var all []string
	for _, image := range l.Images() {
		for _, p := range image.Found {
			all = append(all, strings.TrimSpace(fmt.Sprintf("%s %s %s %s", image.Reference, p.Use, p, p.State)))
		}
	}
	for _, err := range l.Problems() {
		all = append(all, "problem "+err.Error())
	}
	return all
}

func TestListNode(t *testing.T) {
	const busybox = "sha256:2222222222222222222222222222222222222222222222222222222222222222"
	socket := serve(t, fakecri.Example())
	inUse := []string{
		"docker.io/library/busybox@" + busybox + " container Pod shop/web-0: container init exited",
		"docker.io/library/nginx:1.27 container Pod shop/web-0: container web running",
		"ghcr.io/acme/job:2 container Pod shop/job-1: container gone exited",
		"registry.k8s.io/pause:3.10 pause Pod shop/web-0",
		"registry.k8s.io/pause:3.11 pinned",
		"registry.k8s.io/pause:3.9 pause",
	}
	for _, test := range []struct {
		unused bool
		want   []string
	}{
		{false, inUse},
		{true, slices.Insert(slices.Clone(inUse), 3, "quay.io/acme/old:1 unused")},
	} {
		var l List
		l.AddNode(t.Context(), []string{"/nowhere/x.sock", "unix://" + socket}, test.unused)
		if got := onNode(&l); !slices.Equal(got, test.want) {
			t.Errorf("got\n  %s\nwant\n  %s", strings.Join(got, "\n  "), strings.Join(test.want, "\n  "))
		}
	}
}

func TestListNodeErrors(t *testing.T) {
	unimplemented := serve(t, &fakecri.Runtime{Err: status.Error(codes.Unimplemented, "unknown service runtime.v1.RuntimeService")})
	failing := serve(t, &fakecri.Runtime{Err: status.Error(codes.Internal, "broken\nstore")})
	nameless := serve(t, &fakecri.Runtime{Containers: []*cri.Container{{
		PodSandboxId: "p", Metadata: &cri.ContainerMetadata{Name: "c"}, Image: &cri.ImageSpec{Image: "sha256:77"},
	}}})
	working := serve(t, fakecri.Example())
	text := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(text, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name    string
		sockets []string
		want    []string
	}{
		{"none", []string{"/nowhere/a", "/nowhere/b"}, []string{"no container runtime listens at /nowhere/a, /nowhere/b; name its socket, or read manifests or a list instead"}},
		{"no CRI", []string{unimplemented}, []string{unimplemented + ": the runtime has no CRI plugin; check disabled_plugins in containerd's config.toml"}},
		{"failing", []string{failing}, []string{failing + ": broken store"}},
		{"the second works", []string{unimplemented, working}, nil},
		{"an image whose name is gone", []string{nameless}, []string{`Pod: container c: image "sha256:77" no longer has a name on this node`}},
	} {
		var l List
		l.AddNode(t.Context(), test.sockets, false)
		var got []string
		for _, err := range l.Problems() {
			got = append(got, err.Error())
		}
		if !slices.Equal(got, test.want) {
			t.Errorf("%s: got %q, want %q", test.name, got, test.want)
		}
	}
	var l List
	l.AddNode(t.Context(), []string{text}, false)
	if got := onNode(&l); len(got) != 1 || !strings.HasPrefix(got[0], "problem "+text+": ") || strings.Contains(got[0], "\n") {
		t.Errorf("a file that is no socket: %q", got)
	}
}

// A cancelled request returns.
func TestListNodeCancelled(t *testing.T) {
	socket := serve(t, &fakecri.Runtime{Hang: true})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var l List
	l.AddNode(ctx, []string{socket}, false)
	if len(l.Images()) != 0 || len(l.Problems()) != 1 {
		t.Errorf("%q", onNode(&l))
	}
}
