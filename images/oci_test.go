package images

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/berth-registry/berth/test/fakes/fakeregistry"
	"github.com/berth-registry/berth/test/images/sample"
)

// files lists what is below a directory, with sizes.
func files(t testing.TB, dir string) []string {
	t.Helper()
	var all []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		rel, _ := filepath.Rel(dir, path)
		all = append(all, fmt.Sprintf("%s %d %v", rel, info.Size(), info.ModTime().UnixNano()))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// Through a directory to another registry: the same by digest.
func TestCopyThroughALayout(t *testing.T) {
	source, target := startRegistry(t, fakeregistry.Options{}), startRegistry(t, fakeregistry.Options{})
	_, images := fill(t, source, sample.Options{Seed: 41})
	dir := filepath.Join(t.TempDir(), "not", "there", "yet")
	wantStatus(t, copyImages(t, &Copier{}, images, "", "oci:"+dir), StatusCopied)

	// Every image stands in index.json under its full reference.
	raw, err := os.ReadFile(filepath.Join(dir, "index.json"))
	if err != nil {
		t.Fatal(err)
	}
	var index v1.IndexManifest
	if err := json.Unmarshal(raw, &index); err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, d := range index.Manifests {
		names[d.Annotations["org.opencontainers.image.ref.name"]] = true
	}
	for _, i := range images {
		if !names[i.String()] {
			t.Errorf("%s is not in index.json", i)
		}
	}
	if !slices.IsSortedFunc(index.Manifests, func(a, b v1.Descriptor) int {
		return strings.Compare(a.Annotations[annotationName], b.Annotations[annotationName])
	}) {
		t.Error("index.json is not in order")
	}

	// Once more: nothing is written.
	before := files(t, dir)
	wantStatus(t, copyImages(t, &Copier{}, images, "", "oci:"+dir), StatusPresent)
	if after := files(t, dir); !slices.Equal(before, after) {
		t.Errorf("written again:\n%q\n%q", before, after)
	}

	// All of it to a registry, without the source.
	source.Close()
	results := copyImages(t, &Copier{}, nil, "oci:"+dir, target.Addr())
	if len(results) != len(images) {
		t.Errorf("%d images in the layout, want %d", len(results), len(images))
	}
	wantStatus(t, results, StatusCopied)
	wantSame(t, source, target, "")

	// And one of them, by its name, to another directory.
	other := t.TempDir()
	wantStatus(t, copyImages(t, &Copier{}, images[2:3], "oci:"+dir, "oci:"+other), StatusCopied)
	l, err := openLayout(other)
	if err != nil {
		t.Fatal(err)
	}
	defer l.close()
	if got, problems := l.references(); len(got) != 1 || got[0] != images[2] || problems != nil {
		t.Errorf("%v %v, want %v", got, problems, images[2])
	}
}

// A run that was cut off, with what a killed process leaves, is completed.
func TestLayoutGoesOn(t *testing.T) {
	source := startRegistry(t, fakeregistry.Options{})
	_, images := fill(t, source, sample.Options{Seed: 42, Images: 6})
	dir := t.TempDir()
	wantStatus(t, copyImages(t, &Copier{}, images[:3], "", "oci:"+dir), StatusCopied)
	// Killed before the index was written, and in the middle of a blob.
	for _, name := range []string{"blobs/sha256/.partial-1", ".partial-2"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("half"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Remove(filepath.Join(dir, "index.json")); err != nil {
		t.Fatal(err)
	}
	results := copyImages(t, &Copier{}, images, "", "oci:"+dir)
	wantStatus(t, results, StatusCopied)
	for _, r := range results[:3] {
		if r.Uploaded > 0 {
			t.Errorf("%s: %d blobs were written again", r.Image, r.Uploaded)
		}
	}
	for _, f := range files(t, dir) {
		if strings.Contains(f, "partial") {
			t.Errorf("left: %s", f)
		}
	}
}

// Wrong content in a layout goes nowhere.
func TestLayoutIsVerified(t *testing.T) {
	source, target := startRegistry(t, fakeregistry.Options{}), startRegistry(t, fakeregistry.Options{})
	set, images := fill(t, source, sample.Options{Seed: 43, Images: 1})
	dir := t.TempDir()
	wantStatus(t, copyImages(t, &Copier{}, images, "", "oci:"+dir), StatusCopied)
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
	r := copyImages(t, &Copier{}, images, "oci:"+dir, target.Addr())[0]
	if r.Status != StatusFailed || !strings.Contains(r.Error, "not what its digest says") {
		t.Errorf("%s %q", r.Status, r.Error)
	}
	// The manifest, too.
	name := filepath.Join(dir, "blobs", strings.Replace(set.Images[0].Digest, ":", "/", 1))
	if err := os.WriteFile(name, []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	if r := copyImages(t, &Copier{}, images, "oci:"+dir, target.Addr()+"/other")[0]; r.Status != StatusFailed || !strings.Contains(r.Error, "not what its digest says") {
		t.Errorf("%s %q", r.Status, r.Error)
	}
}

// What is no layout stays as it is, and two processes do not write at once.
func TestLayoutRefused(t *testing.T) {
	refused := func(to, want string) {
		t.Helper()
		_, err := (&Copier{}).Copy(t.Context(), nil, Location{}, location(t, to))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", to, err, want)
		}
	}
	foreign := t.TempDir()
	if err := os.WriteFile(filepath.Join(foreign, "thesis.txt"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	refused("oci:"+foreign, "is no OCI layout")
	if got := files(t, foreign); len(got) != 1 {
		t.Errorf("something was written: %q", got)
	}
	newer := t.TempDir()
	if err := os.WriteFile(filepath.Join(newer, "oci-layout"), []byte(`{"imageLayoutVersion":"2.0.0"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	refused("oci:"+newer, "a version that is not known")

	dir := t.TempDir()
	l, err := writeLayout(dir)
	if err != nil {
		t.Fatal(err)
	}
	refused("oci:"+dir, "another process writes to this layout")
	if err := l.close(); err != nil {
		t.Error(err)
	}
	if _, err := (&Copier{}).Copy(t.Context(), nil, location(t, "oci:"+t.TempDir()), location(t, "oci:"+dir)); err == nil || !strings.Contains(err.Error(), "has no file oci-layout") {
		t.Errorf("%v, want that there is no layout", err)
	}
}

// Entries of others stay in index.json; names are taken as other tools write
// them.
func TestLayoutOfOthers(t *testing.T) {
	source := startRegistry(t, fakeregistry.Options{})
	_, images := fill(t, source, sample.Options{Seed: 44, Images: 2})
	dir := t.TempDir()
	wantStatus(t, copyImages(t, &Copier{}, images[:1], "", "oci:"+dir), StatusCopied)
	l, err := openLayout(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer l.close()
	d := l.index.Manifests[0]
	d.Annotations = map[string]string{annotationName: "v1"} // a tag alone
	l.index.Manifests = append(l.index.Manifests, d)
	d.Annotations = map[string]string{annotationName: "v2", annotationContainerd: "quay.io/team/app:v2"}
	l.index.Manifests = append(l.index.Manifests, d)
	raw, err := json.Marshal(l.index)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "index.json"), raw, 0o600); err != nil {
		t.Fatal(err)
	}
	wantStatus(t, copyImages(t, &Copier{}, images[1:], "", "oci:"+dir), StatusCopied)
	if l, err = openLayout(dir); err != nil {
		t.Fatal(err)
	}
	defer l.close()
	if n := len(l.index.Manifests); n != 4 {
		t.Errorf("%d entries, want the two of ours and the two of others", n)
	}
	want := []Reference{images[0], images[1], mustParse(t, "quay.io/team/app:v2")}
	slices.SortFunc(want, func(a, b Reference) int { return strings.Compare(a.String(), b.String()) })
	// The tag alone is the same digest as one with a name: nothing would be left out.
	if got, problems := l.references(); !slices.Equal(got, want) || problems != nil {
		t.Errorf("%v %v, want %v", got, problems, want)
	}
}

// A digest is copied as one, with its tag if it has one.
func TestCopyDigests(t *testing.T) {
	source, target := startRegistry(t, fakeregistry.Options{}), startRegistry(t, fakeregistry.Options{})
	set, _ := fill(t, source, sample.Options{Seed: 45, Images: 2})
	one, two := set.Images[0], set.Images[1]
	images := []Reference{
		mustParse(t, source.Addr()+"/"+one.Repository+"@"+one.Digest),
		mustParse(t, source.Addr()+"/"+two.Repository+":other@"+two.Digest),
	}
	dir := "oci:" + t.TempDir()
	for _, from := range []string{"", dir} {
		if from != "" {
			wantStatus(t, copyImages(t, &Copier{}, images, "", dir), StatusCopied)
			target = startRegistry(t, fakeregistry.Options{})
		}
		wantStatus(t, copyImages(t, &Copier{}, images, from, target.Addr()), StatusCopied)
		if target.Manifest(one.Repository, one.Digest) == nil || target.Manifest(two.Repository, "other") == nil {
			t.Errorf("from %q: missing, there is %q", from, target.Contents())
		}
		if target.Manifest(one.Repository, one.Tag) != nil || target.Manifest(two.Repository, two.Tag) != nil {
			t.Error("a tag is there that nobody asked for")
		}
		wantStatus(t, copyImages(t, &Copier{}, images, from, target.Addr()), StatusPresent)
	}
}

// Two images that become one are told, unless they are the same.
func TestCopyCollisions(t *testing.T) {
	a, b, target := startRegistry(t, fakeregistry.Options{}), startRegistry(t, fakeregistry.Options{}), startRegistry(t, fakeregistry.Options{})
	_, first := fill(t, a, sample.Options{Seed: 46, Images: 2})
	_, second := fill(t, b, sample.Options{Seed: 46, Images: 1})
	for _, r := range copyImages(t, &Copier{}, append(first, second...), "", target.Addr()) {
		if r.Status == StatusFailed {
			t.Errorf("%s: %s", r.Image, r.Error)
		}
	}
	wantPushedOnce(t, target.Requests())

	_, second = fill(t, b, sample.Options{Seed: 47, Images: 1})
	results := copyImages(t, &Copier{}, append(first, second...), "", target.Addr())
	last := results[len(results)-1]
	if last.Status != StatusFailed || !strings.Contains(last.Error, "would be overwritten") || !strings.Contains(last.Error, first[0].String()) {
		t.Errorf("%s %q", last.Status, last.Error)
	}
	wantStatus(t, results[:2], StatusPresent)
	wantSame(t, a, target, "")
}

// A tag that means something else at the target is moved.
func TestCopyMovesATag(t *testing.T) {
	source, target := startRegistry(t, fakeregistry.Options{}), startRegistry(t, fakeregistry.Options{})
	fill(t, target, sample.Options{Seed: 48, Images: 2})
	_, images := fill(t, source, sample.Options{Seed: 49, Images: 2})
	wantStatus(t, copyImages(t, &Copier{}, images, "", target.Addr()), StatusCopied)
	for _, i := range images {
		if string(target.Manifest(i.Repository(), i.Tag())) != string(source.Manifest(i.Repository(), i.Tag())) {
			t.Errorf("%s is not moved", i)
		}
	}
}

func TestParseLocation(t *testing.T) {
	for in, want := range map[string]string{
		"registry.corp:5000": "registry.corp:5000", "registry.corp/mirror/": "registry.corp/mirror", "oci:dir": "oci:dir", "oci:/abs/dir": "oci:/abs/dir",
		"oci:": "", "": "", "https://registry.corp": "", "registry.corp/x:tag": "",
	} {
		l, err := ParseLocation(in)
		if (err == nil) != (want != "") || err == nil && l.String() != want {
			t.Errorf("%q: %q %v, want %q", in, l, err, want)
		}
	}
}

// What reads foreign bytes takes any of them.
func FuzzContent(f *testing.F) {
	f.Add([]byte(`{"schemaVersion":2,"mediaType":"` + sample.OCIIndex + `","manifests":[{"digest":"sha256:00","size":-1}]}`))
	f.Add([]byte(`{"config":{},"layers":[{"digest":"../../etc/passwd"}]}`))
	f.Add([]byte(`{"mediaType":5}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		digest, err := digestOf("sha256", raw)
		if err != nil {
			t.Fatal(err)
		}
		c, err := newContent("", digest, raw)
		if err != nil {
			return
		}
		if c.desc.MediaType.IsIndex() {
			index, err := readIndex(c)
			for _, d := range index.Manifests {
				if name := layoutName(d); name != "" && err == nil {
					if _, err := Parse(name); err != nil {
						t.Errorf("name %q: %v", name, err)
					}
				}
			}
			return
		}
		blobs, err := blobsOf(c)
		for _, d := range blobs {
			if err != nil || d.Size < 0 || filepath.Dir(filepath.Dir(blobPath(d.Digest))) != "blobs" {
				t.Errorf("blob %+v leads to %s", d, blobPath(d.Digest))
			}
		}
	})
}

// Reading verifies, whatever the sizes of the reads.
func TestVerifiedBlob(t *testing.T) {
	content := []byte("some content")
	digest, err := digestOf("sha256", content)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		body string
		ok   bool
	}{{"some content", true}, {"some contenT", false}, {"some conten", false}, {"some content and more", false}, {"", false}} {
		for _, step := range []int{1, 3, 12, 100} {
			b, err := verified(io.NopCloser(strings.NewReader(c.body)), v1.Descriptor{Digest: digest, Size: int64(len(content))})
			if err != nil {
				t.Fatal(err)
			}
			var got []byte
			buf := make([]byte, step)
			for {
				n, readErr := b.Read(buf)
				got = append(got, buf[:n]...)
				if err = readErr; err != nil {
					break
				}
			}
			if (err == io.EOF) != c.ok {
				t.Errorf("%q by %d: %v", c.body, step, err)
			}
			if !c.ok && len(got) >= len(content) && string(got) != string(content) {
				t.Errorf("%q by %d: all %d bytes were given away before they were known to be wrong", c.body, step, len(got))
			}
		}
	}
}

// The end of the context ends a copy, and says so.
func TestCopyEnds(t *testing.T) {
	source, target := startRegistry(t, fakeregistry.Options{}), startRegistry(t, fakeregistry.Options{})
	_, images := fill(t, source, sample.Options{Seed: 50, Images: 2})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	results, err := (&Copier{}).Copy(ctx, images, Location{}, location(t, target.Addr()))
	if err == nil {
		t.Error("no error")
	}
	wantStatus(t, results, StatusFailed)
}
