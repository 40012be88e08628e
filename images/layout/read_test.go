package layout

import (
	"context"
	"errors"
	"path/filepath"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/berth-registry/berth/images/internal/imagestest"
	"github.com/berth-registry/berth/images/manifest"
	"github.com/berth-registry/berth/images/reference"
	"github.com/berth-registry/berth/test/images/sample"
)

// Ensure ends in the middle of a blob when the context ends.
func TestEnsureCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	reads := 0
	body := imagestest.ReadFunc(func(p []byte) (int, error) {
		if reads++; reads == 3 {
			cancel()
		}
		if reads > 10 {
			t.Fatal("reads on after the end")
		}
		return len(p), nil
	})
	dir := t.TempDir()
	l, err := Create(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	digest, err := manifest.DigestOf("sha256", nil)
	if err != nil {
		t.Fatal(err)
	}
	_, err = l.Repository("a.b/c").Ensure(ctx, v1.Descriptor{Digest: digest, Size: 1 << 40}, "", body.Open)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	if left := imagestest.Files(t, filepath.Join(dir, "blobs")); len(left) > 0 {
		t.Errorf("left: %q", left)
	}
}

// Any foreign bytes are read without a crash, and lead to no other path.
func FuzzContent(f *testing.F) {
	f.Add([]byte(`{"schemaVersion":2,"mediaType":"` + sample.OCIIndex + `","manifests":[{"digest":"sha256:00","size":-1}]}`))
	f.Add([]byte(`{"config":{},"layers":[{"digest":"../../etc/passwd"}]}`))
	f.Add([]byte(`{"mediaType":5}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		digest, err := manifest.DigestOf("sha256", raw)
		if err != nil {
			t.Fatal(err)
		}
		c, err := manifest.New("", digest, raw)
		if err != nil {
			return
		}
		if c.Desc.MediaType.IsIndex() {
			index, err := manifest.ReadIndex(c)
			for _, d := range index.Manifests {
				if name := nameOf(d); name != "" && err == nil {
					if _, err := reference.Parse(name); err != nil {
						t.Errorf("name %q: %v", name, err)
					}
				}
			}
			return
		}
		blobs, err := manifest.Blobs(c)
		for _, d := range blobs {
			if err != nil || d.Size < 0 || filepath.Dir(filepath.Dir(BlobPath(d.Digest))) != "blobs" {
				t.Errorf("blob %+v leads to %s", d, BlobPath(d.Digest))
			}
		}
	})
}
