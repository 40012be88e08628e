package copy_test

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/berth-registry/berth/images/copy"
	"github.com/berth-registry/berth/images/internal/imagestest"
	"github.com/berth-registry/berth/images/layout"
	"github.com/berth-registry/berth/images/reference"
	"github.com/berth-registry/berth/test/fakes/fakeregistry"
	"github.com/berth-registry/berth/test/images/sample"
)

// indexIn reads the index.json of a directory.
func indexIn(t testing.TB, dir string) v1.IndexManifest {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(dir, "index.json"))
	if err != nil {
		t.Fatal(err)
	}
	var index v1.IndexManifest
	if err := json.Unmarshal(raw, &index); err != nil {
		t.Fatal(err)
	}
	return index
}

// A copy through a directory to another registry has the same digests.
func TestCopyThroughALayout(t *testing.T) {
	source, target := imagestest.StartRegistry(t, fakeregistry.Options{}), imagestest.StartRegistry(t, fakeregistry.Options{})
	_, images := imagestest.Fill(t, source, sample.Options{Seed: 41})
	dir := filepath.Join(t.TempDir(), "not", "there", "yet")
	wantStatus(t, copyImages(t, &copy.Copier{}, images, "", "oci:"+dir), copy.StatusCopied)

	// index.json lists every image under its complete reference.
	index := indexIn(t, dir)
	names := map[string]bool{}
	for _, d := range index.Manifests {
		names[d.Annotations[ocispec.AnnotationRefName]] = true
	}
	for _, i := range images {
		if !names[i.String()] {
			t.Errorf("%s is not in index.json", i)
		}
	}
	if !slices.IsSortedFunc(index.Manifests, func(a, b v1.Descriptor) int {
		return strings.Compare(a.Annotations[ocispec.AnnotationRefName], b.Annotations[ocispec.AnnotationRefName])
	}) {
		t.Error("index.json is not in order")
	}

	// A second run writes nothing.
	before := imagestest.Files(t, dir)
	wantStatus(t, copyImages(t, &copy.Copier{}, images, "", "oci:"+dir), copy.StatusPresent)
	if after := imagestest.Files(t, dir); !slices.Equal(before, after) {
		t.Errorf("written again:\n%q\n%q", before, after)
	}

	// All of it to a registry, without the source.
	source.Close()
	results := copyImages(t, &copy.Copier{}, nil, "oci:"+dir, target.Addr())
	if len(results) != len(images) {
		t.Errorf("%d images in the layout, want %d", len(results), len(images))
	}
	wantStatus(t, results, copy.StatusCopied)
	wantSame(t, source, target, "")

	// One image, by name, to another directory.
	other := t.TempDir()
	wantStatus(t, copyImages(t, &copy.Copier{}, images[2:3], "oci:"+dir, "oci:"+other), copy.StatusCopied)
	l, err := layout.Open(other)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if got, problems := l.References(); len(got) != 1 || got[0] != images[2] || problems != nil {
		t.Errorf("%v %v, want %v", got, problems, images[2])
	}
}

