package main

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// addImage writes an index with an image for each ARCH=DIRECTORY, and returns its descriptor.
func addImage(files layout.Path, at time.Time, inputs []string) (v1.Descriptor, error) {
	raw, err := os.ReadFile("Dockerfile")
	if err != nil {
		return v1.Descriptor{}, err
	}
	s, err := lastStage(string(raw))
	if err != nil {
		return v1.Descriptor{}, err
	}
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for _, input := range inputs {
		arch, dir, found := strings.Cut(input, "=")
		if !found {
			return v1.Descriptor{}, fmt.Errorf("%s: write ARCH=DIRECTORY", input)
		}
		image, err := s.image(arch, dir, at)
		if err != nil {
			return v1.Descriptor{}, err
		}
		index = mutate.AppendManifests(index, mutate.IndexAddendum{
			Add: image, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: arch}},
		})
	}
	if err := files.WriteIndex(index); err != nil {
		return v1.Descriptor{}, err
	}
	d, err := partial.Descriptor(index)
	if err != nil {
		return v1.Descriptor{}, err
	}
	return *d, nil
}

func (s stage) image(arch, dir string, at time.Time) (v1.Image, error) {
	content, err := s.layer(dir, at)
	if err != nil {
		return nil, err
	}
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(content)), nil
	}, tarball.WithMediaType(types.OCILayer))
	if err != nil {
		return nil, err
	}
	image := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	image, err = mutate.Append(image, mutate.Addendum{
		Layer: layer, History: v1.History{Created: v1.Time{Time: at}, CreatedBy: "make release"},
	})
	if err != nil {
		return nil, err
	}
	config, err := image.ConfigFile()
	if err != nil {
		return nil, err
	}
	config = config.DeepCopy()
	config.OS, config.Architecture, config.Config, config.Created = "linux", arch, s.Config, v1.Time{Time: at}
	return mutate.ConfigFile(image, config)
}

// layer is the only layer of the image, as a tar.
func (s stage) layer(dir string, at time.Time) ([]byte, error) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, name := range s.Files {
		file := filepath.Join(dir, name)
		info, err := os.Stat(file)
		if err != nil {
			return nil, err
		}
		content, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		mode := int64(0o644)
		if info.Mode()&0o111 != 0 {
			mode = 0o755
		}
		h := &tar.Header{Typeflag: tar.TypeReg, Name: name, Size: int64(len(content)), Mode: mode, ModTime: at, Format: tar.FormatUSTAR}
		if err := w.WriteHeader(h); err != nil {
			return nil, err
		}
		if _, err := w.Write(content); err != nil {
			return nil, err
		}
	}
	return b.Bytes(), w.Close()
}
