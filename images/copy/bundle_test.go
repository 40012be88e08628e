package copy_test

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/berth-registry/berth/images/copy"
	"github.com/berth-registry/berth/images/internal/imagestest"
	"github.com/berth-registry/berth/images/manifest"
	"github.com/berth-registry/berth/images/reference"
	"github.com/berth-registry/berth/test/fakes/fakeregistry"
	"github.com/berth-registry/berth/test/images/sample"
)

// forms are the names of bundles in both forms.
var forms = []string{"images.tar", "images.tar.zst"}

func readFile(t testing.TB, name string) []byte {
	t.Helper()
	raw, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// A copy through a bundle has the same digests; the same images give the same bytes, whatever their
// order; a second run writes nothing.
func TestCopyThroughABundle(t *testing.T) {
	source := imagestest.StartRegistry(t, fakeregistry.Options{})
	_, images := imagestest.Fill(t, source, sample.Options{Seed: 81})
	for _, form := range forms {
		file, again := filepath.Join(t.TempDir(), form), filepath.Join(t.TempDir(), form)
		wantStatus(t, copyImages(t, &copy.Copier{}, images, "", file), copy.StatusCopied)
		backwards := slices.Clone(images)
		slices.Reverse(backwards)
		wantStatus(t, copyImages(t, &copy.Copier{Jobs: 1}, backwards, "", again), copy.StatusCopied)
		if !bytes.Equal(readFile(t, file), readFile(t, again)) {
			t.Errorf("%s: the same images give other bytes", form)
		}
		before := imagestest.Files(t, filepath.Dir(file))
		wantStatus(t, copyImages(t, &copy.Copier{}, images, "", file), copy.StatusPresent)
		if after := imagestest.Files(t, filepath.Dir(file)); !slices.Equal(before, after) {
			t.Errorf("written again:\n%q\n%q", before, after)
		}

		target := imagestest.StartRegistry(t, fakeregistry.Options{})
		results := copyImages(t, &copy.Copier{}, nil, file, target.Addr())
		if len(results) != len(images) {
			t.Errorf("%d images in the bundle, want %d", len(results), len(images))
		}
		wantStatus(t, results, copy.StatusCopied)
		wantSame(t, source, target, "")
		wantStatus(t, copyImages(t, &copy.Copier{}, nil, file, target.Addr()), copy.StatusPresent)

		// A directory, and from there the same bundle.
		dir := "oci:" + t.TempDir()
		wantStatus(t, copyImages(t, &copy.Copier{}, nil, file, dir), copy.StatusCopied)
		third := filepath.Join(t.TempDir(), form)
		wantStatus(t, copyImages(t, &copy.Copier{}, nil, dir, third), copy.StatusCopied)
		if !bytes.Equal(readFile(t, file), readFile(t, third)) {
			t.Errorf("%s: a directory gives other bytes than a registry", form)
		}
	}
}

// Other programs unpack a bundle: it is a tar of an OCI layout, in ordinary frames.
func TestBundleIsATarOfALayout(t *testing.T) {
	source := imagestest.StartRegistry(t, fakeregistry.Options{})
	_, images := imagestest.Fill(t, source, sample.Options{Seed: 82, Images: 6})
	for _, form := range forms {
		file, dir := filepath.Join(t.TempDir(), form), t.TempDir()
		wantStatus(t, copyImages(t, &copy.Copier{}, images, "", file), copy.StatusCopied)
		r := io.Reader(bytes.NewReader(readFile(t, file)))
		if strings.HasSuffix(form, ".zst") {
			z, err := zstd.NewReader(r)
			if err != nil {
				t.Fatal(err)
			}
			defer z.Close()
			r = z
		}
		for archive := tar.NewReader(r); ; {
			h, err := archive.Next()
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			content, err := io.ReadAll(archive)
			name := filepath.Join(dir, h.Name)
			if err := errors.Join(err, os.MkdirAll(filepath.Dir(name), 0o700), os.WriteFile(name, content, 0o600)); err != nil {
				t.Fatal(err)
			}
		}
		target := imagestest.StartRegistry(t, fakeregistry.Options{})
		wantStatus(t, copyImages(t, &copy.Copier{Verify: true}, nil, "oci:"+dir, target.Addr()), copy.StatusCopied)
		wantSame(t, source, target, "")
	}
}

// A run that is cancelled at a random request, or whose file is cut at a random byte as after a
// power failure, is completed by the next one: the bytes are those of a run that was not disturbed,
// and nothing that is complete is fetched again.
func TestBundleResumes(t *testing.T) {
	source := imagestest.StartRegistry(t, fakeregistry.Options{})
	_, images := imagestest.Fill(t, source, sample.Options{Seed: 83, Images: 10})
	rnd := rand.New(rand.NewPCG(83, 0))
	for _, form := range forms {
		for _, split := range []int64{0, 40_000} {
			whole := filepath.Join(t.TempDir(), form)
			wantStatus(t, copyImages(t, &copy.Copier{}, images, "", whole), copy.StatusCopied)
			want := readFile(t, whole)
			name := filepath.Join(t.TempDir(), form)
			disturbed := 0
			for done := false; !done; {
				if disturbed++; disturbed > 40 {
					t.Fatal("it never ends")
				}
				source.Forget()
				ctx, cancel := context.WithCancel(t.Context())
				var left atomic.Int64
				left.Store(int64(1 + rnd.IntN(30)))
				source.Intercept(func(_ http.ResponseWriter, r *http.Request) bool {
					if strings.Contains(r.URL.Path, "/blobs/") && left.Add(-1) == 0 && disturbed < 12 {
						cancel()
					}
					return false
				})
				_, err := (&copy.Copier{Split: split}).Copy(ctx, images, reference.Location{}, location(t, name))
				done = err == nil
				cancel()
				partial, err := filepath.Glob(name + "*.partial")
				if err != nil || done != (len(partial) == 0) {
					t.Fatalf("%v, done %v, left %q", err, done, partial)
				}
				if !done && disturbed%3 == 0 {
					last := partial[len(partial)-1]
					if err := os.Truncate(last, rnd.Int64N(int64(len(readFile(t, last)))+1)); err != nil {
						t.Fatal(err)
					}
				}
			}
			source.Intercept(nil)
			if disturbed < 3 {
				t.Errorf("%s, split %d: disturbed only %d times", form, split, disturbed)
			}
			var got []byte
			if split == 0 {
				got = readFile(t, name)
			} else {
				parts, err := filepath.Glob(name + ".*")
				if err != nil || len(parts) < 3 {
					t.Fatalf("%v, parts %q", err, parts)
				}
				for _, p := range parts {
					part := readFile(t, p)
					if int64(len(part)) > split {
						t.Errorf("%s has %d bytes", p, len(part))
					}
					got = append(got, part...)
				}
			}
			if !bytes.Equal(got, want) {
				t.Errorf("%s, split %d: other bytes after %d runs", form, split, disturbed)
			}
			target := imagestest.StartRegistry(t, fakeregistry.Options{})
			wantStatus(t, copyImages(t, &copy.Copier{}, nil, name, target.Addr()), copy.StatusCopied)
			wantSame(t, source, target, "")
		}
	}
}

// Blobs that FILE.partial has are not fetched again.
func TestBundleTakesOver(t *testing.T) {
	source := imagestest.StartRegistry(t, fakeregistry.Options{})
	_, images := imagestest.Fill(t, source, sample.Options{Seed: 84, Images: 8})
	for _, form := range forms {
		file := filepath.Join(t.TempDir(), form)
		wantStatus(t, copyImages(t, &copy.Copier{}, images, "", file), copy.StatusCopied)
		want := readFile(t, file)
		blobs := func() int { return source.Count(http.MethodGet, "/blobs/") }
		for _, c := range []struct {
			keep  int
			flip  bool
			share float64 // of the blobs that may be fetched
		}{{len(want) - 1, false, 0}, {len(want) / 2, false, 0.8}, {len(want) - 1, true, 1}} {
			raw := bytes.Clone(want[:c.keep])
			if c.flip {
				raw[len(raw)/3] ^= 4
			}
			if err := errors.Join(os.Remove(file), os.WriteFile(file+".partial", raw, 0o600)); err != nil {
				t.Fatal(err)
			}
			source.Forget()
			results := copyImages(t, &copy.Copier{}, images, "", file)
			fetched, all := 0, 0
			for _, r := range results {
				fetched, all = fetched+r.Uploaded, all+r.Uploaded+r.Present
			}
			if !bytes.Equal(readFile(t, file), want) {
				t.Errorf("%s, %+v: other bytes", form, c)
			}
			if blobs() != fetched || float64(fetched) > c.share*float64(all) || c.share > 0 && fetched == 0 {
				t.Errorf("%s, %+v: %d blobs fetched, %d said, of %d", form, c, blobs(), fetched, all)
			}
		}
	}
}

// A bundle has all images or does not exist; a file with its name and other content stays.
func TestBundleIsAllOrNothing(t *testing.T) {
	source := imagestest.StartRegistry(t, fakeregistry.Options{})
	_, images := imagestest.Fill(t, source, sample.Options{Seed: 85, Images: 4})
	dir := t.TempDir()
	file := filepath.Join(dir, "images.tar.zst")
	missing := imagestest.MustParse(t, source.Addr()+"/no/such:1")
	results, err := (&copy.Copier{}).Copy(t.Context(), append(slices.Clone(images), missing), reference.Location{}, location(t, file))
	if err == nil || !strings.Contains(err.Error(), "not written, because not all images can be copied") {
		t.Errorf("%v", err)
	}
	wantStatus(t, results, copy.StatusFailed)
	if left := imagestest.Files(t, dir); len(left) > 0 {
		t.Errorf("left: %q", left)
	}
	wantStatus(t, copyImages(t, &copy.Copier{}, images[:2], "", file), copy.StatusCopied)
	before := readFile(t, file)
	refused := func(want string) {
		t.Helper()
		results, err := (&copy.Copier{}).Copy(t.Context(), images, reference.Location{}, location(t, file))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
		wantStatus(t, results, copy.StatusFailed)
	}
	refused("exists and has other content; name another file, or remove it")
	if !bytes.Equal(readFile(t, file), before) {
		t.Error("the file is changed")
	}
	if err := os.WriteFile(file, []byte("my thesis"), 0o600); err != nil {
		t.Fatal(err)
	}
	refused("is not a bundle of berth images copy")
	if string(readFile(t, file)) != "my thesis" {
		t.Error("the file is changed")
	}
}

// delta writes two bundles: the first images, and all without what the first ones have.
func delta(t *testing.T, c copy.Copier, images []reference.Reference, n int) (base, file string) {
	t.Helper()
	base, file = filepath.Join(t.TempDir(), "monday.tar.zst"), filepath.Join(t.TempDir(), "delta.tar.zst")
	first := c
	wantStatus(t, copyImages(t, &first, images[:n], "", base), copy.StatusCopied)
	var err error
	if c.Except, err = first.Contents(t.Context(), "monday.tar.zst", nil, location(t, base)); err != nil {
		t.Fatal(err)
	}
	wantStatus(t, copyImages(t, &c, images, "", file), copy.StatusCopied)
	return base, file
}

// A delta and its base give the same as all images; the delta alone gives an error that names the
// base. Shared content is mounted.
func TestDelta(t *testing.T) {
	source := imagestest.StartRegistry(t, fakeregistry.Options{})
	_, images := imagestest.Fill(t, source, sample.Options{Seed: 86, Images: 20, SharedBy: 20})
	base, file := delta(t, copy.Copier{}, images, 12)
	whole := filepath.Join(t.TempDir(), "whole.tar.zst")
	wantStatus(t, copyImages(t, &copy.Copier{}, images, "", whole), copy.StatusCopied)
	if d, b, w := len(readFile(t, file)), len(readFile(t, base)), len(readFile(t, whole)); d > w-b*2/3 {
		t.Errorf("the delta has %d bytes, the base %d, all images %d", d, b, w)
	}
	for name, to := range map[string]func() (string, func()){
		"registry": func() (string, func()) {
			target := imagestest.StartRegistry(t, fakeregistry.Options{})
			return target.Addr(), func() {
				wantSame(t, source, target, "")
				wantPushedOnce(t, target.Requests())
				for _, s := range fakeregistry.UploadedAgain(target.Requests()) {
					t.Errorf("content sent again: %s", s)
				}
			}
		},
		"registry with a path": func() (string, func()) {
			target := imagestest.StartRegistry(t, fakeregistry.Options{})
			return target.Addr() + "/mirror", func() { wantSame(t, source, target, "mirror") }
		},
		"directory": func() (string, func()) {
			dir := "oci:" + t.TempDir()
			return dir, func() {
				target := imagestest.StartRegistry(t, fakeregistry.Options{})
				wantStatus(t, copyImages(t, &copy.Copier{}, nil, dir, target.Addr()), copy.StatusCopied)
				wantSame(t, source, target, "")
			}
		},
	} {
		at, check := to()
		failed := 0
		for _, r := range copyImages(t, &copy.Copier{}, nil, file, at) {
			if r.Status != copy.StatusFailed {
				continue
			}
			failed++
			if !strings.Contains(r.Error, "is not completely in "+file+", which needs monday.tar.zst; copy that to the target first") {
				t.Errorf("%s: %s: %s", name, r.Image, r.Error)
			}
		}
		if failed < 12 || failed == len(images) {
			t.Errorf("%s: %d of %d images failed without the base", name, failed, len(images))
		}
		wantStatus(t, copyImages(t, &copy.Copier{}, nil, base, at), copy.StatusCopied)
		for _, r := range copyImages(t, &copy.Copier{}, nil, file, at) {
			if r.Status == copy.StatusFailed {
				t.Errorf("%s: %s: %s", name, r.Image, r.Error)
			}
		}
		check()
	}
}

// A delta of some platforms goes to a registry that has reduced indexes, and to one that has them
// as they are.
func TestDeltaOfPlatforms(t *testing.T) {
	source := imagestest.StartRegistry(t, fakeregistry.Options{})
	_, images := imagestest.Fill(t, source, sample.Options{Seed: 87, Images: 8})
	base, file := delta(t, copy.Copier{Platforms: []manifest.Platform{{OS: "linux", Architecture: "amd64"}}}, images, 5)
	target := imagestest.StartRegistry(t, fakeregistry.Options{})
	wantStatus(t, copyImages(t, &copy.Copier{ReduceIndex: true}, nil, base, target.Addr()), copy.StatusCopied)
	results := copyImages(t, &copy.Copier{ReduceIndex: true}, nil, file, target.Addr())
	reduced := 0
	for _, r := range results {
		if r.Status == copy.StatusFailed {
			t.Errorf("%s: %s", r.Image, r.Error)
		}
		if r.Reduced {
			reduced++
		}
	}
	if reduced < 2 {
		t.Errorf("%d indexes are reduced", reduced)
	}
	wantStatus(t, copyImages(t, &copy.Copier{ReduceIndex: true}, nil, file, target.Addr()), copy.StatusPresent)
}
