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

// Short is the beginning of a digest, as people compare it.
func Short(d v1.Hash) string { return d.Algorithm + ":" + d.Hex[:min(len(d.Hex), 12)] }

// MaxNesting is how deep an index may hold another one, and what refers to
// something be referred to itself.
const MaxNesting = 8

// MaxForeign is how much of a foreign text goes into an error, in bytes.
const MaxForeign = 240

// OneLine makes a printable line of a foreign text.
func OneLine(text string) string { return neterr.Line(text, MaxForeign) }

// Manifest is a manifest or an index, byte for byte.
type Manifest struct {
	Desc v1.Descriptor // MediaType, Size and Digest
	Raw  []byte
}

// MaxSize is how large a manifest or an index may be, in bytes. Registries
// take 4 MiB.
const MaxSize = 32 << 20

// New knows what a manifest is from itself, where it says so.
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
		return Manifest{}, fmt.Errorf("manifest %s: is of the old schema 1, which registries no longer take; build or convert the image anew", digest)
	}
	return Manifest{Desc: v1.Descriptor{MediaType: types.MediaType(mediaType), Size: int64(len(raw)), Digest: digest}, Raw: raw}, nil
}

func DigestOf(algorithm string, b []byte) (v1.Hash, error) {
	h, err := v1.Hasher(algorithm)
	if err != nil {
		return v1.Hash{}, err
	}
	h.Write(b)
	return v1.Hash{Algorithm: algorithm, Hex: hex.EncodeToString(h.Sum(nil))}, nil
}
