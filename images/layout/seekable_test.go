package layout

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"testing"

	"github.com/berth-registry/berth/images/manifest"
)

// streams is a storage with one file, which gives streams only.
type streams struct {
	content      []byte
	opened, open int
}

func (s *streams) Stat(string) (int64, error) { return int64(len(s.content)), nil }

func (s *streams) Open(string) (io.ReadCloser, int64, error) {
	s.opened++
	s.open++
	return &stream{bytes.NewBuffer(bytes.Clone(s.content)), s}, int64(len(s.content)), nil
}

func (s *streams) Read(string, int64) ([]byte, error) { return nil, errors.New("unused") }
func (s *streams) Fault(_ string, err error) error    { return err }
func (s *streams) Damaged(_ string, err error) *manifest.DamagedError {
	return &manifest.DamagedError{Err: err}
}
func (s *streams) Close() error { return nil }

type stream struct {
	*bytes.Buffer
	of *streams
}

func (s *stream) Close() error {
	s.of.open--
	return nil
}

// TestSeekable compares random reads and seeks with those of a reader in memory.
func TestSeekable(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 1))
	files := &streams{content: make([]byte, 5000)}
	for i := range files.content {
		files.content[i] = byte(rnd.IntN(256))
	}
	body, size, err := files.Open("")
	if err != nil {
		t.Fatal(err)
	}
	got, want := &seekable{files: files, size: size, body: body}, bytes.NewReader(files.content)
	for range 500 {
		whence := rnd.IntN(3)
		offset := int64(rnd.IntN(6000) - 500)
		if whence == io.SeekEnd {
			offset = -offset
		}
		a, errA := got.Seek(offset, whence)
		b, errB := want.Seek(offset, whence)
		if a != b || (errA == nil) != (errB == nil) {
			t.Fatalf("seek %d, %d: %d %v, want %d %v", offset, whence, a, errA, b, errB)
		}
		p, q := make([]byte, 1+rnd.IntN(800)), make([]byte, 800)
		n, errA := io.ReadFull(got, p)
		m, errB := io.ReadFull(want, q[:len(p)])
		if n != m || !bytes.Equal(p[:n], q[:n]) || !errors.Is(errA, errB) {
			t.Fatalf("read %d bytes: %d %v, want %d %v", len(p), n, errA, m, errB)
		}
	}
	if err := got.Close(); err != nil || files.open != 0 {
		t.Errorf("%d streams are open: %v", files.open, err)
	}
	if files.opened < 10 {
		t.Errorf("it was opened %d times: it never went back", files.opened)
	}
}
