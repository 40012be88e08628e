package copy_test

import (
	"context"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/berth-registry/berth/images/copy"
	"github.com/berth-registry/berth/images/internal/imagestest"
	"github.com/berth-registry/berth/images/reference"
	"github.com/berth-registry/berth/test/fakes/fakeregistry"
	"github.com/berth-registry/berth/test/images/sample"
)

func location(t testing.TB, s string) reference.Location {
	t.Helper()
	l, err := reference.ParseLocation(s)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func copyImages(t testing.TB, c *copy.Copier, images []reference.Reference, from, to string) []copy.Copied {
	t.Helper()
	var source reference.Location
	if from != "" {
		source = location(t, from)
	}
	if c.Log == nil {
		c.Log = slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	results, err := c.Copy(ctx, images, source, location(t, to))
	if err != nil {
		t.Fatal(err)
	}
	return results
}

// wantStatus checks that every image has this status.
func wantStatus(t testing.TB, results []copy.Copied, status copy.Status) {
	t.Helper()
	for _, r := range results {
		if r.Status != status {
			t.Errorf("%s: %s (%v), want %s", r.Image, r.Status, r.Err, status)
		}
	}
}

// sent counts requests that send: uploads, mounts and manifests.
func sent(s *fakeregistry.Server) int {
	return s.Count(http.MethodPost, "/") + s.Count(http.MethodPut, "/")
}

// wantSame checks that a registry has, below a path, exactly the content of another one.
func wantSame(t testing.TB, source, target *fakeregistry.Server, path string) {
	t.Helper()
	want := source.Contents()
	if path != "" {
		for i := range want {
			want[i] = path + "/" + want[i]
		}
		slices.Sort(want)
	}
	got := target.Contents()
	for _, w := range want {
		if _, ok := slices.BinarySearch(got, w); !ok {
			t.Errorf("missing: %s", w)
		}
	}
	for _, g := range got {
		if _, ok := slices.BinarySearch(want, g); !ok {
			t.Errorf("too much: %s", g)
		}
	}
}

// Indexes, platforms, signatures and artifacts are copied with the same digest.
func TestCopyIsExact(t *testing.T) {
	for _, path := range []string{"", "mirror/hub"} {
		source, target := imagestest.StartRegistry(t, fakeregistry.Options{}), imagestest.StartRegistry(t, fakeregistry.Options{})
		set, images := imagestest.Fill(t, source, sample.Options{Seed: 1})
		results := copyImages(t, &copy.Copier{}, images, "", strings.TrimSuffix(target.Addr()+"/"+path, "/"))
		wantStatus(t, results, copy.StatusCopied)
		wantSame(t, source, target, path)
		for i, r := range results {
			if r.Image != images[i] || r.Digest != set.Images[i].Digest {
				t.Errorf("result %d is %s %s, want %s %s", i, r.Image, r.Digest, images[i], set.Images[i].Digest)
			}
			if signed := set.Images[i].Shape == "signed"; signed != (r.Attached > 0) {
				t.Errorf("%s: %s with %d attached", r.Image, set.Images[i].Shape, r.Attached)
			}
		}

		// A second run sends nothing.
		target.Forget()
		results = copyImages(t, &copy.Copier{}, images, "", strings.TrimSuffix(target.Addr()+"/"+path, "/"))
		wantStatus(t, results, copy.StatusPresent)
		if n := sent(target); n > 0 {
			t.Errorf("%d requests sent something that was there: %v", n, target.Requests())
		}
	}
}

// A blob is uploaded once, however many repositories share it.
func TestCopyUploadsOnce(t *testing.T) {
	source, target := imagestest.StartRegistry(t, fakeregistry.Options{}), imagestest.StartRegistry(t, fakeregistry.Options{})
	_, images := imagestest.Fill(t, source, sample.Options{Seed: 2, Images: 60})
	wantStatus(t, copyImages(t, &copy.Copier{}, images, "", target.Addr()), copy.StatusCopied)
	wantSame(t, source, target, "")
	ups := map[string]int{}
	for _, r := range target.Requests() {
		if _, digest, ok := strings.Cut(r.Query, "digest="); ok && r.Method == http.MethodPut {
			ups[digest]++
		}
	}
	for digest, n := range ups {
		if n > 1 {
			t.Errorf("%s was uploaded %d times", digest, n)
		}
	}
	mounts := 0
	for _, r := range target.Requests() {
		if strings.Contains(r.Query, "mount=") && r.Status == http.StatusCreated {
			mounts++
		}
	}
	if mounts < 10 {
		t.Errorf("%d blobs were mounted; the sample shares more", mounts)
	}
}

// If the registry does not mount, each repository gets an upload.
func TestCopyWithoutMounts(t *testing.T) {
	source, target := imagestest.StartRegistry(t, fakeregistry.Options{}), imagestest.StartRegistry(t, fakeregistry.Options{NoMount: true})
	_, images := imagestest.Fill(t, source, sample.Options{Seed: 3})
	wantStatus(t, copyImages(t, &copy.Copier{}, images, "", target.Addr()), copy.StatusCopied)
	wantSame(t, source, target, "")
}

// Within one registry nothing is uploaded.
func TestCopyWithinARegistry(t *testing.T) {
	s := imagestest.StartRegistry(t, fakeregistry.Options{})
	_, images := imagestest.Fill(t, s, sample.Options{Seed: 4})
	before := s.Contents()
	wantStatus(t, copyImages(t, &copy.Copier{}, images, "", s.Addr()+"/copy"), copy.StatusCopied)
	for _, r := range s.Requests() {
		if r.Method == http.MethodPut && strings.Contains(r.Path, "/blobs/") {
			t.Errorf("uploaded: %s", r)
		}
	}
	if got := s.Contents(); len(got) != 2*len(before) {
		t.Errorf("%d things, want each of %d twice", len(got), len(before))
	}
}

// A failed image does not stop the others.
func TestCopyContinuesAfterFailure(t *testing.T) {
	source, target := imagestest.StartRegistry(t, fakeregistry.Options{}), imagestest.StartRegistry(t, fakeregistry.Options{})
	set, images := imagestest.Fill(t, source, sample.Options{Seed: 5})
	broken := set.Images[0]
	blob := ""
	for digest := range set.Blobs[broken.Repository] {
		blob = digest
		break
	}
	source.Intercept(func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.HasSuffix(r.URL.Path, "/"+broken.Repository+"/blobs/"+blob) {
			return false
		}
		w.WriteHeader(http.StatusForbidden)
		return true
	})
	missing := imagestest.MustParse(t, source.Addr()+"/team0/app0:nosuchtag")
	results := copyImages(t, &copy.Copier{}, append(images, missing), "", target.Addr())
	last := results[len(results)-1]
	if last.Status != copy.StatusFailed || !strings.Contains(last.Error, "no such image at the source") {
		t.Errorf("%+v, want that there is no such image", last)
	}
	failed := 0
	for i, r := range results[:len(images)] {
		if r.Status != copy.StatusFailed {
			continue
		}
		failed++
		if set.Images[i].Repository != broken.Repository {
			t.Errorf("%s failed as well: %s", r.Image, r.Error)
		}
		if strings.Contains(r.Error, "\n") || !strings.Contains(r.Error, "403") {
			t.Errorf("%q, want one line with 403", r.Error)
		}
		if target.Manifest(set.Images[i].Repository, set.Images[i].Tag) != nil {
			t.Errorf("%s has its tag, although a layer is missing", r.Image)
		}
	}
	if failed == 0 {
		t.Error("no image failed")
	}
}
