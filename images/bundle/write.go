package bundle

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/klauspost/compress/zstd"

	"github.com/berth-registry/berth/images/layout"
	"github.com/berth-registry/berth/images/manifest"
	"github.com/berth-registry/berth/images/transfer"
)

// Writer writes a bundle. What is written is in FILE.partial until [Writer.Finish]; after a kill,
// a new Writer goes on there. Its methods must be called by one goroutine.
type Writer struct {
	out      *output
	zstd     bool
	contents contents
	frames   []frame
	maxFrame int64 // bytes of the tar
	at, tar  int64 // where the next member begins, in the file and in the tar

	encoder  *zstd.Encoder
	decoders decoders
	begin    *bufio.Reader
	buffer   []byte
}

// Create begins the bundle name, or goes on with it. split is the size of each part in bytes, 0 for
// one file. Call Close at the end.
func Create(name string, split int64) (*Writer, error) {
	out, err := openOutput(name, split)
	if err != nil {
		return nil, err
	}
	w := &Writer{
		out: out, zstd: isZstd(name), maxFrame: maxFrame,
		begin: bufio.NewReaderSize(nil, sample), buffer: make([]byte, blockHead+rawBlock),
	}
	if w.encoder, err = newEncoder(); err == nil {
		err = w.addBytes(context.Background(), layout.MarkerFile, []byte(layout.MarkerText))
	}
	if err != nil {
		return nil, errors.Join(err, w.Close())
	}
	return w, nil
}

// Take goes on after the next blob, if an earlier run has written it here completely. Otherwise
// everything from here on is removed.
func (w *Writer) Take(ctx context.Context, d v1.Descriptor) (bool, error) {
	return w.take(ctx, layout.BlobPath(d.Digest), d)
}

func (w *Writer) take(ctx context.Context, name string, d v1.Descriptor) (bool, error) {
	if w.out.size() <= w.at {
		return false, nil
	}
	m := member{name: name, size: d.Size, offset: w.tar, stored: w.at}
	frames, err := w.verify(ctx, &m, d)
	if err == nil {
		return true, w.done(m, frames)
	}
	if ctx.Err() != nil {
		return false, context.Cause(ctx)
	}
	return false, w.out.truncate(w.at)
}

// verify reads a member that is expected at the next place, and completes m.
func (w *Writer) verify(ctx context.Context, m *member, d v1.Descriptor) ([]frame, error) {
	length, err := m.length()
	if err != nil {
		return nil, err
	}
	m.storedLength = length
	var frames []frame
	if w.zstd {
		m.storedLength = 0
		for left := length; left > 0; {
			n := min(left, w.maxFrame)
			stored, err := frameLength(w.out, m.stored+m.storedLength, n)
			if err != nil {
				return nil, err
			}
			frames = append(frames, frame{uint32(stored), uint32(n)})
			m.storedLength += stored
			left -= n
		}
	}
	if m.stored+m.storedLength > w.out.size() {
		return nil, io.ErrUnexpectedEOF
	}
	c, err := openContent(w.out, w.zstd, &w.decoders, *m, m.stored, m.storedLength)
	if err != nil {
		return nil, err
	}
	c.only = true
	body, err := manifest.Verified(c, d)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	if _, err := io.Copy(io.Discard, transfer.UntilEnd(ctx, body)); err != nil {
		return nil, err
	}
	m.crc = c.stored.crc
	return frames, nil
}

// done records a member that is at the next place.
func (w *Writer) done(m member, frames []frame) error {
	length, err := m.length()
	w.at, w.tar = w.at+m.storedLength, w.tar+length
	w.contents.members = append(w.contents.members, m)
	w.frames = append(w.frames, frames...)
	return err
}

// Add appends a blob with content that is verified while it is read. After an error nothing of it
// is left, and Add may be called again.
func (w *Writer) Add(d v1.Descriptor, content io.Reader) error {
	return w.add(layout.BlobPath(d.Digest), d.Size, content)
}

// addBytes appends or takes over a member.
func (w *Writer) addBytes(ctx context.Context, name string, raw []byte) error {
	d, err := digestOf(raw)
	if err != nil {
		return err
	}
	if there, err := w.take(ctx, name, d); err != nil || there {
		return err
	}
	return w.add(name, d.Size, bytes.NewReader(raw))
}

