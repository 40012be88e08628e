package load_test

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/containerd/platforms"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"go.uber.org/goleak"

	ours "github.com/berth-registry/berth/images/layout"
	"github.com/berth-registry/berth/images/load"
	"github.com/berth-registry/berth/images/reference"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func image(t testing.TB, os, arch, variant string) v1.Image {
	t.Helper()
	image, err := random.Image(2000, 3)
	if err != nil {
		t.Fatal(err)
	}
	config, err := image.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	config.OS, config.Architecture, config.Variant = os, arch, variant
	if image, err = mutate.ConfigFile(image, config); err != nil {
		t.Fatal(err)
	}
	return image
}

// index lists images by platform, os/arch[/variant].
func index(t testing.TB, images map[string]v1.Image) v1.ImageIndex {
	t.Helper()
	all := []mutate.IndexAddendum{}
	for _, name := range slices.Sorted(maps.Keys(images)) {
		p, err := v1.ParsePlatform(name)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, mutate.IndexAddendum{Add: images[name], Descriptor: v1.Descriptor{Platform: p}})
	}
	return mutate.AppendManifests(empty.Index, all...)
}

// directory makes a layout with these images and indexes by name.
func directory(t testing.TB, content map[string]any) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "images")
	to, err := layout.Write(dir, empty.Index)
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range content {
		named := layout.WithAnnotations(map[string]string{"org.opencontainers.image.ref.name": name})
		switch value := value.(type) {
		case v1.Image:
			err = to.AppendImage(value, named)
		case v1.ImageIndex:
			err = to.AppendIndex(value, named)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// newLoader loads for arm64.
func newLoader(store load.Store) load.Loader {
	return load.Loader{Store: store, Log: slog.New(slog.DiscardHandler),
		Platform: platforms.Only(ocispec.Platform{OS: "linux", Architecture: "arm64"})}
}

func open(t testing.TB, dir string) *ours.Layout {
	t.Helper()
	l, err := ours.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// memory is a store that remembers what it gets.
type memory struct {
	put map[string]load.Image
	err error
}

func (m *memory) Has(_ context.Context, i load.Image, name string) (bool, error) {
	has, ok := m.put[name]
	return ok && has.Top.Desc.Digest == i.Top.Desc.Digest, nil
}

func (m *memory) Put(_ context.Context, _ load.Source, i load.Image, names []string) error {
	for _, name := range names {
		m.put[name] = i
	}
	return m.err
}

func loadAll(t testing.TB, dir string, store load.Store, names ...string) []load.Result {
	t.Helper()
	l := open(t, dir)
	wanted, problems := l.References()
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	if len(names) > 0 {
		wanted = nil
		for _, name := range names {
			r, err := reference.Parse(name)
			if err != nil {
				t.Fatal(err)
			}
			wanted = append(wanted, r)
		}
	}
	loader := newLoader(store)
	return loader.Load(t.Context(), l, wanted)
}

func digestOf(t testing.TB, x interface{ Digest() (v1.Hash, error) }) v1.Hash {
	t.Helper()
	d, err := x.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// TestLoad chooses the manifest of the node's platform, and names the image by tag and by digest.
func TestLoad(t *testing.T) {
	arm, amd, old := image(t, "linux", "arm64", ""), image(t, "linux", "amd64", ""), image(t, "linux", "arm", "v7")
	many := index(t, map[string]v1.Image{"linux/amd64": amd, "linux/arm64": arm, "linux/arm/v7": old})
	dir := directory(t, map[string]any{
		"quay.io/a/many:1": many, "quay.io/a/single:1": arm,
		"quay.io/a/other:1": amd, "quay.io/a/others:1": index(t, map[string]v1.Image{"linux/amd64": amd}),
	})
	store := &memory{put: map[string]load.Image{}}
	results := loadAll(t, dir, store)
	want := map[string]string{ // the error, "" for none
		"quay.io/a/many:1": "", "quay.io/a/single:1": "", "quay.io/a/other:1": "is for linux/amd64; this node cannot run it",
		"quay.io/a/others:1": "has no manifest for this platform",
	}
	for _, r := range results {
		cause, ok := want[r.Reference.String()]
		delete(want, r.Reference.String())
		if !ok || (cause == "") != (r.Status == load.Loaded) || cause != "" && (r.Err == nil || !strings.Contains(r.Err.Error(), cause)) {
			t.Errorf("%s: %s, %v", r.Reference, r.Status, r.Err)
		}
	}
	if len(want) > 0 {
		t.Errorf("without a result: %v", want)
	}
	top := digestOf(t, many)
	for _, name := range []string{"quay.io/a/many:1", "quay.io/a/many@" + top.String()} {
		got, ok := store.put[name]
		if !ok || got.Top.Desc.Digest != top || got.Manifest.Desc.Digest != digestOf(t, arm) || len(got.Layers) != 3 || len(got.DiffIDs) != 3 {
			t.Errorf("%s: %+v", name, got)
		}
	}
	if len(store.put) != 4 {
		t.Errorf("%d names", len(store.put))
	}
	for _, r := range loadAll(t, dir, store, "quay.io/a/many:1", "quay.io/a/none:1") {
		if want := map[bool]load.Status{true: load.Present, false: load.Failed}[strings.Contains(r.Reference.String(), "many")]; r.Status != want {
			t.Errorf("again: %s: %s, %v", r.Reference, r.Status, r.Err)
		}
	}
	store = &memory{put: map[string]load.Image{}, err: errors.New("no space")}
	for _, r := range loadAll(t, dir, store, "quay.io/a/many:1") {
		if r.Status != load.Failed || r.Err == nil {
			t.Errorf("a store that fails: %+v", r)
		}
	}
}

// TestPartOfAnIndex explains an index whose manifest for this node was not copied.
func TestPartOfAnIndex(t *testing.T) {
	arm := image(t, "linux", "arm64", "")
	many := index(t, map[string]v1.Image{"linux/amd64": image(t, "linux", "amd64", ""), "linux/arm64": arm})
	dir := directory(t, map[string]any{"quay.io/a/many:1": many})
	if err := layout.Path(dir).RemoveBlob(digestOf(t, arm)); err != nil {
		t.Fatal(err)
	}
	for _, r := range loadAll(t, dir, &memory{put: map[string]load.Image{}}) {
		if r.Status != load.Failed || !strings.Contains(r.Err.Error(), "its manifest for linux/arm64 was not copied; copy the image with this --platform") {
			t.Errorf("%+v", r)
		}
	}
}
