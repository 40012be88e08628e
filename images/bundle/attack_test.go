package bundle

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/klauspost/compress/zstd"

	"github.com/berth-registry/berth/images/layout"
	"github.com/berth-registry/berth/images/manifest"
)

const emptyIndex = `{"schemaVersion":2,"manifests":[]}`

// blobOf is a member with content under its digest.
func blobOf(t testing.TB, content []byte) (forged, v1.Descriptor) {
	t.Helper()
	d, err := digestOf(content)
	if err != nil {
		t.Fatal(err)
	}
	return forged{name: layout.BlobPath(d.Digest), content: content}, d
}

// read opens a bundle and reads a blob of it.
func read(file string, d v1.Descriptor) error {
	l, err := Open(file)
	if err != nil {
		return err
	}
	body, err := l.Repository("a.b/c").Blob(context.Background(), d)
	if err == nil {
		_, err = io.Copy(io.Discard, body)
		err = errors.Join(err, body.Close())
	}
	return errors.Join(err, l.Close())
}

func both(t *testing.T, f func(t *testing.T, file string)) {
	t.Helper()
	for _, name := range []string{"x.tar", "x.tar.zst"} {
		f(t, filepath.Join(t.TempDir(), name))
	}
}

func want(t *testing.T, what string, err error, part string) {
	t.Helper()
	if part == "" && err != nil || part != "" && (err == nil || !strings.Contains(err.Error(), part)) {
		t.Errorf("%s: %v, want %q", what, err, part)
	}
}

// A bundle with anything but the regular files of a layout is refused: when it is opened if its
// table of contents says so, and otherwise when the member is read.
func TestForgedMembers(t *testing.T) {
	both(t, func(t *testing.T, file string) {
		blob, d := blobOf(t, []byte("content of a layer"))
		forge(t, file, good(emptyIndex, blob))
		want(t, "control", read(file, d), "")
		for name, what := range map[string]string{
			"/etc/passwd":                          "is not the name of a blob",
			"../../etc/passwd":                     "is not the name of a blob",
			"blobs/sha256/../../x":                 "is not the name of a blob",
			"blobs/sha256/" + d.Digest.Hex[:10]:    "is not the name of a blob",
			"blobs/sha256//" + d.Digest.Hex:        "is not the name of a blob",
			"thesis.txt":                           "is not the name of a blob",
			layout.BlobPath(d.Digest):              "twice",
			layout.IndexFile:                       "is not the name of a blob",
			"blobs/md5/" + strings.Repeat("0", 32): "is not the name of a blob",
		} {
			forge(t, file, good(emptyIndex, blob, forged{name: name, content: []byte("x")}))
			want(t, name, read(file, d), what)
		}
		for kind, h := range map[string]tar.Header{
			"a symlink":           {Typeflag: tar.TypeSymlink, Name: blob.name, Linkname: "/etc/passwd"},
			"a hard link":         {Typeflag: tar.TypeLink, Name: blob.name, Linkname: "/etc/passwd"},
			"a device":            {Typeflag: tar.TypeChar, Name: blob.name, Devmajor: 1, Devminor: 3},
			"a fifo":              {Typeflag: tar.TypeFifo, Name: blob.name},
			"a directory":         {Typeflag: tar.TypeDir, Name: blob.name + "/"},
			"a file with other":   {Typeflag: tar.TypeReg, Name: blob.name, Size: int64(len(blob.content)), Mode: 0o777},
			`"/etc/passwd"`:       {Typeflag: tar.TypeReg, Name: "/etc/passwd", Size: int64(len(blob.content)), Mode: 0o644},
			`"../../etc/cron.d"`:  {Typeflag: tar.TypeReg, Name: "../../etc/cron.d", Size: int64(len(blob.content)), Mode: 0o644},
			"is damaged; copy it": {},
		} {
			evil := blob
			evil.header = &h
			if h.Name == "" { // no header at all
				evil.header = nil
				evil.frame = make([]byte, 2*block)
				if isZstd(file) {
					var b bytes.Buffer
					if err := storeFrame(&b, bytes.NewReader(evil.frame), 2*block, make([]byte, blockHead+rawBlock)); err != nil {
						t.Fatal(err)
					}
					evil.frame = b.Bytes()
				}
				kind = "its header in the tar is damaged"
			} else if h.Typeflag != tar.TypeReg {
				evil.size, evil.content = block, nil
				evil.content = make([]byte, block) // so that the lengths are right
				d.Size = block
			}
			forge(t, file, good(emptyIndex, evil))
			err := read(file, d)
			want(t, kind, err, kind)
			if !manifest.IsDamaged(err) {
				t.Errorf("%s: %v is not about damage", kind, err)
			}
			d.Size = int64(len(blob.content))
		}
		// Content that is not the one of its digest, with a right checksum.
		other := blob
		other.content = []byte("content of a layeR")
		forge(t, file, good(emptyIndex, other))
		want(t, "other content", read(file, d), "does not match its digest")
	})
}

