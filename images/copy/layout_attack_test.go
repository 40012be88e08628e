package copy_test

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sys/unix"

	"github.com/berth-registry/berth/images/copy"
	"github.com/berth-registry/berth/images/internal/imagestest"
	"github.com/berth-registry/berth/images/manifest"
	"github.com/berth-registry/berth/images/reference"
	"github.com/berth-registry/berth/test/fakes/fakeregistry"
	"github.com/berth-registry/berth/test/images/sample"
)

// blobFile is the file of a digest in a layout.
func blobFile(dir, digest string) string {
	return filepath.Join(dir, "blobs", strings.Replace(digest, ":", "/", 1))
}

// aLayout returns a directory with images; the source is no longer needed.
func aLayout(t *testing.T, seed uint64, n int) (dir string, set *sample.Set, images []reference.Reference) {
	t.Helper()
	source := imagestest.StartRegistry(t, fakeregistry.Options{})
	set, images = imagestest.Fill(t, source, sample.Options{Seed: seed, Images: n})
	dir = t.TempDir()
	wantStatus(t, copyImages(t, &copy.Copier{}, images, "", "oci:"+dir), copy.StatusCopied)
	return dir, set, images
}

// replace puts something else in place of a file.
func replace(t *testing.T, name string, put func(string) error) {
	t.Helper()
	if err := errors.Join(os.RemoveAll(name), put(name)); err != nil {
		t.Fatal(err)
	}
}

