package manifest

import (
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// Attached is the content that refers to a manifest without being part of it: signatures,
// attestations, SBOMs.
type Attached struct {
	// Tags are cosign's tags: sha256-….sig and others.
	Tags []string
	// Referrers are manifests whose subject is this one.
	Referrers []v1.Descriptor
	// List is the index of Referrers under the tag of [ReferrersTag], for registries without the
	// referrers API; nil if the registry has the API.
	List *Manifest
}

// CosignSuffixes are the suffixes of the tags under which cosign stores signatures, attestations
// and SBOMs of a digest.
// https://github.com/sigstore/cosign/blob/main/specs/SIGNATURE_SPEC.md#tag-based-discovery
var CosignSuffixes = []string{".sig", ".att", ".sbom"}

// ReferrersTag is the tag of the index of referrers of a digest where there is no referrers API.
// https://github.com/opencontainers/distribution-spec/blob/main/spec.md#referrers-tag-schema
func ReferrersTag(d v1.Hash) string {
	return d.Algorithm + "-" + d.Hex[:min(len(d.Hex), 64)]
}

// IsAttachedTag reports whether a tag belongs to a digest and is not an image.
func IsAttachedTag(tag string) bool {
	hex, isDigest := strings.CutPrefix(tag, "sha256-")
	if !isDigest || len(hex) < 64 || strings.Trim(hex[:64], "0123456789abcdef") != "" {
		return false
	}
	return len(hex) == 64 || slices.Contains(CosignSuffixes, hex[64:])
}

// TakeList reads the index under [ReferrersTag]. A manifest that is not an index is an ordinary
// tag.
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