func (w *Writer) add(name string, size int64, r io.Reader) error {
	m := member{name: name, size: size, offset: w.tar, stored: w.at}
	frames, err := w.write(&m, r)
	if err != nil {
		return errors.Join(err, w.out.truncate(w.at))
	}
	return w.done(m, frames)
}

// write writes a member, and completes m.
func (w *Writer) write(m *member, r io.Reader) ([]frame, error) {
	head, err := header(m.name, m.size)
	if err != nil {
		return nil, err
	}
	plain := io.MultiReader(bytes.NewReader(head), io.LimitReader(r, m.size), io.LimitReader(zeros{}, padding(m.size)))
	left, err := m.length()
	if err != nil {
		return nil, err
	}
	sum := &summing{w: w.out}
	var frames []frame
	if w.zstd {
		frames, err = w.writeFrames(sum, plain, left)
	} else {
		_, err = io.CopyN(sum, plain, left)
	}
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return nil, err
	}
	// A reader that verifies does so at its end.
	if _, err := io.ReadFull(r, make([]byte, 1)); err == nil {
		return nil, errors.New("the content is longer than its size")
	} else if err != io.EOF {
		return nil, err
	}
	m.crc, m.storedLength = sum.crc, sum.n
	return frames, nil
}

// writeFrames writes n bytes in frames.
func (w *Writer) writeFrames(sum *summing, plain io.Reader, left int64) ([]frame, error) {
	w.begin.Reset(plain)
	begin, err := w.begin.Peek(int(min(left, sample)))
	if err != nil {
		return nil, err
	}
	compress := shrinks(w.encoder, begin)
	var frames []frame
	for left > 0 {
		n, before := min(left, w.maxFrame), sum.n
		if compress {
			err = compressFrame(sum, w.begin, n, w.encoder)
		} else {
			err = storeFrame(sum, w.begin, n, w.buffer)
		}
		if err != nil {
			return nil, err
		}
		frames = append(frames, frame{uint32(sum.n - before), uint32(n)})
		left -= n
	}
	return frames, nil
}

// summing computes the CRC-32C of what is written, and counts it.
type summing struct {
	w   io.Writer
	crc uint32
	n   int64
}

func (s *summing) Write(p []byte) (int, error) {
	n, err := s.w.Write(p)
	s.crc = crc32.Update(s.crc, castagnoli, p[:n])
	s.n += int64(n)
	return n, err
}

// Finish writes the rest of the bundle, and gives it its name. p.Blobs are those that were added.
func (w *Writer) Finish(ctx context.Context, p Plan) error {
	if len(p.Blobs) != len(w.contents.members)-1 {
		return fmt.Errorf("%s: %d of %d blobs are written", w.out.name, len(w.contents.members)-1, len(p.Blobs))
	}
	if err := w.addBytes(ctx, layout.IndexFile, p.Index); err != nil {
		return err
	}
	w.contents.base, w.contents.needed = p.Base, p.Needed
	raw, err := w.contents.render(w.tar)
	if err != nil {
		return fmt.Errorf("%s: %w", w.out.name, err)
	}
	head, err := header(contentsName, int64(len(raw)))
	if err != nil {
		return err
	}
	if err := w.out.truncate(w.at); err != nil {
		return err
	}
	tail := bytes.Join([][]byte{head, raw, make([]byte, trailer)}, nil)
	if !w.zstd {
		_, err = w.out.Write(tail)
	} else if err = storeFrame(w.out, bytes.NewReader(tail), int64(len(tail)), w.buffer); err == nil {
		frames := append(w.frames, frame{uint32(rawLength(int64(len(tail)))), uint32(len(tail))})
		_, err = w.out.Write(seekTable(frames))
	}
	if err != nil {
		return err
	}
	return w.out.commit()
}

// Close closes the files. A bundle that is not finished stays for the next run.
func (w *Writer) Close() error {
	w.decoders.close()
	var err error
	if w.encoder != nil {
		err = w.encoder.Close()
	}
	return errors.Join(err, w.out.Close())
}
