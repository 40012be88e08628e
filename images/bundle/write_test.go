package bundle

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"testing/iotest"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/klauspost/compress/zstd"
)

// contentOf is content that shrinks or does not, of a size.
func contentOf(n int, random bool) []byte {
	if !random {
		return bytes.Repeat([]byte("a layer that shrinks "), n/21+1)[:n]
	}
	content := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(content) // never fails
	return content
}

// write writes a bundle of contents, with frames of a size.
func write(t *testing.T, file string, size int64, read func(io.Reader) io.Reader, all ...[]byte) []v1.Descriptor {
	t.Helper()
	w, err := Create(file, 0)
	if err != nil {
		t.Fatal(err)
	}
	w.maxFrame = size
	p := Plan{Index: []byte(emptyIndex)}
	for _, content := range all {
		_, d := blobOf(t, content)
		p.Blobs = append(p.Blobs, d)
		if there, err := w.Take(t.Context(), d); err != nil || there {
			t.Fatalf("%v %v", there, err)
		}
		if err := w.Add(d, read(bytes.NewReader(content))); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(w.Finish(t.Context(), p), w.Close()); err != nil {
		t.Fatal(err)
	}
	return p.Blobs
}

// Members of all sizes around those of blocks, samples and frames come back, from frames that
// ordinary programs decode; the bytes do not depend on how the content arrives.
func TestSizes(t *testing.T) {
	sizes := []int{0, 1, 511, 512, 513, sample - block, sample, sample + 1, rawBlock - block, rawBlock, rawBlock + 1, 3*rawBlock + 7, 700_000}
	for _, random := range []bool{false, true} {
		var all [][]byte
		for _, n := range sizes {
			if n > 0 || random { // the digest of nothing is there once
				all = append(all, contentOf(n, random))
			}
		}
		for _, limit := range []int64{10_240, maxFrame} {
			both(t, func(t *testing.T, file string) {
				blobs := write(t, file, limit, func(r io.Reader) io.Reader { return r }, all...)
				for _, d := range blobs {
					want(t, d.Digest.String(), read(file, d), "")
				}
				again := filepath.Join(t.TempDir(), filepath.Base(file))
				write(t, again, limit, iotest.HalfReader, all...)
				one, err := os.ReadFile(file)
				if err != nil {
					t.Fatal(err)
				}
				two, err := os.ReadFile(again)
				if err != nil || !bytes.Equal(one, two) {
					t.Errorf("%s: %v, or other bytes", file, err)
				}
				b, err := open(file)
				if err != nil {
					t.Fatal(err)
				}
				defer b.Close()
				if !isZstd(file) {
					return
				}
				z, err := zstd.NewReader(bytes.NewReader(one))
				if err != nil {
					t.Fatal(err)
				}
				defer z.Close()
				plain, err := io.ReadAll(z)
				last := b.contents.members[len(b.contents.members)-1]
				if err != nil || int64(len(plain)) < last.offset {
					t.Errorf("%v, %d bytes", err, len(plain))
				}
				for i, m := range b.contents.members[1 : len(all)+1] {
					if !bytes.Equal(plain[m.offset+block:m.offset+block+m.size], all[i]) {
						t.Errorf("%s is not at its offset of the tar", m.name)
					}
					if length, err := m.length(); err != nil || random && m.size > 4*sample && limit == maxFrame && m.storedLength != rawLength(length) {
						t.Errorf("%s: %v, %d bytes stored for %d", m.name, err, m.storedLength, length)
					}
				}
			})
		}
	}
}

// A member that cannot be written completely leaves nothing, and can be written again.
func TestAddFails(t *testing.T) {
	both(t, func(t *testing.T, file string) {
		w, err := Create(file, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer w.Close()
		content := contentOf(300_000, true)
		_, d := blobOf(t, content)
		fault := errors.New("fault")
		before := w.out.size()
		for _, r := range []io.Reader{
			io.MultiReader(bytes.NewReader(content[:200_000]), iotest.ErrReader(fault)), bytes.NewReader(content[:200_000]),
			bytes.NewReader(append(bytes.Clone(content), 0)), bytes.NewReader(nil),
		} {
			if err := w.Add(d, r); err == nil {
				t.Error("no error")
			}
			if w.out.size() != before {
				t.Errorf("%d bytes are left", w.out.size()-before)
			}
		}
		p := Plan{Blobs: []v1.Descriptor{d}, Index: []byte(emptyIndex)}
		if err := w.Finish(t.Context(), p); err == nil {
			t.Error("finished without its blob")
		}
		if err := errors.Join(w.Add(d, bytes.NewReader(content)), w.Finish(t.Context(), p)); err != nil {
			t.Error(err)
		}
		want(t, file, read(file, d), "")
	})
}

// One process at a time writes, and nothing but a regular file is taken for FILE.partial.
func TestPartialIsOurs(t *testing.T) {
	file := filepath.Join(t.TempDir(), "x.tar")
	w, err := Create(file, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = Create(file, 0)
	want(t, "a second process", err, "another process writes this bundle")
	_, err = Create(file, 1<<20)
	want(t, "another split", err, "is from a run with another --split; remove it, or use the same")
	if err := errors.Join(w.Close(), os.Remove(file+partial)); err != nil {
		t.Fatal(err)
	}
	victim := filepath.Join(t.TempDir(), "thesis")
	if err := errors.Join(os.WriteFile(victim, []byte("thesis"), 0o600), os.Symlink(victim, file+partial)); err != nil {
		t.Fatal(err)
	}
	_, err = Create(file, 0)
	want(t, "a symlink", err, file+partial)
	if got, err := os.ReadFile(victim); err != nil || string(got) != "thesis" {
		t.Errorf("%v %q", err, got)
	}
	_, err = Create(filepath.Join(t.TempDir(), "no", "x.tar"), 0)
	want(t, "a directory that does not exist", err, "no such file")
}
