package bundle

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/klauspost/compress/zstd"

	"github.com/berth-registry/berth/images/layout"
	"github.com/berth-registry/berth/images/manifest"
	"github.com/berth-registry/berth/images/reference"
)

// Bundle is an open bundle, the storage of a layout. Its methods may be called concurrently.
type Bundle struct {
	name     string
	volume   *volume
	zstd     bool
	contents contents
	byName   map[string]*member
	needed   map[string]*manifest.NeededError
	decoders decoders
}

// Open opens a bundle as a layout: FILE.tar, FILE.tar.zst, or the parts of one, of which the name is
// without the number or that of the first. It reads the table of contents and index.json; blobs are
// verified when they are read.
func Open(name string) (*layout.Layout, error) {
	b, err := open(name)
	if err != nil {
		return nil, err
	}
	return layout.New(b)
}

// OpenLocation opens a directory or a bundle.
func OpenLocation(at reference.Location) (*layout.Layout, error) {
	if at.Bundle() != "" {
		return Open(at.Bundle())
	}
	return layout.Open(at.Layout())
}

func open(name string) (*Bundle, error) {
	name, files, err := find(name)
	if err != nil {
		return nil, err
	}
	v, err := openVolume(files)
	if err != nil {
		return nil, err
	}
	b := &Bundle{name: name, volume: v, zstd: isZstd(name), byName: map[string]*member{}, needed: map[string]*manifest.NeededError{}}
	if err := b.readContents(); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", name, b.explain(err, len(files))), v.Close())
	}
	for i := range b.contents.members {
		b.byName[b.contents.members[i].name] = &b.contents.members[i]
	}
	for _, n := range b.contents.needed {
		b.needed[layout.BlobPath(n.Digest)] = &manifest.NeededError{Bundle: name, Base: b.contents.base, Repository: n.Repository}
	}
	return b, nil
}

// explain adds a remedy to an error about the whole file.
func (b *Bundle) explain(err error, parts int) error {
	if !errors.Is(err, errNoContents) && !errors.Is(err, errNoTable) {
		return fmt.Errorf("%w; copy the file again", err)
	}
	// Does it begin as a bundle does?
	first := member{name: layout.MarkerFile, size: int64(len(layout.MarkerText))}
	length, lengthErr := first.length()
	stored := length
	if b.zstd {
		stored, lengthErr = frameLength(b.volume, 0, length)
	}
	if lengthErr == nil {
		c, openErr := b.open(first, 0, stored)
		if openErr == nil {
			c.only = true
			_, openErr = io.ReadAll(c)
			c.Close()
		}
		if openErr == nil {
			if parts > 1 {
				return fmt.Errorf("%w: it is cut off, or parts after the %dth are missing; copy all of its parts again", err, parts)
			}
			return fmt.Errorf("%w: it is cut off; copy the file again", err)
		}
	}
	return fmt.Errorf("is not a bundle of berth images copy: it %w; unpack it, and name the directory if that is an OCI layout", err)
}

// readContents reads the table of contents, and finds the place of each member.
func (b *Bundle) readContents() error {
	size := b.volume.size()
	if !b.zstd {
		offset, raw, err := b.readTail(size, func(offset, n int64) ([]byte, error) {
			p := make([]byte, n)
			_, err := b.volume.ReadAt(p, offset)
			return p, err
		})
		if err != nil {
			return err
		}
		if b.contents, err = parse(raw, offset); err != nil {
			return err
		}
		for i := range b.contents.members {
			m := &b.contents.members[i]
			m.stored = m.offset
			if m.storedLength, err = m.length(); err != nil {
				return err
			}
		}
		return nil
	}
	frames, err := readSeekTable(b.volume, size)
	if err != nil {
		return err
	}
	return b.readFrames(frames)
}

// readTail reads the member with the table of contents at the end of a tar of some length.
func (b *Bundle) readTail(size int64, read func(offset, n int64) ([]byte, error)) (offset int64, raw []byte, err error) {
	if size < trailer+2*block {
		return 0, nil, errNoContents
	}
	last, err := read(size-trailer-block, block)
	if err != nil {
		return 0, nil, err
	}
	offset, length, err := parseFooter(last)
	if err != nil {
		return 0, nil, err
	}
	head, err := header(contentsName, length+block)
	if err != nil {
		return 0, nil, err
	}
	if want := offset + int64(len(head)) + length + block + trailer; want != size {
		return 0, nil, fmt.Errorf("has a tar of %d bytes, and its table of contents says %d", size, want)
	}
	if raw, err = read(offset, size-offset); err != nil {
		return 0, nil, err
	}
	raw, end := raw[:int64(len(raw))-trailer], raw[int64(len(raw))-trailer:]
	if !bytes.Equal(raw[:len(head)], head) || !bytes.Equal(end, make([]byte, trailer)) {
		return 0, nil, errors.New("its table of contents is damaged")
	}
	return offset, raw[len(head):], nil
}

