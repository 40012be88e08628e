package manifest

import (
	"encoding/json"
	"fmt"
	"slices"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// ReadIndex parses an image index.
func ReadIndex(c Manifest) (v1.IndexManifest, error) {
	var index v1.IndexManifest
	if err := json.Unmarshal(c.Raw, &index); err != nil {
		return index, fmt.Errorf("index %s: %s", c.Desc.Digest, OneLine(err.Error()))
	}
	return index, nil
}

const (
	// AnnotationPlatforms is an annotation in index.json of a layout, on an index of which only
	// some platforms were copied. Its value lists them: linux/amd64,linux/arm64.
	AnnotationPlatforms = "io.github.berth-registry.platforms"
	// annotationReduced is an annotation of a reduced index; its value is the digest of the whole
	// index.
	annotationReduced = "io.github.berth-registry.reduced-from"
	// annotationSubject is BuildKit's annotation of an attestation; its value is the digest of the
	// manifest that the attestation is about.
	// https://github.com/moby/buildkit/blob/master/docs/attestations/attestation-storage.md
	annotationSubject = "vnd.docker.reference.digest"
)

// Choose reports for each manifest of an index whether it is copied: those of the platforms,
// attestations of these, and those without a platform. nil platforms are all.
func Choose(index v1.IndexManifest, platforms []Platform) []bool {
	chosen := make([]bool, len(index.Manifests))
	digests := map[string]bool{}
	for i, d := range index.Manifests {
		p := PlatformOf(d.Platform)
		chosen[i] = platforms == nil || p.OS == "" || slices.ContainsFunc(platforms, p.Matches)
		if chosen[i] {
			digests[d.Digest.String()] = true
		}
	}
	for i, d := range index.Manifests {
		if PlatformOf(d.Platform).OS != "unknown" {
			continue
		}
		subject, about := d.Annotations[annotationSubject]
		chosen[i] = !about || digests[subject]
	}
	return chosen
}

// LeftOut returns the platforms of an index that are not copied.
func LeftOut(index v1.IndexManifest, chosen []bool) []string {
	var all []string
	for i, d := range index.Manifests {
		if p := PlatformOf(d.Platform); !chosen[i] && p.OS != "unknown" && !slices.Contains(all, p.String()) {
			all = append(all, p.String())
		}
	}
	return all
}

// WithChosen returns c, an index, with only the entries of index for which chosen is true.
func WithChosen(c Manifest, index v1.IndexManifest, chosen []bool) (Manifest, error) {
	var fields map[string]json.RawMessage
	var manifests []json.RawMessage
	if err := json.Unmarshal(c.Raw, &fields); err != nil {
		return c, err
	}
	if err := json.Unmarshal(fields["manifests"], &manifests); err != nil {
		return c, err
	}
	kept := []json.RawMessage{}
	for i, m := range manifests {
		if chosen[i] {
			kept = append(kept, m)
		}
	}
	annotations := map[string]string{}
	for name, value := range index.Annotations {
		annotations[name] = value
	}
	annotations[annotationReduced] = c.Desc.Digest.String()
	var err error
	for name, value := range map[string]any{"manifests": kept, "annotations": annotations} {
		if fields[name], err = json.Marshal(value); err != nil {
			return c, err
		}
	}
	raw, err := json.Marshal(fields) // sorted by name, so the digest is reproducible
	if err != nil {
		return c, err
	}
	digest, err := DigestOf("sha256", raw)
	if err != nil {
		return c, err
	}
	return New(string(c.Desc.MediaType), digest, raw)
}

// ReducedFrom is the digest of the index from which c was reduced, "" if it was not.
func ReducedFrom(c Manifest) string {
	if !c.Desc.MediaType.IsIndex() {
		return ""
	}
	index, err := ReadIndex(c)
	if err != nil {
		return ""
	}
	return index.Annotations[annotationReduced]
}
