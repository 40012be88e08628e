// Package sample makes the images that the tests pull. Each image is unique: containerd does not
// fetch a layer twice, so a test that shared an image with another test would count too few
// requests.
package sample

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"os"
	"runtime"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// Image is an image or index that a tag names, with the digests that a pull on this machine needs.
type Image struct {
	Digest   string   // of what the tag names: a manifest or an index
	Manifest string   // of the manifest for this machine's platform
	Blobs    []string // config and layers of that manifest

	content remote.Taggable
}

// New returns an image of one platform with one small layer.
func New() (Image, error) {
	img, err := single(runtime.GOARCH, "data", nil)
	if err != nil {
		return Image{}, err
	}
	return describe(img, img)
}

// NewIndex returns an index with an image for this platform and one for another platform.
func NewIndex() (Image, error) {
	ours, err := single(runtime.GOARCH, "data", nil)
	if err != nil {
		return Image{}, err
	}
	return index(ours)
}

// NewProgramIndexes returns n indexes like NewIndex, with images that run the static binary at
// path. They share its layer.
func NewProgramIndexes(path string, n int) ([]Image, error) {
	binary, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	shared, err := layer("program", binary)
	if err != nil {
		return nil, err
	}
	var all []Image
	for range n {
		ours, err := withLayer(runtime.GOARCH, "program", shared)
		if err != nil {
			return nil, err
		}
		img, err := index(ours)
		if err != nil {
			return nil, err
		}
		all = append(all, img)
	}
	return all, nil
}

// index returns an index with an image for this platform and a new one for another platform.
func index(ours v1.Image) (Image, error) {
	const foreign = "s390x"
	other, err := single(foreign, "data", nil)
	if err != nil {
		return Image{}, err
	}
	platform := func(img v1.Image, arch string) mutate.IndexAddendum {
		return mutate.IndexAddendum{Add: img, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: arch}}}
	}
	// The foreign platform comes first, so that a client that takes the first entry fails.
	index := mutate.AppendManifests(mutate.IndexMediaType(empty.Index, types.OCIImageIndex),
		platform(other, foreign), platform(ours, runtime.GOARCH))
	return describe(index, ours)
}

// NewProgram returns an image that runs the static binary at path, like a pause image.
func NewProgram(path string) (Image, error) {
	binary, err := os.ReadFile(path)
	if err != nil {
		return Image{}, err
	}
	img, err := single(runtime.GOARCH, "program", binary)
	if err != nil {
		return Image{}, err
	}
	return describe(img, img)
}

// single builds an image with one layer that has content at /file, or random bytes if content is
// empty.
func single(arch, file string, content []byte) (v1.Image, error) {
	l, err := layer(file, content)
	if err != nil {
		return nil, err
	}
	return withLayer(arch, file, l)
}

// layer builds a layer that has content at /file, or random bytes if content is empty.
func layer(file string, content []byte) (v1.Layer, error) {
	if content == nil {
		content = random(64)
	}
	var archive bytes.Buffer
	w := tar.NewWriter(&archive)
	if err := w.WriteHeader(&tar.Header{Name: file, Mode: 0o755, Size: int64(len(content))}); err != nil {
		return nil, err
	}
	if _, err := w.Write(content); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return tarball.LayerFromOpener(func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(archive.Bytes())), nil
	}, tarball.WithMediaType(types.OCILayer), tarball.WithCompressionLevel(gzip.BestSpeed), tarball.WithCompressedCaching)
}

// withLayer builds a new image with a layer whose /file it runs.
func withLayer(arch, file string, l v1.Layer) (v1.Image, error) {
	base := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	img, err := mutate.AppendLayers(base, l)
	if err != nil {
		return nil, err
	}
	config, err := img.ConfigFile()
	if err != nil {
		return nil, err
	}
	config = config.DeepCopy()
	config.OS, config.Architecture = "linux", arch
	config.Config.Entrypoint = []string{"/" + file}
	config.Config.Labels = map[string]string{"berth.test/seed": hex.EncodeToString(random(64))}
	return mutate.ConfigFile(img, config)
}

func describe(tagged interface {
	remote.Taggable
	Digest() (v1.Hash, error)
}, ours v1.Image) (Image, error) {
	top, err := tagged.Digest()
	if err != nil {
		return Image{}, err
	}
	digest, err := ours.Digest()
	if err != nil {
		return Image{}, err
	}
	manifest, err := ours.Manifest()
	if err != nil {
		return Image{}, err
	}
	blobs := []string{manifest.Config.Digest.String()}
	for _, l := range manifest.Layers {
		blobs = append(blobs, l.Digest.String())
	}
	return Image{Digest: top.String(), Manifest: digest.String(), Blobs: blobs, content: tagged}, nil
}

// WriteLayout makes an OCI layout in dir that has img under a complete reference.
func (img Image) WriteLayout(dir, reference string) error {
	to, err := layout.Write(dir, empty.Index)
	if err != nil {
		return err
	}
	name := layout.WithAnnotations(map[string]string{"org.opencontainers.image.ref.name": reference})
	switch content := img.content.(type) {
	case v1.ImageIndex:
		return to.AppendIndex(content, name)
	case v1.Image:
		return to.AppendImage(content, name)
	default:
		return fmt.Errorf("cannot write a %T", content)
	}
}

// Target is a registry that images are pushed to.
type Target struct {
	Host      string            // host[:port]
	Transport http.RoundTripper // nil is the default one
	Username  string            // "" pushes without a login
	Password  string
}

// Push stores img at reference, repository:tag without a registry.
func (t Target) Push(ctx context.Context, reference string, img Image) error {
	ref, err := name.ParseReference(t.Host + "/" + reference)
	if err != nil {
		return err
	}
	options := []remote.Option{remote.WithContext(ctx), remote.WithAuth(authn.Anonymous)}
	if t.Username != "" {
		options = append(options, remote.WithAuth(&authn.Basic{Username: t.Username, Password: t.Password}))
	}
	if t.Transport != nil {
		options = append(options, remote.WithTransport(t.Transport))
	}
	switch content := img.content.(type) {
	case v1.ImageIndex:
		err = remote.WriteIndex(ref, content, options...)
	case v1.Image:
		err = remote.Write(ref, content, options...)
	default:
		err = fmt.Errorf("cannot push a %T", content)
	}
	if err != nil {
		return fmt.Errorf("push %s: %w", ref, err)
	}
	return nil
}
