package manifest

import (
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// Attached is what belongs to a manifest without being part of it: signatures,
// attestations, lists of contents.
type Attached struct {
	// Tags are those of cosign: sha256-….sig and the like.
	Tags []string
	// Referrers are manifests that name it as their subject.
	Referrers []v1.Descriptor
	// List is the index of them that stands in for the referrers API, under
	// the tag of [ReferrersTag]; nil if the registry has the API.
	List *Manifest
}

// CosignSuffixes are the ends of the tags under which cosign stores what
// belongs to a digest: signatures, attestations, SBOMs.
// https://github.com/sigstore/cosign/blob/main/specs/SIGNATURE_SPEC.md#tag-based-discovery
var CosignSuffixes = []string{".sig", ".att", ".sbom"}

// ReferrersTag is the tag that lists what refers to a digest where there is no
// referrers API.
// https://github.com/opencontainers/distribution-spec/blob/main/spec.md#referrers-tag-schema
func ReferrersTag(d v1.Hash) string {
	return d.Algorithm + "-" + d.Hex[:min(len(d.Hex), 64)]
}

// IsAttachedTag reports whether a tag belongs to a digest, and is no image.
func IsAttachedTag(tag string) bool {
	hex, isDigest := strings.CutPrefix(tag, "sha256-")
	if !isDigest || len(hex) < 64 || strings.Trim(hex[:64], "0123456789abcdef") != "" {
		return false
	}
	return len(hex) == 64 || slices.Contains(CosignSuffixes, hex[64:])
}

// TakeList reads the index under [ReferrersTag]. Something else under that tag
// is a tag like any other.
func (a *Attached) TakeList(c Manifest, tag string) error {
	if !c.Desc.MediaType.IsIndex() {
		a.Tags = append(a.Tags, tag)
		return nil
	}
	index, err := ReadIndex(c)
	if err != nil {
		return err
	}
	a.List, a.Referrers = &c, index.Manifests
	return nil
}
