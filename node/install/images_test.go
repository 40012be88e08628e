package install_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/berth-registry/berth/internal/nodefs"
	"github.com/berth-registry/berth/node"
	"github.com/berth-registry/berth/node/providerconfig"
	"github.com/berth-registry/berth/test/fakes/fakenode"
)

// asks reports whether the kubelet of the node would ask the provider after a restart.
func (b *bed) asks(image string) bool {
	b.t.Helper()
	root, err := nodefs.OpenRoot(b.Root())
	if err != nil {
		b.t.Fatal(err)
	}
	defer root.Close()
	flags, err := b.NextFlags()
	if err != nil {
		b.t.Fatal(err)
	}
	providers, err := node.ReadProviders(root, flags.Config)
	if err != nil {
		b.t.Fatal(err)
	}
	return providerconfig.Asks(providers, providerconfig.Provider, image)
}

// kubelet asks about the registries whose login only kubelet can pass, also about those that are
// added later; uninstall removes everything.
func TestLoginsOfKubeletAlone(t *testing.T) {
	for _, shape := range []string{"debian-kubeadm", "directory", "none-yaml", "pair-merged-json"} {
		t.Run(shape, func(t *testing.T) {
			b := makeBed(t, shape)
			b.install()
			if b.asks("ghcr.io/team/app") || !b.asks("111122223333.dkr.ecr.us-east-1.amazonaws.com/app") {
				t.Error("at first kubelet asks about ECR alone")
			}
			restarts := b.Restarted[fakenode.Kubelet]
			b.o.Images = []string{"ghcr.io", "registry.corp:5000/team"}
			b.install()
			for _, image := range []string{"ghcr.io/team/app", "registry.corp:5000/team/app:v1", "public.ecr.aws/x"} {
				if !b.asks(image) {
					t.Errorf("kubelet does not ask about %s", image)
				}
			}
			if b.asks("registry.corp:5000/other") || b.asks("registry.corp/team/app") || b.asks("quay.io/a") {
				t.Error("kubelet asks about more than it should")
			}
			if n := b.Restarted[fakenode.Kubelet] - restarts; n != 1 {
				t.Errorf("kubelet was restarted %d times for it", n)
			}
			b.wired()
			for _, images := range [][]string{b.o.Images, {"ghcr.io"}, nil} {
				b.o.Images = images
				if p := b.install(); p.Needed() {
					t.Errorf("with %q something is to be done again", images)
				}
			}
			b.uninstall()
			if diff := fakenode.Diff(b.before, b.tree()); len(diff) > 0 {
				t.Errorf("not as before: %s", strings.Join(diff, ", "))
			}
			if !slices.IsSorted(b.o.Images) {
				t.Error("somebody's options were changed")
			}
		})
	}
}
