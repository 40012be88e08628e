package manifest

import (
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"slices"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// VerifiedBlob returns io.EOF only after content of the right size and digest.
type VerifiedBlob struct {
	io.ReadCloser
	Desc v1.Descriptor
	hash hash.Hash
	n    int64
}

// Verified returns body as a reader that fails at its end if size or digest differ from d.
func Verified(body io.ReadCloser, d v1.Descriptor) (*VerifiedBlob, error) {
	h, err := v1.Hasher(d.Digest.Algorithm)
	if err != nil {
		return nil, errors.Join(err, body.Close())
	}
	return &VerifiedBlob{ReadCloser: body, Desc: d, hash: h}, nil
}

func (b *VerifiedBlob) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.hash.Write(p[:n])
	b.n += int64(n)
	if b.n > b.Desc.Size {
		return 0, fmt.Errorf("blob %s: %w (it is longer than %d bytes)", b.Desc.Digest, ErrContent, b.Desc.Size)
	}
	// The last bytes are returned only after the digest was verified: a caller that knows the
	// length may not read until io.EOF.
	if b.n == b.Desc.Size && n > 0 || err == io.EOF {
		if wrong := b.verify(); wrong != nil {
			return 0, wrong
		}
	}
	return n, err
}

func (b *VerifiedBlob) verify() error {
	if b.n < b.Desc.Size {
		return fmt.Errorf("blob %s: %w", b.Desc.Digest, io.ErrUnexpectedEOF)
	}
	if got := fmt.Sprintf("%x", b.hash.Sum(nil)); got != b.Desc.Digest.Hex {
		return fmt.Errorf("blob %s: %w (it is %s)", b.Desc.Digest, ErrContent, got)
	}
	return nil
}

// Blobs returns the config and the layers of an image. Layers that may not be distributed, such as
// those of Windows, are left out: they stay at their urls.
func Blobs(c Manifest) ([]v1.Descriptor, error) {
	var m v1.Manifest
	if err := json.Unmarshal(c.Raw, &m); err != nil {
		return nil, fmt.Errorf("manifest %s: %s", c.Desc.Digest, OneLine(err.Error()))
	}
	var all []v1.Descriptor
	for _, d := range append([]v1.Descriptor{m.Config}, m.Layers...) {
		if d.Digest.Hex == "" || !d.MediaType.IsDistributable() || slices.ContainsFunc(all, func(o v1.Descriptor) bool { return o.Digest == d.Digest }) {
			continue
		}
		if d.Size < 0 {
			return nil, fmt.Errorf("manifest %s: the size of blob %s is negative", c.Desc.Digest, d.Digest)
		}
		all = append(all, d)
	}
	return all, nil
}

// HoldsLayers reports whether the manifest of the target has all layers of that of the source. In a
// manifest of cosign each layer is a signature, and the target may have further ones.
func HoldsLayers(have, source Manifest) bool {
	theirs, err := Blobs(have)
	if err != nil || have.Desc.MediaType.IsIndex() || source.Desc.MediaType.IsIndex() {
		return false
	}
	var m v1.Manifest
	if json.Unmarshal(source.Raw, &m) != nil || len(m.Layers) == 0 {
		return false
	}
	for _, l := range m.Layers {
		if !slices.ContainsFunc(theirs, func(o v1.Descriptor) bool { return o.Digest == l.Digest }) {
			return false
		}
	}
	return true
}
