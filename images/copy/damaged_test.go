package copy_test

import (
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/berth-registry/berth/images/copy"
	"github.com/berth-registry/berth/images/internal/imagestest"
	"github.com/berth-registry/berth/images/registry"
	"github.com/berth-registry/berth/test/fakes/fakeregistry"
	"github.com/berth-registry/berth/test/images/sample"
)

// Content that the registry cannot read is sent again, but not the tag of a signature, which may
// have signatures that only the registry has.
func TestCopyRepairsDamage(t *testing.T) {
	for _, c := range []struct {
		name, method string
		part         func(*sample.Set) string // of the path of the damaged file
		mended       bool
	}{
		{"blob", http.MethodHead, func(s *sample.Set) string {
			for digest := range s.Blobs[s.Images[2].Repository] {
				return "/blobs/" + digest
			}
			return ""
		}, true},
		{"tag", http.MethodGet, func(s *sample.Set) string { return "/manifests/" + s.Images[2].Tag }, true},
		{"signature", http.MethodGet, func(s *sample.Set) string {
			return "/manifests/" + strings.Replace(s.Images[2].Digest, ":", "-", 1) + ".sig"
		}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel() // most of the time is pauses between attempts
			source, target := imagestest.StartRegistry(t, fakeregistry.Options{}), imagestest.StartRegistry(t, fakeregistry.Options{})
			set, images := imagestest.Fill(t, source, sample.Options{Seed: 19, Images: 3})
			part := c.part(set)
			name := part[strings.LastIndex(part, "/")+1:]
			var asked, sent atomic.Int64
			target.Intercept(func(w http.ResponseWriter, r *http.Request) bool {
				if r.Method == http.MethodPut && strings.Contains(r.URL.Path+"?"+r.URL.Query().Get("digest"), name) {
					sent.Add(1)
				}
				if r.Method != c.method || !strings.HasSuffix(r.URL.Path, part) || sent.Load() > 0 {
					return false
				}
				asked.Add(1)
				w.WriteHeader(http.StatusInternalServerError)
				return true
			})
			results := copyImages(t, &copy.Copier{}, images[2:], "", target.Addr())
			if asked.Load() != registry.Attempts {
				t.Errorf("asked %d times, want %d", asked.Load(), registry.Attempts)
			}
			if !c.mended {
				wantStatus(t, results, copy.StatusFailed)
				if sent.Load() > 0 {
					t.Error("it was sent")
				}
				return
			}
			wantStatus(t, results, copy.StatusCopied)
			if sent.Load() != 1 {
				t.Errorf("it was sent %d times", sent.Load())
			}
		})
	}
}
