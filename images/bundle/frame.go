package bundle

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/klauspost/compress/zstd"
)

// https://github.com/facebook/zstd/blob/dev/doc/zstd_compression_format.md
const (
	// maxFrame limits a frame, in bytes of the tar: sizes in a seek table have 32 bits, and zstd's
	// own reader takes 1 GiB.
	maxFrame = 1 << 30
	// window is the memory that a decoder of a compressed frame needs, in bytes.
	window = 1 << 20
	// rawBlock is the size of a block that is stored as it is. rawHead is the length of the header
	// of such a frame, and blockHead that of a block.
	rawBlock  = 128 << 10
	rawHead   = 10
	blockHead = 3
	// sample is the beginning of a member that decides whether it is compressed, in bytes.
	sample = 64 << 10
)

// rawLength is the length of a frame that stores n bytes.
func rawLength(n int64) int64 { return rawHead + n + (n+rawBlock-1)/rawBlock*blockHead }

// rawFrameHead is the header of a frame that stores n bytes: no checksum, a size in 4 bytes, a
// window of one block.
func rawFrameHead(n int64) []byte {
	return binary.LittleEndian.AppendUint32([]byte{0x28, 0xb5, 0x2f, 0xfd, 0x80, 7 << 3}, uint32(n))
}

func rawBlockHead(n int64, last bool) []byte {
	h := uint32(n) << 3
	if last {
		h |= 1
	}
	return []byte{byte(h), byte(h >> 8), byte(h >> 16)}
}

// storeFrame writes n bytes of r as a frame of raw blocks.
func storeFrame(w io.Writer, r io.Reader, n int64, buffer []byte) error {
	if _, err := w.Write(rawFrameHead(n)); err != nil {
		return err
	}
	for n > 0 {
		size := min(n, rawBlock)
		n -= size
		copy(buffer, rawBlockHead(size, n == 0))
		if _, err := io.ReadFull(r, buffer[blockHead:blockHead+size]); err != nil {
			return err
		}
		if _, err := w.Write(buffer[:blockHead+size]); err != nil {
			return err
		}
	}
	return nil
}

func newEncoder() (*zstd.Encoder, error) {
	// One goroutine and one window, so that the bytes depend on the content alone.
	return zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedFastest),
		zstd.WithWindowSize(window), zstd.WithLowerEncoderMem(true))
}

// shrinks reports whether a member with this beginning is compressed.
func shrinks(e *zstd.Encoder, begin []byte) bool {
	return len(e.EncodeAll(begin, nil)) <= len(begin)-len(begin)/8
}

// compressFrame writes n bytes of r as a compressed frame.
func compressFrame(w io.Writer, r io.Reader, n int64, e *zstd.Encoder) error {
	e.ResetContentSize(w, n)
	if _, err := io.CopyN(e, r, n); err != nil {
		return errors.Join(err, e.Close())
	}
	return e.Close()
}

// frameLength returns the length of the frame at an offset, if it holds n bytes of the tar.
func frameLength(r io.ReaderAt, offset, n int64) (int64, error) {
	var head [zstd.HeaderMaxSize]byte
	got, err := r.ReadAt(head[:], offset)
	if err != nil && err != io.EOF {
		return 0, err
	}
	var h zstd.Header
	if err := h.Decode(head[:got]); err != nil {
		return 0, err
	}
	if h.Skippable || !h.HasFCS || h.FrameContentSize != uint64(n) || h.WindowSize > window {
		return 0, errors.New("is another frame")
	}
	at := offset + int64(h.HeaderSize)
	for last := false; !last; {
		var b [blockHead]byte
		if _, err := r.ReadAt(b[:], at); err != nil {
			return 0, io.ErrUnexpectedEOF
		}
		value := uint32(b[0]) | uint32(b[1])<<8 | uint32(b[2])<<16
		last = value&1 != 0
		size := int64(value >> 3)
		if value>>1&3 == 1 {
			size = 1 // one byte, repeated
		}
		at += blockHead + size
	}
	if h.HasCheckSum {
		at += 4
	}
	return at - offset, nil
}

// decoders are kept for reuse.
type decoders struct {
	mu   sync.Mutex
	free []*zstd.Decoder
}

// get returns a decoder of r.
func (d *decoders) get(r io.Reader) (*zstd.Decoder, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if n := len(d.free); n > 0 {
		z := d.free[n-1]
		d.free = d.free[:n-1]
		return z, z.Reset(r)
	}
	return zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(window))
}

func (d *decoders) put(z *zstd.Decoder) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if z.Reset(nil) == nil {
		d.free = append(d.free, z)
	}
}

// close frees all.
func (d *decoders) close() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, z := range d.free {
		z.Close()
	}
	d.free = nil
}

// frame is an entry of the seek table: lengths in the file and in the tar.
type frame struct{ stored, plain uint32 }

// https://github.com/facebook/zstd/blob/dev/contrib/seekable_format/zstd_seekable_compression_format.md
const (
	skippableMagic = 0x184d2a5e
	seekMagic      = 0x8f92eab1
	seekHead       = 8 // bytes before the entries
	seekEntry      = 8
	seekFoot       = 9 // bytes after them
)

// seekTable is a skippable frame that lists all others.
func seekTable(frames []frame) []byte {
	le := binary.LittleEndian
	b := make([]byte, 0, seekHead+seekEntry*len(frames)+seekFoot)
	b = le.AppendUint32(b, skippableMagic)
	b = le.AppendUint32(b, uint32(seekEntry*len(frames)+seekFoot))
	for _, f := range frames {
		b = le.AppendUint32(le.AppendUint32(b, f.stored), f.plain)
	}
	b = le.AppendUint32(b, uint32(len(frames)))
	return le.AppendUint32(append(b, 0), seekMagic)
}

// errNoTable says that a file does not end with a seek table.
var errNoTable = errors.New("has no seek table at its end")

// readSeekTable reads the table at the end of a file. The lengths in it add up to the file.
func readSeekTable(r io.ReaderAt, size int64) ([]frame, error) {
	var foot [seekFoot]byte
	if _, err := r.ReadAt(foot[:], size-seekFoot); err != nil || size < seekFoot {
		return nil, errNoTable
	}
	n := int64(binary.LittleEndian.Uint32(foot[:]))
	if binary.LittleEndian.Uint32(foot[5:]) != seekMagic {
		return nil, errNoTable
	}
	length := seekHead + seekEntry*n + seekFoot
	if length > size || length > maxContents {
		return nil, fmt.Errorf("its seek table has %d frames, which is not possible", n)
	}
	raw := make([]byte, length)
	if _, err := r.ReadAt(raw, size-length); err != nil {
		return nil, err
	}
	frames := make([]frame, n)
	total := length
	for i := range frames {
		e := raw[seekHead+seekEntry*i:]
		frames[i] = frame{binary.LittleEndian.Uint32(e), binary.LittleEndian.Uint32(e[4:])}
		total += int64(frames[i].stored)
	}
	switch {
	case !bytes.Equal(raw, seekTable(frames)):
		return nil, errors.New("its seek table is damaged")
	case total != size:
		return nil, fmt.Errorf("is %d bytes long, and its seek table says %d", size, total)
	}
	return frames, nil
}
