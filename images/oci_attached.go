package images

import (
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// attached is what belongs to a manifest without being part of it: signatures,
// attestations, lists of contents.
type attached struct {
	// tags are those of cosign: sha256-….sig and the like.
	tags []string
	// referrers are manifests that name it as their subject.
	referrers []v1.Descriptor
	// list is the index of them that stands in for the referrers API, under
	// the tag of [referrersTag]; nil if the registry has the API.
	list *content
}

// cosignSuffixes are the ends of the tags under which cosign stores what
// belongs to a digest: signatures, attestations, SBOMs.
// https://github.com/sigstore/cosign/blob/main/specs/SIGNATURE_SPEC.md#tag-based-discovery
var cosignSuffixes = []string{".sig", ".att", ".sbom"}

// referrersTag is the tag that lists what refers to a digest where there is no
// referrers API.
// https://github.com/opencontainers/distribution-spec/blob/main/spec.md#referrers-tag-schema
func referrersTag(d v1.Hash) string {
	return d.Algorithm + "-" + d.Hex[:min(len(d.Hex), 64)]
}

// isAttachedTag reports whether a tag belongs to a digest, and is no image.
func isAttachedTag(tag string) bool {
	hex, isDigest := strings.CutPrefix(tag, "sha256-")
	if !isDigest || len(hex) < 64 || strings.Trim(hex[:64], "0123456789abcdef") != "" {
		return false
	}
	return len(hex) == 64 || slices.Contains(cosignSuffixes, hex[64:])
}

// takeList reads the index under [referrersTag]. Something else under that tag
// is a tag like any other.
func (a *attached) takeList(c content, tag string) error {
	if !c.desc.MediaType.IsIndex() {
		a.tags = append(a.tags, tag)
		return nil
	}
	index, err := readIndex(c)
	if err != nil {
		return err
	}
	a.list, a.referrers = &c, index.Manifests
	return nil
}