// readFrames reads the table of contents from the last frame, and assigns the others to members.
func (b *Bundle) readFrames(frames []frame) error {
	if len(frames) < 2 {
		return errNoContents
	}
	var stored, plain int64
	for _, f := range frames[:len(frames)-1] {
		stored, plain = stored+int64(f.stored), plain+int64(f.plain)
	}
	last := frames[len(frames)-1]
	n := int64(last.plain)
	if n > maxContents+2*trailer || int64(last.stored) != rawLength(n) {
		return errNoContents
	}
	tail, err := b.rawFrame(stored, n)
	if err != nil {
		return err
	}
	offset, raw, err := b.readTail(plain+n, func(offset, n int64) ([]byte, error) {
		if offset < plain {
			return nil, errNoContents
		}
		return tail[offset-plain : offset-plain+n], nil
	})
	if err != nil {
		return err
	}
	if b.contents, err = parse(raw, offset); err != nil {
		return err
	}
	rest := frames[:len(frames)-1]
	stored = 0
	for i := range b.contents.members {
		m := &b.contents.members[i]
		left, err := m.length()
		if err != nil {
			return err
		}
		m.stored = stored
		for ; left > 0; rest = rest[1:] {
			if len(rest) == 0 || rest[0].plain == 0 || int64(rest[0].plain) > left {
				return fmt.Errorf("its seek table does not fit its table of contents at %s", m.name)
			}
			left -= int64(rest[0].plain)
			m.storedLength += int64(rest[0].stored)
		}
		stored += m.storedLength
	}
	if len(rest) > 0 {
		return errors.New("its seek table has more frames than its table of contents")
	}
	return nil
}

// rawFrame reads a frame that stores n bytes. Every byte around them is known.
func (b *Bundle) rawFrame(offset, n int64) ([]byte, error) {
	stored := make([]byte, rawLength(n))
	if _, err := b.volume.ReadAt(stored, offset); err != nil {
		return nil, err
	}
	plain := make([]byte, 0, n)
	at := stored[rawHead:]
	for left := n; left > 0; {
		size := min(left, rawBlock)
		left -= size
		plain = append(plain, at[blockHead:blockHead+size]...)
		at = at[blockHead+size:]
	}
	var again bytes.Buffer
	if err := storeFrame(&again, bytes.NewReader(plain), n, make([]byte, blockHead+rawBlock)); err != nil {
		return nil, err
	}
	if !bytes.Equal(again.Bytes(), stored) {
		return nil, errNoContents
	}
	return plain, nil
}

// open reads a member at a place in the file.
func (b *Bundle) open(m member, offset, length int64) (*content, error) {
	return openContent(b.volume, b.zstd, &b.decoders, m, offset, length)
}

func openContent(r io.ReaderAt, compressed bool, pool *decoders, m member, offset, length int64) (*content, error) {
	c := &content{member: m, stored: &summed{Reader: io.NewSectionReader(r, offset, length)}, left: m.size}
	c.plain = c.stored
	if compressed {
		z, err := pool.get(c.stored)
		if err != nil {
			return nil, err
		}
		c.plain = zstdErrors{z}
		c.close = func() { pool.put(z) }
	}
	return c, nil
}

// zstdErrors gives the decoder's errors the name of the format.
type zstdErrors struct{ *zstd.Decoder }

func (z zstdErrors) Read(p []byte) (int, error) {
	n, err := z.Decoder.Read(p)
	if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
		err = fmt.Errorf("zstd: %w", err)
	}
	return n, err
}

// Stat implements [layout.Storage].
func (b *Bundle) Stat(name string) (int64, error) {
	if m := b.byName[name]; m != nil {
		return m.size, nil
	}
	if needed := b.needed[name]; needed != nil {
		return 0, needed
	}
	return 0, fs.ErrNotExist
}

// Open implements [layout.Storage].
func (b *Bundle) Open(name string) (io.ReadCloser, int64, error) {
	size, err := b.Stat(name)
	if err != nil {
		return nil, 0, err
	}
	m := b.byName[name]
	c, err := b.open(*m, m.stored, m.storedLength)
	return c, size, err
}

// Read implements [layout.Storage].
func (b *Bundle) Read(name string, limit int64) ([]byte, error) {
	c, size, err := b.Open(name)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	if size > limit {
		return nil, fmt.Errorf("is larger than the %d KiB that such a file can have", limit>>10)
	}
	return io.ReadAll(c)
}

// Fault implements [layout.Storage].
func (b *Bundle) Fault(name string, err error) error {
	return fmt.Errorf("%s: %s: %w", b.name, name, err)
}

// Damaged implements [layout.Storage].
func (b *Bundle) Damaged(name string, err error) *manifest.DamagedError {
	return &manifest.DamagedError{Of: b.name, File: b.name + ": " + name, Remedy: "copy the file again", Err: err}
}

// Close implements [layout.Storage].
func (b *Bundle) Close() error {
	b.decoders.close()
	return b.volume.Close()
}

// Written reports whether the bundle exists and is the one of a plan. It is an error if another one
// has its name, or a file that is no bundle.
func Written(name string, p Plan) (bool, error) {
	b, err := open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("%w; or remove it, or name another file", err)
	}
	defer b.Close()
	if !b.is(p) {
		return false, fmt.Errorf("%s: exists and has other content; name another file, or remove it", name)
	}
	return true, nil
}

// is reports whether the bundle is the one of a plan.
func (b *Bundle) is(p Plan) bool {
	index, err := b.Read(layout.IndexFile, manifest.MaxSize)
	members, needed := b.contents.members, b.contents.needed
	if err != nil || !bytes.Equal(index, p.Index) || len(members) != len(p.Blobs)+2 || len(needed) != len(p.Needed) || b.contents.base != p.Base {
		return false
	}
	for i, d := range p.Blobs {
		if m := members[i+1]; m.name != layout.BlobPath(d.Digest) || m.size != d.Size {
			return false
		}
	}
	for i, n := range p.Needed {
		if n != needed[i] {
			return false
		}
	}
	return true
}

// digestOf is the descriptor by which content is verified.
func digestOf(raw []byte) (v1.Descriptor, error) {
	d, err := manifest.DigestOf("sha256", raw)
	return v1.Descriptor{Digest: d, Size: int64(len(raw))}, err
}
