package copy_test

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/berth-registry/berth/images/check"
	"github.com/berth-registry/berth/images/copy"
	"github.com/berth-registry/berth/images/internal/imagestest"
	"github.com/berth-registry/berth/images/manifest"
	"github.com/berth-registry/berth/test/fakes/fakeregistry"
	"github.com/berth-registry/berth/test/images/sample"
)

// check finds any file of a directory that is missing, truncated or altered; copy from there fails
// for it; the next copy to there repairs it. For a blob with the right size this needs Verify.
func TestLayoutRepair(t *testing.T) {
	source := imagestest.StartRegistry(t, fakeregistry.Options{})
	_, images := imagestest.Fill(t, source, sample.Options{Seed: 66, Images: 3}) // single, index, signed
	dir := t.TempDir()
	to := location(t, "oci:"+dir)
	wantStatus(t, copyImages(t, &copy.Copier{}, images, "", to.String()), copy.StatusCopied)
	findBad := func(verify bool) (bad []check.Checked) {
		t.Helper()
		all, problems, err := (&check.Checker{Verify: verify}).CheckLayout(t.Context(), images, to)
		if err != nil || problems != nil || len(all) != len(images) {
			t.Fatalf("%v %v %v", all, problems, err)
		}
		for _, c := range all {
			if !c.Finding.OK() {
				bad = append(bad, c)
			}
		}
		return bad
	}
	if bad := findBad(true); bad != nil {
		t.Fatalf("%+v", bad)
	}
	blobs, err := filepath.Glob(filepath.Join(dir, "blobs/sha256/*"))
	if err != nil || len(blobs) < 40 {
		t.Fatalf("%v: %d files", err, len(blobs))
	}
	damages := map[string]func(name string, content []byte) error{
		"lost":    func(name string, _ []byte) error { return os.Remove(name) },
		"cut off": func(name string, content []byte) error { return os.WriteFile(name, content[:len(content)/2], 0o600) },
		"altered": func(name string, content []byte) error {
			content[len(content)/2] ^= 1
			return os.WriteFile(name, content, 0o600)
		},
	}
	for i, name := range blobs {
		for how, damage := range damages {
			// Each damage for every sixth file; that covers every kind of file.
			if (i+len(how))%6 != 0 {
				continue
			}
			content, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			what := how + " " + filepath.Base(name)[:12]
			isManifest := json.Valid(content) && strings.Contains(string(content), "schemaVersion")
			if err := damage(name, content); err != nil {
				t.Fatal(err)
			}
			verify := how == "altered" && !isManifest
			if bad := findBad(false); (len(bad) == 0) != verify {
				t.Errorf("%s: found without Verify: %+v", what, bad)
			}
			bad := findBad(true)
			if len(bad) == 0 {
				t.Errorf("%s: not found", what)
			}
			for _, c := range bad {
				if c.Finding != check.FoundIncomplete || strings.Contains(c.Note, "\n") {
					t.Errorf("%s: %+v", what, c)
				}
			}
			wrong := 0
			for _, r := range copyImages(t, &copy.Copier{}, images, to.String(), "oci:"+t.TempDir()) {
				if r.Status != copy.StatusFailed {
					continue
				}
				wrong++
				if !manifest.IsDamaged(r.Err) || !strings.Contains(r.Error, name) || !strings.Contains(r.Error, "copy the images to oci:"+dir+" again") {
					t.Errorf("%s: copied from: %s", what, r.Error)
				}
			}
			if wrong == 0 {
				t.Errorf("%s: copied as if nothing was wrong", what)
			}
			for _, r := range copyImages(t, &copy.Copier{Verify: verify}, images, "", to.String()) {
				if r.Status == copy.StatusFailed {
					t.Errorf("%s: %s", what, r.Error)
				}
			}
			if bad := findBad(true); bad != nil {
				t.Fatalf("%s: not repaired: %+v", what, bad)
			}
		}
	}
	wantStatus(t, copyImages(t, &copy.Copier{Verify: true}, images, "", to.String()), copy.StatusPresent)
}

// If all blobs are missing, all images have the same cause.
func TestLayoutWithoutBlobs(t *testing.T) {
	dir, _, images := aLayout(t, 67, 8)
	if err := errors.Join(os.RemoveAll(filepath.Join(dir, "blobs")), os.MkdirAll(filepath.Join(dir, "blobs/sha256"), 0o755)); err != nil {
		t.Fatal(err)
	}
	target := imagestest.StartRegistry(t, fakeregistry.Options{})
	for _, c := range causes(copyImages(t, &copy.Copier{}, images, "oci:"+dir, target.Addr())) {
		if c != "damaged "+dir {
			t.Errorf("%q", c)
		}
	}
}