// What is cut off, appended or no bundle at all is refused, with a remedy.
func TestForeignFiles(t *testing.T) {
	both(t, func(t *testing.T, file string) {
		blob, d := blobOf(t, bytes.Repeat([]byte("content "), 5000))
		forge(t, file, good(emptyIndex, blob))
		whole, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		put := func(raw []byte) {
			t.Helper()
			if err := os.WriteFile(file, raw, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		for cut := 1; cut < len(whole); cut += 1 + cut/3 {
			put(whole[:len(whole)-cut])
			err := read(file, d)
			if err == nil || !strings.Contains(err.Error(), "copy the file again") && !strings.Contains(err.Error(), "is not a bundle") {
				t.Errorf("%s without its last %d bytes: %v", file, cut, err)
			}
			if len(whole)-cut > 3000 {
				want(t, fmt.Sprint(cut), err, "copy the file again")
			}
		}
		for name, raw := range map[string][]byte{
			"twice":            bytes.Repeat(whole, 2),
			"zeros at the end": append(bytes.Clone(whole), make([]byte, 1024)...),
			"zeros before":     append(make([]byte, 1024), whole...),
			"a line before":    append([]byte("x\n"), whole...),
		} {
			put(raw)
			if err := read(file, d); err == nil {
				t.Errorf("%s: %s is taken", file, name)
			}
		}
		var foreign bytes.Buffer
		w := tar.NewWriter(&foreign)
		for _, h := range []tar.Header{
			{Name: "oci-layout", Size: 2, Typeflag: tar.TypeReg}, {Name: "/etc/x", Size: 2, Typeflag: tar.TypeReg},
			{Name: "l", Linkname: "../..", Typeflag: tar.TypeSymlink},
		} {
			_, writeErr := 0, w.WriteHeader(&h)
			if h.Size > 0 && writeErr == nil {
				_, writeErr = w.Write([]byte("{}"))
			}
			if writeErr != nil {
				t.Fatal(writeErr)
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		raw := foreign.Bytes()
		if isZstd(file) {
			e, err := zstd.NewWriter(nil)
			if err != nil {
				t.Fatal(err)
			}
			raw = e.EncodeAll(raw, nil)
		}
		for _, raw := range [][]byte{raw, {}, []byte("x"), make([]byte, 100_000)} {
			put(raw)
			want(t, "foreign", read(file, d), "is not a bundle of berth images copy")
		}
		if err := errors.Join(os.Remove(file), os.Mkdir(file, 0o700)); err != nil {
			t.Fatal(err)
		}
		want(t, "a directory", read(file, d), "is not a regular file")
	})
}

// Declared sizes bound what is read and what is allocated.
func TestBombs(t *testing.T) {
	const bomb = 256 << 20
	e, err := newEncoder()
	if err != nil {
		t.Fatal(err)
	}
	var packed bytes.Buffer
	if err := compressFrame(&packed, zeros{}, bomb, e); err != nil {
		t.Fatal(err)
	}
	large, err := zstd.NewWriter(nil, zstd.WithWindowSize(zstd.MaxWindowSize), zstd.WithEncoderConcurrency(1), zstd.WithLowerEncoderMem(true))
	if err != nil {
		t.Fatal(err)
	}
	blob, d := blobOf(t, []byte("content of a layer"))
	var wide bytes.Buffer
	if err := compressFrame(&wide, zeros{}, 2*zstd.MaxWindowSize/64, large); err != nil {
		t.Fatal(err)
	}
	huge := d
	huge.Size = bomb
	file := filepath.Join(t.TempDir(), "x.tar.zst")
	for name, c := range map[string]struct {
		member forged
		desc   v1.Descriptor
		want   string
	}{
		"a frame that grows":       {forged{name: blob.name, content: blob.content, frame: packed.Bytes()}, d, "its header in the tar is damaged"},
		"a frame with much memory": {forged{name: blob.name, content: blob.content, frame: wide.Bytes()}, d, "zstd: "},
		"a size that is too large": {forged{name: blob.name, content: blob.content, size: bomb}, huge, "a file with other fields"},
	} {
		forge(t, file, good(emptyIndex, c.member))
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		err := read(file, c.desc)
		runtime.ReadMemStats(&after)
		want(t, name, err, c.want)
		if n := after.TotalAlloc - before.TotalAlloc; n > 16<<20 {
			t.Errorf("%s: %d bytes were allocated", name, n)
		}
	}
	// A seek table, a table of contents and an index that say to be larger than all that there is.
	both(t, func(t *testing.T, file string) {
		forge(t, file, good(emptyIndex+strings.Repeat(" ", manifest.MaxSize)))
		want(t, "a large index", read(file, d), "is larger than the 32768 KiB")
	})
	raw := seekTable(make([]frame, 3))
	copy(raw[len(raw)-seekFoot:], []byte{0xff, 0xff, 0xff, 0xff})
	_, err = readSeekTable(bytes.NewReader(raw), int64(len(raw)))
	want(t, "a seek table", err, "which is not possible")
	for _, footer := range []string{"contents 0 34359738368 x\n", "contents -1 512 x\n", "contents 9223372036854775807 512 x\n", "contents 0 513 x\n"} {
		if _, _, err := parseFooter([]byte(footer)); err == nil {
			t.Errorf("%q is taken", footer)
		}
	}
}

// Any table of contents is read without a crash, and only the bytes that render writes are taken.
func FuzzContents(f *testing.F) {
	c := contents{base: "monday.tar", members: []member{{name: layout.MarkerFile, size: 30}, {name: layout.IndexFile, size: 7, offset: 1024}}}
	raw, err := c.render(2048)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(raw, int64(2048))
	f.Add(bytes.Replace(raw, []byte("index.json"), []byte("../../a.b"), 1), int64(2048))
	f.Add([]byte(contentsHead+"member 1 2 3 x\nneeded 1 a b\n"), int64(0))
	f.Fuzz(func(t *testing.T, raw []byte, offset int64) {
		if len(raw) < block {
			return
		}
		got, err := parse(raw, offset)
		if err != nil {
			return
		}
		again, err := got.render(offset)
		if err != nil || !bytes.Equal(again, raw) {
			t.Errorf("%v", err)
		}
	})
}

// Any bytes are read as a seek table without a crash.
func FuzzSeekTable(f *testing.F) {
	f.Add(append(make([]byte, 12), seekTable([]frame{{12, 512}})...))
	f.Fuzz(func(t *testing.T, raw []byte) {
		frames, err := readSeekTable(bytes.NewReader(raw), int64(len(raw)))
		if err == nil && !bytes.HasSuffix(raw, seekTable(frames)) {
			t.Error("another table was taken")
		}
	})
}
