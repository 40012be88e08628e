package load_test

import (
	"io"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/berth-registry/berth/images/load"
	"github.com/berth-registry/berth/images/manifest"
	"github.com/berth-registry/berth/images/reference"
)

// counted counts the bytes that are read of blobs. What needed names is left out of it.
type counted struct {
	load.Source
	read   int64
	needed map[v1.Hash]bool
}

func (c *counted) Manifest(d v1.Hash) (manifest.Manifest, error) {
	if c.needed[d] {
		return manifest.Manifest{}, &manifest.NeededError{Bundle: "delta.tar", Base: "base.tar"}
	}
	return c.Source.Manifest(d)
}

func (c *counted) OpenBlob(d v1.Hash) (io.ReadSeekCloser, error) {
	if c.needed[d] {
		return nil, &manifest.NeededError{Bundle: "delta.tar", Base: "base.tar"}
	}
	body, err := c.Source.OpenBlob(d)
	return &countedBlob{body, c}, err
}

type countedBlob struct {
	io.ReadSeekCloser
	of *counted
}

func (b *countedBlob) Read(p []byte) (int, error) {
	n, err := b.ReadSeekCloser.Read(p)
	b.of.read += int64(n)
	return n, err
}

// Of several files the last one that has a name is right. Content that one leaves out comes from the
// others.
func TestMerged(t *testing.T) {
	shared, old, current := image(t, "linux", "arm64", ""), image(t, "linux", "arm64", ""), image(t, "linux", "arm64", "")
	monday := &counted{Source: open(t, directory(t, map[string]any{"quay.io/a/app:1": old, "quay.io/a/same:1": shared, "quay.io/a/base:1": shared}))}
	tuesday := &counted{Source: open(t, directory(t, map[string]any{"quay.io/a/app:1": current, "quay.io/a/same:1": shared, "quay.io/a/delta:1": shared}))}
	config, err := shared.ConfigName()
	if err != nil {
		t.Fatal(err)
	}
	tuesday.needed = map[v1.Hash]bool{config: true, digestOf(t, shared): true}
	merged := load.Merged{{Name: "monday.tar", Source: monday}, {Name: "tuesday.tar", Source: tuesday}}
	if got := merged.Replaced(); len(got) != 1 || got[0] != (load.Replaced{Reference: "quay.io/a/app:1", From: "monday.tar", By: "tuesday.tar"}) {
		t.Errorf("replaced: %+v", got)
	}
	store := &memory{put: map[string]load.Image{}}
	loader := newLoader(store)
	names := []reference.Reference{}
	for _, name := range []string{"quay.io/a/app:1", "quay.io/a/delta:1", "quay.io/a/none:1"} {
		r, err := reference.Parse(name)
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, r)
	}
	for i, r := range loader.Load(t.Context(), merged, names) {
		if want := []load.Status{load.Loaded, load.Loaded, load.Failed}[i]; r.Status != want {
			t.Errorf("%s: %s, %v", r.Reference, r.Status, r.Err)
		}
	}
	if got := store.put["quay.io/a/app:1"].Top.Desc.Digest; got != digestOf(t, current) {
		t.Errorf("app:1 is %s", got)
	}
	for _, r := range loader.Load(t.Context(), load.Merged{{Name: "tuesday.tar", Source: tuesday}}, names[1:2]) {
		if r.Err == nil || !strings.Contains(r.Err.Error(), "is not completely in delta.tar, which needs base.tar") {
			t.Errorf("without its base: %s, %v", r.Status, r.Err)
		}
	}
}

// Of images that are there already, no layer is read.
func TestPresentReadsNoLayer(t *testing.T) {
	img := image(t, "linux", "arm64", "")
	source := &counted{Source: open(t, directory(t, map[string]any{"quay.io/a/app:1": img}))}
	config, err := img.RawConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	r, err := reference.Parse("quay.io/a/app:1")
	if err != nil {
		t.Fatal(err)
	}
	loader := newLoader(&memory{put: map[string]load.Image{}})
	for _, want := range []load.Status{load.Loaded, load.Present, load.Present} {
		source.read = 0
		for _, result := range loader.Load(t.Context(), load.Merged{{Name: "images", Source: source}}, []reference.Reference{r}) {
			if result.Status != want || source.read != int64(len(config)) {
				t.Errorf("%s, want %s; %d bytes read, the config has %d", result.Status, want, source.read, len(config))
			}
		}
	}
}
