package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/types"
	yaml "go.yaml.in/yaml/v3"
)

// The media types of a chart in a registry: https://helm.sh/docs/topics/registries/
const (
	chartConfig  = types.MediaType("application/vnd.cncf.helm.config.v1+json")
	chartContent = types.MediaType("application/vnd.cncf.helm.chart.content.v1.tar+gzip")
)

// addChart writes a packaged chart as helm push does, and returns the descriptor of its manifest.
func addChart(files layout.Path, tgz string) (v1.Descriptor, error) {
	content, err := os.ReadFile(tgz)
	if err != nil {
		return v1.Descriptor{}, err
	}
	about, err := chartMetadata(content)
	if err != nil {
		return v1.Descriptor{}, fmt.Errorf("%s: %w", tgz, err)
	}
	config, err := add(files, chartConfig, about)
	if err != nil {
		return v1.Descriptor{}, err
	}
	layer, err := add(files, chartContent, content)
	if err != nil {
		return v1.Descriptor{}, err
	}
	manifest, err := json.Marshal(v1.Manifest{
		SchemaVersion: 2, MediaType: types.OCIManifestSchema1, Config: config, Layers: []v1.Descriptor{layer},
	})
	if err != nil {
		return v1.Descriptor{}, err
	}
	return add(files, types.OCIManifestSchema1, manifest)
}

func add(files layout.Path, mediaType types.MediaType, content []byte) (v1.Descriptor, error) {
	digest, size, err := v1.SHA256(bytes.NewReader(content))
	if err != nil {
		return v1.Descriptor{}, err
	}
	d := v1.Descriptor{MediaType: mediaType, Digest: digest, Size: size}
	return d, files.WriteBlob(digest, io.NopCloser(bytes.NewReader(content)))
}

// chartMetadata is the Chart.yaml of a packaged chart, as JSON.
func chartMetadata(tgz []byte) ([]byte, error) {
	unzipped, err := gzip.NewReader(bytes.NewReader(tgz))
	if err != nil {
		return nil, err
	}
	for r := tar.NewReader(unzipped); ; {
		h, err := r.Next()
		if err != nil {
			return nil, fmt.Errorf("read Chart.yaml: %w", err)
		}
		if path.Base(h.Name) != "Chart.yaml" {
			continue
		}
		var about map[string]any
		if err := yaml.NewDecoder(r).Decode(&about); err != nil {
			return nil, fmt.Errorf("read Chart.yaml: %w", err)
		}
		return json.Marshal(about)
	}
}
