package check

import (
	"net/http"
	"strings"
	"testing"

	"github.com/berth-registry/berth/images/internal/imagestest"
	"github.com/berth-registry/berth/images/registry"
	"github.com/berth-registry/berth/test/fakes/fakeregistry"
	"github.com/berth-registry/berth/test/images/sample"
)

// With Verify every blob of a registry is read once; one that is missing or altered makes its images
// incomplete.
func TestVerifyARegistry(t *testing.T) {
	source, target := imagestest.StartRegistry(t, fakeregistry.Options{}), imagestest.StartRegistry(t, fakeregistry.Options{})
	set, images := imagestest.Fill(t, source, sample.Options{Seed: 72, Images: 6})
	copyTo(t, registry.Access{}, images, target.Addr())
	verify := func() map[Finding]int {
		t.Helper()
		target.Forget()
		found := map[Finding]int{}
		for _, c := range check(t, &Checker{Verify: true}, images, target.Addr()) {
			found[c.Finding]++
			if c.Finding == FoundIncomplete && !strings.Contains(c.Note, "blob sha256:") {
				t.Errorf("%s: %s", c.Image, c.Note)
			}
		}
		return found
	}
	if found := verify(); found[FoundSame] != len(images) {
		t.Errorf("%v, want all the same", found)
	}
	if n := target.Count(http.MethodGet, "/blobs/"); n != len(set.Unique) {
		t.Errorf("%d blobs were read, want %d", n, len(set.Unique))
	}
	first := set.Images[0].Repository
	blob := ""
	for digest := range set.Blobs[first] {
		blob = digest
	}
	target.Intercept(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodGet || !strings.HasSuffix(r.URL.Path, "/blobs/"+blob) {
			return false
		}
		_, _ = w.Write(make([]byte, set.Unique[blob]))
		return true
	})
	if found := verify(); found[FoundIncomplete] != 1 || found[FoundSame] != len(images)-1 {
		t.Errorf("an altered blob: %v", found)
	}
	target.Intercept(nil)
	target.Delete(first, blob)
	if found := verify(); found[FoundIncomplete] != 1 || found[FoundSame] != len(images)-1 {
		t.Errorf("a missing blob: %v", found)
	}
	for _, c := range check(t, &Checker{}, images, target.Addr()) {
		if c.Finding != FoundSame {
			t.Errorf("control, without Verify: %s is %s", c.Image, c.Finding)
		}
	}
}
