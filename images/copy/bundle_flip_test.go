package copy_test

import (
	"context"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/berth-registry/berth/images/check"
	"github.com/berth-registry/berth/images/copy"
	"github.com/berth-registry/berth/images/internal/imagestest"
	"github.com/berth-registry/berth/test/fakes/fakeregistry"
	"github.com/berth-registry/berth/test/images/sample"
)

// One bit that is flipped anywhere in a bundle is noticed by copy and by check, and nothing that is
// wrong or incomplete is tagged.
func TestBundleWithAFlippedBit(t *testing.T) {
	const places = 200
	source := imagestest.StartRegistry(t, fakeregistry.Options{})
	_, images := imagestest.Fill(t, source, sample.Options{Seed: 88, Images: 3})
	contents := source.Contents()
	rnd := rand.New(rand.NewPCG(88, 0))
	for _, form := range forms {
		file := filepath.Join(t.TempDir(), form)
		wantStatus(t, copyImages(t, &copy.Copier{}, images, "", file), copy.StatusCopied)
		raw := readFile(t, file)
		at := location(t, file)
		// noticed copies and checks what is in file.
		noticed := func() (byCopy, byCheck bool) {
			target := fakeregistry.Start(fakeregistry.Options{})
			defer target.Close()
			results, err := (&copy.Copier{}).Copy(t.Context(), nil, at, location(t, target.Addr()))
			byCopy = err != nil || slices.ContainsFunc(results, func(r copy.Copied) bool { return r.Status == copy.StatusFailed })
			// The registry takes no manifest of which a part is missing, and no other digest.
			for _, c := range target.Contents() {
				if _, ok := slices.BinarySearch(contents, c); !ok {
					t.Errorf("%s: the source has no %s", form, c)
				}
			}
			found, problems, err := (&check.Checker{Verify: true}).CheckLayout(t.Context(), nil, at)
			byCheck = err != nil || len(problems) > 0 || slices.ContainsFunc(found, func(c check.Checked) bool { return !c.Finding.OK() })
			return byCopy, byCheck
		}
		if byCopy, byCheck := noticed(); byCopy || byCheck {
			t.Fatalf("%s: control: copy %v, check %v", form, byCopy, byCheck)
		}
		for range places {
			place, bit := rnd.IntN(len(raw)), byte(1)<<rnd.IntN(8)
			raw[place] ^= bit
			if err := os.WriteFile(file, raw, 0o600); err != nil {
				t.Fatal(err)
			}
			raw[place] ^= bit
			if byCopy, byCheck := noticed(); !byCopy || !byCheck {
				t.Errorf("%s: bit %#x of byte %d of %d: copy noticed %v, check %v", form, bit, place, len(raw), byCopy, byCheck)
			}
		}
	}
}

// A copy from a bundle that is cancelled at a random request is completed by the next one; the
// registry gets nothing again.
func TestCopyFromABundleResumes(t *testing.T) {
	source := imagestest.StartRegistry(t, fakeregistry.Options{})
	_, images := imagestest.Fill(t, source, sample.Options{Seed: 89, Images: 10})
	rnd := rand.New(rand.NewPCG(89, 0))
	for _, form := range forms {
		file := filepath.Join(t.TempDir(), form)
		wantStatus(t, copyImages(t, &copy.Copier{}, images, "", file), copy.StatusCopied)
		target := imagestest.StartRegistry(t, fakeregistry.Options{})
		for range 10 {
			ctx, cancel := context.WithCancel(t.Context())
			var left atomic.Int64
			left.Store(int64(1 + rnd.IntN(60)))
			target.Intercept(func(http.ResponseWriter, *http.Request) bool {
				if left.Add(-1) == 0 {
					cancel()
				}
				return false
			})
			_, err := (&copy.Copier{}).Copy(ctx, nil, location(t, file), location(t, target.Addr()))
			if ctx.Err() != nil && err == nil {
				t.Errorf("%s: an end without an error", form)
			}
			cancel()
			settle(t, target)
		}
		target.Intercept(nil)
		results := copyImages(t, &copy.Copier{}, nil, file, target.Addr())
		for _, r := range results {
			if r.Status == copy.StatusFailed {
				t.Errorf("%s: %s", r.Image, r.Error)
			}
		}
		wantSame(t, source, target, "")
		wantPushedOnce(t, target.Requests())
		for _, s := range fakeregistry.UploadedAgain(target.Requests()) {
			t.Errorf("content sent again: %s", s)
		}
	}
}
