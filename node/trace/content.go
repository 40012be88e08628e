package trace

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/platforms"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// contentError: the received content is invalid. containerd finds out only when it stores the
// content, and then asks no other host.
type contentError struct{ text string }

func (e *contentError) Error() string { return e.text }

var errNoManifest = errors.New("its answer is not a manifest of an image")

// child selects the manifest for this machine from an index.
func child(index []byte) (ocispec.Descriptor, error) {
	var parsed ocispec.Index
	if json.Unmarshal(index, &parsed) != nil {
		return ocispec.Descriptor{}, errNoManifest
	}
	matcher := platforms.Default()
	best := -1
	for i, d := range parsed.Manifests {
		if d.Platform == nil || !matcher.Match(*d.Platform) || d.Size < 0 || d.Size > maxManifest || d.Digest.Validate() != nil {
			continue
		}
		if best < 0 || matcher.Less(*d.Platform, *parsed.Manifests[best].Platform) {
			best = i
		}
	}
	if best < 0 {
		return ocispec.Descriptor{}, fmt.Errorf("the index has no image for %s", platforms.DefaultString())
	}
	return withoutParameters(parsed.Manifests[best]), nil
}

// blob selects the layer to ask for from a manifest, or the configuration if it has no layer.
func blob(manifest []byte) (ocispec.Descriptor, error) {
	var parsed ocispec.Manifest
	if json.Unmarshal(manifest, &parsed) != nil {
		return ocispec.Descriptor{}, errNoManifest
	}
	candidates := append(parsed.Layers, parsed.Config)
	for _, d := range candidates {
		if d.Digest.Validate() == nil && d.Size > 0 && len(d.URLs) == 0 {
			return withoutParameters(d), nil
		}
	}
	return ocispec.Descriptor{}, errNoManifest
}

// withoutParameters returns a descriptor without the fields (urls) with which a manifest could make
// the client ask other hosts.
func withoutParameters(d ocispec.Descriptor) ocispec.Descriptor {
	return ocispec.Descriptor{MediaType: d.MediaType, Digest: d.Digest, Size: d.Size}
}

func isIndex(d ocispec.Descriptor) bool { return images.IsIndexType(d.MediaType) }
