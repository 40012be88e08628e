//go:build e2e

package images

import (
	"maps"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/berth-registry/berth/test/gobuild"
	"github.com/berth-registry/berth/test/images/sample"
	"github.com/berth-registry/berth/test/images/served"
)

// TestServeConformance runs the conformance suite of the distribution spec against berth images
// serve: its cases for a registry that takes no push, with an image of each shape.
// https://github.com/opencontainers/distribution-spec/tree/main/conformance
func TestServeConformance(t *testing.T) {
	const module = "github.com/opencontainers/distribution-spec/conformance"
	suite := filepath.Join(t.TempDir(), "conformance")
	if err := gobuild.Programs(t.Context(), "conformance", suite, module); err != nil {
		t.Fatal(err)
	}
	b := prepareWith(t, sample.Options{Seed: 1, Images: 12, MinLayer: 100, MaxLayer: 2000})
	dir := filepath.Join(b.Dir, "images")
	if out, err := b.Command(t.Context(), "oci:"+dir).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	url := served.Start(t, exec.Command(berth(t), "images", "serve", dir, "--listen", "127.0.0.1:0"))
	address := strings.TrimPrefix(url, "http://")
	seen := map[string]bool{}
	for _, i := range b.Set.Images {
		if seen[i.Shape] {
			continue
		}
		seen[i.Shape] = true
		t.Run(i.Shape, func(t *testing.T) {
			var tags []string
			for _, tag := range b.Set.Tags {
				if tag.Repository == i.Repository {
					tags = append(tags, tag.Tag)
				}
			}
			list := func(values map[string]bool) string { return strings.Join(slices.Sorted(maps.Keys(values)), " ") }
			env := []string{
				"OCI_REGISTRY=" + address, "OCI_TLS=disabled", "OCI_REPO1=" + i.Repository, "OCI_VERSION=1.1",
				"OCI_API_PUSH=false", "OCI_API_BLOBS_DELETE=false", "OCI_API_MANIFESTS_DELETE=false", "OCI_API_TAGS_DELETE=false",
				"OCI_API_BLOBS_DIGEST_HEADER=true",
				"OCI_RO_DATA_TAGS=" + strings.Join(tags, " "), "OCI_RO_DATA_MANIFESTS=" + list(b.Set.Manifests[i.Repository]),
				"OCI_RO_DATA_BLOBS=" + list(b.Set.Blobs[i.Repository]), "OCI_RO_DATA_REFERRERS=" + i.Digest,
			}
			report := conformance(t, suite, env)
			if !strings.Contains(report, "OCI Conformance Result: Pass\n") {
				t.Errorf("the suite reports:\n%s", report)
			}
			// Each part was run, for each thing that the repository has.
			for part, want := range map[string]int{
				"/tag-list: Pass": 1, "/pull/manifest-by-tag: Pass": len(tags), "/head/manifest-head-by-tag: Pass": len(tags),
				"/pull/manifest-by-digest: Pass": len(b.Set.Manifests[i.Repository]), "/pull/blob-get: Pass": len(b.Set.Blobs[i.Repository]),
				"/head/blob-head: Pass": len(b.Set.Blobs[i.Repository]), "/referrers: Pass": 2, "/missing-manifest/by-digest: Pass": 1,
				"/invalid-digest-format/manifest-get: Pass": 1,
			} {
				if got := strings.Count(report, part+"\n"); got != want {
					t.Errorf("%s: %d times, want %d", part, got, want)
				}
			}
			// The suite fails if a tag is missing.
			if report := conformance(t, suite, append(env, "OCI_RO_DATA_TAGS=nonesuch")); !strings.Contains(report, "OCI Conformance Result: FAIL\n") {
				t.Errorf("a missing tag is not noticed:\n%s", report)
			}
		})
	}
	if len(seen) < 4 {
		t.Errorf("only the shapes %v", seen)
	}
}

// conformance runs the suite and returns its report. The exit code says nothing: after the report
// of a registry without push the pinned version fails to write its results.
func conformance(t *testing.T, suite string, env []string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), suite)
	cmd.Dir, cmd.Env = t.TempDir(), env
	report, err := cmd.CombinedOutput()
	if len(report) == 0 {
		t.Fatal(err)
	}
	return string(report)
}
