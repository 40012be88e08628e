package check

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/berth-registry/berth/images/copy"
	"github.com/berth-registry/berth/images/internal/imagestest"
	"github.com/berth-registry/berth/images/reference"
	"github.com/berth-registry/berth/images/registry"
	"github.com/berth-registry/berth/test/fakes/fakeregistry"
	"github.com/berth-registry/berth/test/images/sample"
)

// With From a registry, a directory and a bundle are compared with a bundle or a directory, and the
// registries in the names of the images get no request at all, although they could be asked.
func TestCheckFrom(t *testing.T) {
	source, target := imagestest.StartRegistry(t, fakeregistry.Options{}), imagestest.StartRegistry(t, fakeregistry.Options{})
	set, images := imagestest.Fill(t, source, sample.Options{Seed: 75, Images: 6})
	location := func(s string) reference.Location {
		t.Helper()
		at, err := reference.ParseLocation(s)
		if err != nil {
			t.Fatal(err)
		}
		return at
	}
	copied := func(images []reference.Reference, to string) reference.Location {
		t.Helper()
		at := location(to)
		results, err := (&copy.Copier{}).Copy(t.Context(), images, reference.Location{}, at)
		if err != nil || len(results) != len(images) {
			t.Fatal(results, err)
		}
		return at
	}
	dir := t.TempDir()
	file := copied(images, filepath.Join(dir, "images.tar.zst"))
	layout := copied(images, "oci:"+filepath.Join(dir, "layout"))
	few := copied(images[1:2], filepath.Join(dir, "few.tar"))
	copyTo(t, registry.Access{}, images, target.Addr())
	// The source goes on; what was carried does not change with it.
	source.PutManifest(set.Images[0].Repository, set.Images[0].Tag, sample.OCIManifest, []byte(`{"schemaVersion":2,"config":{},"layers":[]}`))
	if c := check(t, &Checker{}, images[:1], target.Addr())[0]; c.Finding != FoundDifferent {
		t.Fatalf("control: %+v, want another digest at the source", c)
	}

	source.Forget()
	for _, from := range []reference.Location{file, layout} {
		for _, named := range [][]reference.Reference{images, nil} {
			if all := check(t, &Checker{From: from}, named, target.Addr()); len(all) != len(images) {
				t.Errorf("%d images are checked, want %d", len(all), len(images))
			} else {
				wantFindings(t, all, FoundSame)
			}
			for _, at := range []reference.Location{file, layout} {
				all, problems, err := (&Checker{From: from, Verify: true}).CheckLayout(t.Context(), named, at)
				if err != nil || len(problems) > 0 || len(all) != len(images) {
					t.Fatal(len(all), problems, err)
				}
				wantFindings(t, all, FoundSame)
			}
		}
	}

	// Another digest at the target; an image that the bundle does not have, or nothing has.
	other := set.Images[1]
	target.PutManifest(other.Repository, other.Tag, sample.OCIManifest, []byte(`{"schemaVersion":2,"config":{},"layers":[]}`))
	missing := imagestest.MustParse(t, source.Addr()+"/acme/none:1")
	all := check(t, &Checker{From: few}, append(images[1:3:3], missing), target.Addr())
	for i, want := range []struct {
		finding Finding
		note    string
	}{
		{FoundDifferent, " at " + few.String()},
		{FoundUnverified, few.String() + " does not have the image"},
		{FoundMissing, few.String() + " has no such image either"},
	} {
		if all[i].Finding != want.finding || !strings.Contains(all[i].Note, want.note) {
			t.Errorf("%+v, want it %s with %q", all[i], want.finding, want.note)
		}
	}
	// The registry of the images is asked if it is the target.
	for _, r := range source.Requests() {
		t.Errorf("the source was asked: %s", r)
	}
	if c := check(t, &Checker{From: file}, images[:1], source.Addr())[0]; c.Finding != FoundDifferent {
		t.Errorf("%+v, want the registry compared with the bundle", c)
	}

	from := location(filepath.Join(dir, "nowhere.tar"))
	if _, _, err := (&Checker{From: from}).Check(t.Context(), images, nil); err == nil || !strings.Contains(err.Error(), "nowhere.tar") {
		t.Errorf("%v, want the missing bundle", err)
	}
	if _, _, err := (&Checker{From: from}).CheckLayout(t.Context(), images, file); err == nil || !strings.Contains(err.Error(), "nowhere.tar") {
		t.Errorf("%v, want the missing bundle", err)
	}
}

func wantFindings(t testing.TB, all []Checked, want Finding) {
	t.Helper()
	for _, c := range all {
		if c.Finding != want || c.Digest == "" || c.Digest != c.Source {
			t.Errorf("%+v, want %s", c, want)
		}
	}
}
