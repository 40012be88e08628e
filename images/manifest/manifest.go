// Package manifest knows the manifests and indexes of OCI and Docker: digests, platforms, blobs,
// and what is attached to a digest.
//
// It promises that content is what its digest says. It opens no connection and no file. Start
// reading at [New] and [Choose].
package manifest

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/berth-registry/berth/internal/neterr"
)

// Manifest is a manifest or an index with its exact bytes.
type Manifest struct {
	Desc v1.Descriptor // MediaType, Size and Digest
	Raw  []byte
}

// MaxSize limits a manifest or an index, in bytes. Registries accept 4 MiB.
const MaxSize = 32 << 20

// New makes a manifest of its bytes. If these have a media type, it wins over mediaType.
func New(mediaType string, digest v1.Hash, raw []byte) (Manifest, error) {
	mediaType, _, _ = strings.Cut(mediaType, ";")
	var own struct {
		MediaType string          `json:"mediaType"`
		Manifests json.RawMessage `json:"manifests"`
	}
	if err := json.Unmarshal(raw, &own); err != nil {
		return Manifest{}, fmt.Errorf("manifest %s: is no JSON", digest)
	}
	switch {
	case own.MediaType != "":
		mediaType = own.MediaType
	case types.MediaType(mediaType).IsIndex(), types.MediaType(mediaType).IsImage(), types.MediaType(mediaType).IsSchema1():
	case own.Manifests != nil:
		mediaType = string(types.OCIImageIndex)
	default:
		mediaType = string(types.OCIManifestSchema1)
	}
	if types.MediaType(mediaType).IsSchema1() {
		return Manifest{}, fmt.Errorf("manifest %s: has the old schema 1, which registries no longer accept; rebuild or convert the image", digest)
	}
	return Manifest{Desc: v1.Descriptor{MediaType: types.MediaType(mediaType), Size: int64(len(raw)), Digest: digest}, Raw: raw}, nil
}

// DigestOf returns the digest of b; an unknown algorithm is an error.
func DigestOf(algorithm string, b []byte) (v1.Hash, error) {
	h, err := v1.Hasher(algorithm)
	if err != nil {
		return v1.Hash{}, err
	}
	h.Write(b)
	return v1.Hash{Algorithm: algorithm, Hex: hex.EncodeToString(h.Sum(nil))}, nil
}

// Short is the beginning of a digest, for messages.
func Short(d v1.Hash) string { return d.Algorithm + ":" + d.Hex[:min(len(d.Hex), 12)] }

// MaxNesting limits how deep indexes are nested, and chains of referrers.
const MaxNesting = 8

// MaxForeign is the largest number of bytes of a foreign text in an error.
const MaxForeign = 240

// OneLine makes one printable line of a foreign text, at most [MaxForeign] bytes long.
func OneLine(text string) string { return neterr.Line(text, MaxForeign) }
