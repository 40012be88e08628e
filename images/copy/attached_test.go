package copy_test

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/berth-registry/berth/images/copy"
	"github.com/berth-registry/berth/images/internal/imagestest"
	"github.com/berth-registry/berth/test/fakes/fakeregistry"
	"github.com/berth-registry/berth/test/images/sample"
)

// referrersOf returns what a registry lists for a subject, by the API or by the tag that replaces
// it.
func referrersOf(t testing.TB, s *fakeregistry.Server, repository, subject string) []string {
	t.Helper()
	var index v1.IndexManifest
	next := "/v2/" + repository + "/referrers/" + subject
	for next != "" {
		resp, err := http.Get(s.URL() + next)
		if err != nil {
			t.Fatal(err)
		}
		next = ""
		var page v1.IndexManifest
		if resp.StatusCode == http.StatusOK {
			err = json.NewDecoder(resp.Body).Decode(&page)
			next, _, _ = strings.Cut(strings.TrimPrefix(resp.Header.Get("Link"), "<"), ">")
		} else if raw := s.Manifest(repository, strings.Replace(subject, ":", "-", 1)); raw != nil {
			err = json.Unmarshal(raw, &page)
		}
		resp.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		index.Manifests = append(index.Manifests, page.Manifests...)
	}
	var all []string
	for _, d := range index.Manifests {
		all = append(all, d.Digest.String())
	}
	slices.Sort(all)
	return all
}

// Referrers, and the referrers of these, are copied between registries with and without the
// referrers API.
func TestCopyReferrers(t *testing.T) {
	for _, c := range []struct {
		name           string
		source, target bool // has the API
		page           int
	}{
		{"by list to list", false, false, 0},
		{"by list to API", false, true, 0},
		{"by API to list", true, false, 0},
		{"by API to API", true, true, 0},
		{"in pages", true, true, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			source := imagestest.StartRegistry(t, fakeregistry.Options{Referrers: c.source, Page: c.page})
			target := imagestest.StartRegistry(t, fakeregistry.Options{Referrers: c.target})
			set, images := imagestest.Fill(t, source, sample.Options{Seed: 21, Images: 3, API: c.source})
			wantStatus(t, copyImages(t, &copy.Copier{}, images, "", target.Addr()), copy.StatusCopied)
			signed := set.Images[2]
			if signed.Shape != "signed" {
				t.Fatal("the third of a set is signed")
			}
			want := referrersOf(t, source, signed.Repository, signed.Digest)
			got := referrersOf(t, target, signed.Repository, signed.Digest)
			if len(want) != 2 || !slices.Equal(got, want) {
				t.Errorf("referrers %q, want %q", got, want)
			}
			nested := 0
			for _, d := range want {
				n := referrersOf(t, source, signed.Repository, d)
				nested += len(n)
				if got := referrersOf(t, target, signed.Repository, d); !slices.Equal(got, n) {
					t.Errorf("referrers of %s: %q, want %q", d, got, n)
				}
			}
			if nested != 1 {
				t.Errorf("%d signatures of artifacts in the sample, want 1", nested)
			}
			tag := strings.Replace(signed.Digest, ":", "-", 1)
			if target.Manifest(signed.Repository, tag+".sig") == nil {
				t.Error("the signature of cosign is missing")
			}
			if hasList := target.Manifest(signed.Repository, tag) != nil; hasList == c.target {
				t.Errorf("a list is there: %v, and an API: %v", hasList, c.target)
			}
			target.Forget()
			wantStatus(t, copyImages(t, &copy.Copier{}, images, "", target.Addr()), copy.StatusPresent)
			if n := sent(target); n > 0 {
				t.Errorf("%d requests sent something again", n)
			}
		})
	}
}