// Anything but a regular file of the directory is neither opened nor read, and the error names it.
func TestLayoutReadsRegularFilesOnly(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte(`{"imageLayoutVersion":"1.0.0","manifests":[]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	kinds := map[string]func(string) error{
		"fifo":    func(name string) error { return unix.Mkfifo(name, 0o600) },
		"symlink": func(name string) error { return os.Symlink(secret, name) },
		"endless": func(name string) error { return os.Symlink("/dev/zero", name) },
		"dir":     func(name string) error { return os.Mkdir(name, 0o700) },
	}
	for kind, put := range kinds {
		dir, set, images := aLayout(t, 61, 1)
		layer := ""
		for digest := range set.Blobs[set.Images[0].Repository] {
			layer = digest
		}
		for _, name := range []string{
			blobFile(dir, layer), blobFile(dir, set.Images[0].Digest), filepath.Join(dir, "index.json"), filepath.Join(dir, "oci-layout"),
		} {
			replace(t, name, put)
			target := imagestest.StartRegistry(t, fakeregistry.Options{})
			results, err := (&copy.Copier{}).Copy(t.Context(), images, location(t, "oci:"+dir), location(t, target.Addr()))
			for _, r := range results {
				err = errors.Join(err, r.Err)
			}
			if err == nil || !strings.Contains(err.Error(), "is not a regular file of this directory") || !strings.Contains(err.Error(), name) {
				t.Errorf("%s in place of %s: %v", kind, name, err)
			}
			if len(target.Contents()) > 0 && name != blobFile(dir, layer) {
				t.Errorf("%s in place of %s: something was sent: %q", kind, name, target.Contents())
			}
		}
	}
}

// An endless index, and a blob that is longer than its size, are not read to the end.
func TestLayoutReadsAreBounded(t *testing.T) {
	dir, set, images := aLayout(t, 62, 1)
	layer := ""
	for digest := range set.Blobs[set.Images[0].Repository] {
		layer = digest
	}
	target := imagestest.StartRegistry(t, fakeregistry.Options{})
	for name, want := range map[string]string{
		blobFile(dir, layer):                "bytes long and not",
		filepath.Join(dir, "index.json"):    "is larger than",
		blobFile(dir, set.Images[0].Digest): "is larger than",
	} {
		before, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(name, 1<<40); err != nil {
			t.Fatal(err)
		}
		results, err := (&copy.Copier{}).Copy(t.Context(), images, location(t, "oci:"+dir), location(t, target.Addr()))
		for _, r := range results {
			err = errors.Join(err, r.Err)
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", name, err, want)
		}
		if err := os.WriteFile(name, before, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// Nothing is written through a symlink in the directory.
func TestLayoutWritesBelowItself(t *testing.T) {
	source := imagestest.StartRegistry(t, fakeregistry.Options{})
	_, images := imagestest.Fill(t, source, sample.Options{Seed: 63, Images: 1})
	for _, linked := range []string{"blobs", "blobs/sha256", "index.json", "oci-layout"} {
		outside := t.TempDir()
		dir := filepath.Join(t.TempDir(), "layout")
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, linked)), 0o755); err != nil {
			t.Fatal(err)
		}
		link := outside
		if strings.Contains(linked, "-layout") || strings.Contains(linked, ".json") {
			link = filepath.Join(outside, "file")
			if err := os.WriteFile(link, []byte(`{"imageLayoutVersion":"1.0.0"}`), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if linked == "index.json" {
			if err := os.WriteFile(filepath.Join(dir, "oci-layout"), []byte(`{"imageLayoutVersion":"1.0.0"}`), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.Symlink(link, filepath.Join(dir, linked)); err != nil {
			t.Fatal(err)
		}
		before := imagestest.Files(t, outside)
		_, err := (&copy.Copier{}).Copy(t.Context(), images, reference.Location{}, location(t, "oci:"+dir))
		if err == nil || !strings.Contains(err.Error(), linked) || !strings.Contains(err.Error(), "symlink") || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v", linked, err)
		}
		if after := imagestest.Files(t, outside); len(before) != len(after) || len(after) > 0 && before[0] != after[0] {
			t.Errorf("%s: written to %q", linked, after)
		}
	}
}

// A location that is not a directory is an error.
func TestLayoutIsADirectory(t *testing.T) {
	fifo := filepath.Join(t.TempDir(), "fifo")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	dir := "oci:" + t.TempDir()
	for _, c := range [][2]string{{"oci:" + fifo, dir}, {dir, "oci:" + fifo}} {
		_, err := (&copy.Copier{}).Copy(t.Context(), nil, location(t, c[0]), location(t, c[1]))
		if err == nil {
			t.Errorf("%q: no error", c)
		}
	}
}

// Entries without an image name, and names that appear twice, are problems when everything is
// copied; not if images are given, or if the same content also has a name.
func TestLayoutNames(t *testing.T) {
	dir, _, images := aLayout(t, 64, 1)
	raw, err := os.ReadFile(filepath.Join(dir, "index.json"))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		names []string // of entries in addition to the image's, each with another digest
		keep  bool     // keep the image's entry
		want  []string
	}{
		{[]string{"v1"}, true, []string{`manifests[1]: "v1" is not a whole image name; write the whole name of the image`}},
		{[]string{""}, true, []string{"manifests[1]: sha256:", "has no name; write the whole name"}},
		{[]string{"registry.corp/Team/App:1"}, true, []string{`image "registry.corp/Team/App:1": the repository must be in lower case; write`}},
		{[]string{"a.b/c:1", "a.b/c:1"}, true, []string{"a.b/c:1 is listed twice, as sha256:"}},
		{[]string{"v1", "v2"}, false, []string{`"v1"`, `"v2"`}},
		{nil, false, []string{"index.json: holds no image"}},
		{nil, true, nil},
	} {
		var index v1.IndexManifest
		if err := json.Unmarshal(raw, &index); err != nil {
			t.Fatal(err)
		}
		first := index.Manifests[0]
		index.Manifests = nil
		if c.keep {
			index.Manifests = append(index.Manifests, first)
		}
		for i, name := range c.names {
			d := first
			if d.Digest, err = manifest.DigestOf("sha256", []byte{byte(i)}); err != nil {
				t.Fatal(err)
			}
			d.Annotations = map[string]string{ocispec.AnnotationRefName: name}
			index.Manifests = append(index.Manifests, d)
		}
		changed, err := json.Marshal(index)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "index.json"), changed, 0o600); err != nil {
			t.Fatal(err)
		}
		target := imagestest.StartRegistry(t, fakeregistry.Options{})
		results, err := (&copy.Copier{}).Copy(t.Context(), nil, location(t, "oci:"+dir), location(t, target.Addr()))
		if (err != nil) != (c.want != nil) {
			t.Errorf("%q: %v", c.names, err)
		}
		for _, want := range c.want {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%q: %v, want %q", c.names, err, want)
			}
		}
		if c.keep {
			wantStatus(t, results[:1], copy.StatusCopied)
			wantStatus(t, copyImages(t, &copy.Copier{}, images, "oci:"+dir, target.Addr()), copy.StatusPresent)
		}
	}
}