// A run completes what a killed process left.
func TestLayoutResumes(t *testing.T) {
	source := imagestest.StartRegistry(t, fakeregistry.Options{})
	_, images := imagestest.Fill(t, source, sample.Options{Seed: 42, Images: 6})
	dir := t.TempDir()
	wantStatus(t, copyImages(t, &copy.Copier{}, images[:3], "", "oci:"+dir), copy.StatusCopied)
	// Killed before the index was written, in the middle of a blob.
	for _, name := range []string{"blobs/sha256/.partial-1", ".partial-2"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("half"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Remove(filepath.Join(dir, "index.json")); err != nil {
		t.Fatal(err)
	}
	results := copyImages(t, &copy.Copier{}, images, "", "oci:"+dir)
	wantStatus(t, results, copy.StatusCopied)
	for _, r := range results[:3] {
		if r.Uploaded > 0 {
			t.Errorf("%s: %d blobs were written again", r.Image, r.Uploaded)
		}
	}
	for _, f := range imagestest.Files(t, dir) {
		if strings.Contains(f, "partial") {
			t.Errorf("left: %s", f)
		}
	}
}

// Wrong content of a layout is not copied.
func TestLayoutIsVerified(t *testing.T) {
	source, target := imagestest.StartRegistry(t, fakeregistry.Options{}), imagestest.StartRegistry(t, fakeregistry.Options{})
	set, images := imagestest.Fill(t, source, sample.Options{Seed: 43, Images: 1})
	dir := t.TempDir()
	wantStatus(t, copyImages(t, &copy.Copier{}, images, "", "oci:"+dir), copy.StatusCopied)
	for digest := range set.Blobs[set.Images[0].Repository] {
		name := filepath.Join(dir, "blobs", strings.Replace(digest, ":", "/", 1))
		content, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		content[0] ^= 1
		if err := os.WriteFile(name, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	r := copyImages(t, &copy.Copier{}, images, "oci:"+dir, target.Addr())[0]
	if r.Status != copy.StatusFailed || !strings.Contains(r.Error, "does not match its digest") {
		t.Errorf("%s %q", r.Status, r.Error)
	}
	// Nor is a wrong manifest.
	name := filepath.Join(dir, "blobs", strings.Replace(set.Images[0].Digest, ":", "/", 1))
	if err := os.WriteFile(name, []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	if r := copyImages(t, &copy.Copier{}, images, "oci:"+dir, target.Addr()+"/other")[0]; r.Status != copy.StatusFailed || !strings.Contains(r.Error, "does not match its digest") {
		t.Errorf("%s %q", r.Status, r.Error)
	}
}

// A directory that is not a layout stays unchanged, and a second process cannot write.
func TestLayoutRefused(t *testing.T) {
	refused := func(to, want string) {
		t.Helper()
		_, err := (&copy.Copier{}).Copy(t.Context(), nil, reference.Location{}, location(t, to))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", to, err, want)
		}
	}
	foreign := t.TempDir()
	if err := os.WriteFile(filepath.Join(foreign, "thesis.txt"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	refused("oci:"+foreign, "is no OCI layout")
	if got := imagestest.Files(t, foreign); len(got) != 1 {
		t.Errorf("something was written: %q", got)
	}
	newer := t.TempDir()
	if err := os.WriteFile(filepath.Join(newer, "oci-layout"), []byte(`{"imageLayoutVersion":"2.0.0"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	refused("oci:"+newer, "an unknown version of the OCI layout")

	dir := t.TempDir()
	l, err := layout.Create(dir)
	if err != nil {
		t.Fatal(err)
	}
	refused("oci:"+dir, "another process writes to this layout")
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if _, err := (&copy.Copier{}).Copy(t.Context(), nil, location(t, "oci:"+t.TempDir()), location(t, "oci:"+dir)); err == nil || !strings.Contains(err.Error(), "has no file oci-layout") {
		t.Errorf("%v, want that there is no layout", err)
	}
}

// Foreign entries stay in index.json; names are read in the forms of other tools.
func TestForeignLayout(t *testing.T) {
	source := imagestest.StartRegistry(t, fakeregistry.Options{})
	_, images := imagestest.Fill(t, source, sample.Options{Seed: 44, Images: 2})
	dir := t.TempDir()
	wantStatus(t, copyImages(t, &copy.Copier{}, images[:1], "", "oci:"+dir), copy.StatusCopied)
	index := indexIn(t, dir)
	d := index.Manifests[0]
	d.Annotations = map[string]string{ocispec.AnnotationRefName: "v1"} // only a tag
	index.Manifests = append(index.Manifests, d)
	d.Annotations = map[string]string{ocispec.AnnotationRefName: "v2", "io.containerd.image.name": "quay.io/team/app:v2"}
	index.Manifests = append(index.Manifests, d)
	raw, err := json.Marshal(index)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "index.json"), raw, 0o600); err != nil {
		t.Fatal(err)
	}
	wantStatus(t, copyImages(t, &copy.Copier{}, images[1:], "", "oci:"+dir), copy.StatusCopied)
	l, err := layout.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if n := len(indexIn(t, dir).Manifests); n != 4 {
		t.Errorf("%d entries, want the two of ours and the two of others", n)
	}
	want := []reference.Reference{images[0], images[1], imagestest.MustParse(t, "quay.io/team/app:v2")}
	slices.SortFunc(want, func(a, b reference.Reference) int { return strings.Compare(a.String(), b.String()) })
	// The entry with only a tag has the digest of a named one: nothing is left out.
	if got, problems := l.References(); !slices.Equal(got, want) || problems != nil {
		t.Errorf("%v %v, want %v", got, problems, want)
	}
}

// A digest is copied as a digest, with its tag if it has one.
func TestCopyDigests(t *testing.T) {
	source, target := imagestest.StartRegistry(t, fakeregistry.Options{}), imagestest.StartRegistry(t, fakeregistry.Options{})
	set, _ := imagestest.Fill(t, source, sample.Options{Seed: 45, Images: 2})
	one, two := set.Images[0], set.Images[1]
	images := []reference.Reference{
		imagestest.MustParse(t, source.Addr()+"/"+one.Repository+"@"+one.Digest),
		imagestest.MustParse(t, source.Addr()+"/"+two.Repository+":other@"+two.Digest),
	}
	dir := "oci:" + t.TempDir()
	for _, from := range []string{"", dir} {
		if from != "" {
			wantStatus(t, copyImages(t, &copy.Copier{}, images, "", dir), copy.StatusCopied)
			target = imagestest.StartRegistry(t, fakeregistry.Options{})
		}
		wantStatus(t, copyImages(t, &copy.Copier{}, images, from, target.Addr()), copy.StatusCopied)
		if target.Manifest(one.Repository, one.Digest) == nil || target.Manifest(two.Repository, "other") == nil {
			t.Errorf("from %q: missing, there is %q", from, target.Contents())
		}
		if target.Manifest(one.Repository, one.Tag) != nil || target.Manifest(two.Repository, two.Tag) != nil {
			t.Error("the target has a tag that the copy does not name")
		}
		wantStatus(t, copyImages(t, &copy.Copier{}, images, from, target.Addr()), copy.StatusPresent)
	}
}

// Two images with one name on the target are an error unless they are the same.
func TestCopyCollisions(t *testing.T) {
	a, b, target := imagestest.StartRegistry(t, fakeregistry.Options{}), imagestest.StartRegistry(t, fakeregistry.Options{}), imagestest.StartRegistry(t, fakeregistry.Options{})
	_, first := imagestest.Fill(t, a, sample.Options{Seed: 46, Images: 2})
	_, second := imagestest.Fill(t, b, sample.Options{Seed: 46, Images: 1})
	for _, r := range copyImages(t, &copy.Copier{}, append(first, second...), "", target.Addr()) {
		if r.Status == copy.StatusFailed {
			t.Errorf("%s: %s", r.Image, r.Error)
		}
	}
	wantPushedOnce(t, target.Requests())

	_, second = imagestest.Fill(t, b, sample.Options{Seed: 47, Images: 1})
	results := copyImages(t, &copy.Copier{}, append(first, second...), "", target.Addr())
	last := results[len(results)-1]
	if last.Status != copy.StatusFailed || !strings.Contains(last.Error, "would be overwritten") || !strings.Contains(last.Error, first[0].String()) {
		t.Errorf("%s %q", last.Status, last.Error)
	}
	wantStatus(t, results[:2], copy.StatusPresent)
	wantSame(t, a, target, "")
}

// A tag with another digest on the target is moved.
func TestCopyMovesATag(t *testing.T) {
	source, target := imagestest.StartRegistry(t, fakeregistry.Options{}), imagestest.StartRegistry(t, fakeregistry.Options{})
	imagestest.Fill(t, target, sample.Options{Seed: 48, Images: 2})
	_, images := imagestest.Fill(t, source, sample.Options{Seed: 49, Images: 2})
	wantStatus(t, copyImages(t, &copy.Copier{}, images, "", target.Addr()), copy.StatusCopied)
	for _, i := range images {
		if string(target.Manifest(i.Repository(), i.Tag())) != string(source.Manifest(i.Repository(), i.Tag())) {
			t.Errorf("%s is not moved", i)
		}
	}
}

// Cancelling ctx ends a copy with an error.
func TestCopyCancelled(t *testing.T) {
	source, target := imagestest.StartRegistry(t, fakeregistry.Options{}), imagestest.StartRegistry(t, fakeregistry.Options{})
	_, images := imagestest.Fill(t, source, sample.Options{Seed: 50, Images: 2})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	results, err := (&copy.Copier{}).Copy(ctx, images, reference.Location{}, location(t, target.Addr()))
	if err == nil {
		t.Error("no error")
	}
	wantStatus(t, results, copy.StatusFailed)
}