// A later signature is copied by the next run, and what only the target has stays on the list.
func TestCopyLaterReferrers(t *testing.T) {
	source, target := imagestest.StartRegistry(t, fakeregistry.Options{}), imagestest.StartRegistry(t, fakeregistry.Options{})
	set, images := imagestest.Fill(t, source, sample.Options{Seed: 22, Images: 3})
	signed := set.Images[2]
	list := strings.Replace(signed.Digest, ":", "-", 1)
	wanted := source.Manifest(signed.Repository, list)
	source.Delete(signed.Repository, list)
	wantStatus(t, copyImages(t, &copy.Copier{}, images, "", target.Addr()), copy.StatusCopied)

	// The target gets an artifact that the source does not have.
	own := []byte(`{"schemaVersion":2,"mediaType":"` + sample.OCIManifest + `","config":{"mediaType":"x","digest":"` +
		target.PutBlob(signed.Repository, []byte("{}")) + `","size":2},"layers":[]}`)
	ownDigest := target.PutManifest(signed.Repository, "", sample.OCIManifest, own)
	target.PutManifest(signed.Repository, list, sample.OCIIndex, []byte(`{"schemaVersion":2,"mediaType":"`+sample.OCIIndex+
		`","manifests":[{"mediaType":"`+sample.OCIManifest+`","digest":"`+ownDigest+`","size":`+itoa(len(own))+`}]}`))

	source.PutManifest(signed.Repository, list, sample.OCIIndex, wanted)
	results := copyImages(t, &copy.Copier{}, images, "", target.Addr())
	if results[2].Status != copy.StatusCopied || results[0].Status != copy.StatusPresent {
		t.Errorf("%s and %s, want the signed one copied and the other present", results[2].Status, results[0].Status)
	}
	want := append(referrersOf(t, source, signed.Repository, signed.Digest), ownDigest)
	slices.Sort(want)
	if got := referrersOf(t, target, signed.Repository, signed.Digest); !slices.Equal(got, want) {
		t.Errorf("referrers %q, want %q", got, want)
	}
}

// Where tags cannot be listed, each tag is asked for.
func TestCopyAttachedWithoutAList(t *testing.T) {
	source, target := imagestest.StartRegistry(t, fakeregistry.Options{}), imagestest.StartRegistry(t, fakeregistry.Options{})
	_, images := imagestest.Fill(t, source, sample.Options{Seed: 23, Images: 3})
	source.Intercept(func(w http.ResponseWriter, r *http.Request) bool {
		if strings.HasSuffix(r.URL.Path, "/tags/list") {
			w.WriteHeader(http.StatusForbidden)
			return true
		}
		return false
	})
	wantStatus(t, copyImages(t, &copy.Copier{}, images, "", target.Addr()), copy.StatusCopied)
	wantSame(t, source, target, "")
}

// The list of tags comes in pages.
func TestCopyAttachedInPages(t *testing.T) {
	source, target := imagestest.StartRegistry(t, fakeregistry.Options{Page: 1}), imagestest.StartRegistry(t, fakeregistry.Options{})
	_, images := imagestest.Fill(t, source, sample.Options{Seed: 24, Images: 3})
	wantStatus(t, copyImages(t, &copy.Copier{}, images, "", target.Addr()), copy.StatusCopied)
	wantSame(t, source, target, "")
}

// Signatures that only the target has stay.
func TestCopyKeepsSignatures(t *testing.T) {
	source, target := imagestest.StartRegistry(t, fakeregistry.Options{}), imagestest.StartRegistry(t, fakeregistry.Options{})
	set, images := imagestest.Fill(t, source, sample.Options{Seed: 25, Images: 3})
	signed := set.Images[2]
	tag := strings.Replace(signed.Digest, ":", "-", 1) + ".sig"
	wantStatus(t, copyImages(t, &copy.Copier{}, images, "", target.Addr()), copy.StatusCopied)

	var m v1.Manifest
	if err := json.Unmarshal(source.Manifest(signed.Repository, tag), &m); err != nil {
		t.Fatal(err)
	}
	own := m
	own.Layers = append(slices.Clone(m.Layers), v1.Descriptor{
		MediaType: "application/vnd.dev.cosign.simplesigning.v1+json", Size: 4, Digest: imagestest.MustHash(t, target.PutBlob(signed.Repository, []byte("mine"))),
	})
	raw, err := json.Marshal(own)
	if err != nil {
		t.Fatal(err)
	}
	target.PutManifest(signed.Repository, tag, sample.OCIManifest, raw)
	wantStatus(t, copyImages(t, &copy.Copier{}, images, "", target.Addr()), copy.StatusPresent)
	if string(target.Manifest(signed.Repository, tag)) != string(raw) {
		t.Error("the signature of the target is gone")
	}

	// A signature that only the source has is copied.
	m.Layers = append(m.Layers, v1.Descriptor{MediaType: "x", Size: 5, Digest: imagestest.MustHash(t, source.PutBlob(signed.Repository, []byte("newer")))})
	if raw, err = json.Marshal(m); err != nil {
		t.Fatal(err)
	}
	source.PutManifest(signed.Repository, tag, sample.OCIManifest, raw)
	if r := copyImages(t, &copy.Copier{}, images, "", target.Addr())[2]; r.Status != copy.StatusCopied {
		t.Errorf("%s %s", r.Status, r.Error)
	}
	if string(target.Manifest(signed.Repository, tag)) != string(raw) {
		t.Error("the new signature is missing")
	}
}
