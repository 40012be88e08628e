package copy_test

import (
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/berth-registry/berth/images/copy"
	"github.com/berth-registry/berth/images/internal/imagestest"
	"github.com/berth-registry/berth/images/reference"
	"github.com/berth-registry/berth/test/fakes/fakeregistry"
	"github.com/berth-registry/berth/test/images/sample"
)

// The digest in a header is not trusted for the manifest.
func TestCopyChecksDigests(t *testing.T) {
	const digest = "Docker-Content-Digest"
	// say answers a method on a manifest with other headers, and the rest unchanged.
	say := func(s *fakeregistry.Server, method string, header map[string]string) {
		s.Intercept(func(w http.ResponseWriter, r *http.Request) bool {
			if r.Method != method || !strings.Contains(r.URL.Path, "/manifests/") || strings.Contains(r.URL.Path, "sha256") {
				return false
			}
			_, tag, _ := strings.Cut(r.URL.Path, "/manifests/")
			repository := strings.TrimSuffix(strings.TrimPrefix(r.URL.Path, "/v2/"), "/manifests/"+tag)
			raw := s.Manifest(repository, tag)
			w.Header().Set("Content-Type", sample.OCIManifest)
			w.Header().Set("Content-Length", strconv.Itoa(len(raw)))
			for name, value := range header {
				if value == "" {
					w.Header().Del(name)
				} else {
					w.Header().Set(name, value)
				}
			}
			if method == http.MethodGet {
				_, _ = w.Write(raw)
			}
			return true
		})
	}
	start := func() (source, target *fakeregistry.Server, images []reference.Reference, old string) {
		source, target = imagestest.StartRegistry(t, fakeregistry.Options{}), imagestest.StartRegistry(t, fakeregistry.Options{})
		set, _ := imagestest.Fill(t, target, sample.Options{Seed: 81, Images: 1})
		_, images = imagestest.Fill(t, source, sample.Options{Seed: 82, Images: 1})
		return source, target, images, set.Images[0].Digest
	}

	// The source claims to have what the target has.
	source, target, images, old := start()
	say(source, http.MethodHead, map[string]string{digest: old, "Content-Length": ""})
	wantStatus(t, copyImages(t, &copy.Copier{}, images, "", target.Addr()), copy.StatusCopied)
	source, target, images, old = start()
	say(source, http.MethodHead, map[string]string{digest: old, "Content-Length": "7"})
	wantStatus(t, copyImages(t, &copy.Copier{}, images, "", target.Addr()), copy.StatusCopied)
	if string(target.Manifest(images[0].Repository(), images[0].Tag())) != string(source.Manifest(images[0].Repository(), images[0].Tag())) {
		t.Error("the tag is not moved")
	}
	// If the claim is right, no manifest is read.
	source.Intercept(nil)
	source.Forget()
	wantStatus(t, copyImages(t, &copy.Copier{}, images, "", target.Addr()), copy.StatusPresent)
	if n := source.Count(http.MethodGet, "/manifests/"); n > 0 {
		t.Errorf("%d manifests were got, which are counted as pulls", n)
	}

	// The source sends other content than its digest header says.
	source, target, images, old = start()
	say(source, http.MethodGet, map[string]string{digest: old})
	r := copyImages(t, &copy.Copier{}, images, "", target.Addr())[0]
	if r.Status != copy.StatusFailed || !strings.Contains(r.Error, "does not match its digest") || !strings.Contains(r.Error, old) {
		t.Errorf("%s %q", r.Status, r.Error)
	}

	// The target claims to have a manifest, and names another one.
	source, target, _, old = start()
	target.Intercept(func(w http.ResponseWriter, r *http.Request) bool {
		switch {
		case r.Method == http.MethodHead && strings.Contains(r.URL.Path, "/blobs/"):
			w.WriteHeader(http.StatusOK)
			return true
		case r.Method == http.MethodHead && strings.Contains(r.URL.Path, "/manifests/sha256:"):
			w.Header().Set(digest, old)
			w.WriteHeader(http.StatusOK)
			return true
		}
		return false
	})
	index, _ := imagestest.Fill(t, source, sample.Options{Seed: 83, Images: 12})
	for _, i := range index.Images {
		if i.Shape != "index" {
			continue
		}
		r := copyImages(t, &copy.Copier{}, []reference.Reference{imagestest.MustParse(t, source.Addr()+"/"+i.Repository+":"+i.Tag)}, "", target.Addr())[0]
		put := 0
		for _, q := range target.Requests() {
			if q.Method == http.MethodPut && strings.Contains(q.Path, "/manifests/sha256:") {
				put++
			}
		}
		if put == 0 {
			t.Errorf("%s: %s: no manifest of a platform was sent", i.Repository, r.Status)
		}
		break
	}
}
