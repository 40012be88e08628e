package bundle

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"time"
)

// member is a file of the tar. Offsets and lengths are of its bytes in the tar: header, content and
// padding.
type member struct {
	name   string
	size   int64 // of the content
	offset int64
	crc    uint32 // CRC-32C of the bytes that are stored: in a .tar.zst those of its frames

	stored, storedLength int64 // place in the file
}

const block = 512 // bytes; everything in a tar is aligned to it

// castagnoli is the table of CRC-32C.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// header is the tar header of a member: a function of name and size alone.
func header(name string, size int64) ([]byte, error) {
	var b bytes.Buffer
	err := tar.NewWriter(&b).WriteHeader(&tar.Header{
		Typeflag: tar.TypeReg, Name: name, Size: size, Mode: 0o644, ModTime: time.Unix(0, 0),
	})
	return b.Bytes(), err
}

// padding is the number of zeros after content of a size.
func padding(size int64) int64 { return -size & (block - 1) }

// length is the number of bytes of the member in the tar.
func (m member) length() (int64, error) {
	h, err := header(m.name, m.size)
	return int64(len(h)) + m.size + padding(m.size), err
}

// zeros is an endless reader of zeros.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// content reads the content of a member, and gives out its last bytes only after everything that is
// stored of it was compared: header, padding and checksum.
type content struct {
	member
	stored *summed   // bytes in the file
	plain  io.Reader // bytes in the tar
	left   int64     // bytes of the content
	begun  bool
	close  func()
	failed error
	// only takes any checksum: it is not known yet.
	only bool
}

// summed computes the CRC-32C of what is read.
type summed struct {
	io.Reader
	crc uint32
}

func (s *summed) Read(p []byte) (int, error) {
	n, err := s.Reader.Read(p)
	s.crc = crc32.Update(s.crc, castagnoli, p[:n])
	return n, err
}

// Read implements [io.Reader].
func (c *content) Read(p []byte) (int, error) {
	if c.failed != nil {
		return 0, c.failed
	}
	n, err := c.read(p)
	if err != nil {
		c.failed = err
	}
	return n, err
}

func (c *content) read(p []byte) (int, error) {
	if !c.begun {
		c.begun = true
		if err := c.compareHeader(); err != nil {
			return 0, err
		}
		if c.left == 0 {
			if err := c.end(); err != nil {
				return 0, err
			}
		}
	}
	if c.left == 0 {
		return 0, io.EOF
	}
	n, err := c.plain.Read(p[:min(int64(len(p)), c.left)])
	c.left -= int64(n)
	if err == io.EOF && c.left > 0 {
		err = io.ErrUnexpectedEOF
	} else if err == io.EOF {
		err = nil
	}
	if err == nil && c.left == 0 {
		err = c.end()
	}
	if err != nil {
		return 0, err
	}
	return n, nil
}

// compareHeader compares the header with the one that name and size give.
func (c *content) compareHeader() error {
	want, err := header(c.name, c.size)
	if err != nil {
		return err
	}
	got := make([]byte, len(want))
	if _, err := io.ReadFull(c.plain, got); err == io.EOF {
		return io.ErrUnexpectedEOF // io.EOF would be the end of empty content
	} else if err != nil {
		return err
	}
	if bytes.Equal(got, want) {
		return nil
	}
	return otherHeader(got)
}

// otherHeader says what a header is for.
func otherHeader(got []byte) error {
	h, err := tar.NewReader(bytes.NewReader(got)).Next()
	if err != nil {
		return errors.New("its header in the tar is damaged")
	}
	kind := "a file with other fields than a bundle has"
	switch h.Typeflag {
	case tar.TypeSymlink:
		kind = "a symlink"
	case tar.TypeLink:
		kind = "a hard link"
	case tar.TypeChar, tar.TypeBlock:
		kind = "a device"
	case tar.TypeFifo:
		kind = "a fifo"
	case tar.TypeDir:
		kind = "a directory"
	}
	return fmt.Errorf("its header in the tar is of %q, %s; a bundle has regular files of its layout only", h.Name, kind)
}

// end reads the padding, and compares the checksum.
func (c *content) end() error {
	pad := make([]byte, padding(c.size)+1)
	n, err := io.ReadFull(c.plain, pad)
	switch {
	case err == nil:
		return errors.New("is longer in the tar than its size")
	case err != io.ErrUnexpectedEOF && err != io.EOF:
		return err
	case n != len(pad)-1:
		return io.ErrUnexpectedEOF
	}
	for _, b := range pad[:n] {
		if b != 0 {
			return errors.New("its padding in the tar is not zero")
		}
	}
	// What the decoder has not asked for.
	if _, err := io.Copy(io.Discard, c.stored); err != nil {
		return err
	}
	if !c.only && c.stored.crc != c.crc {
		return errors.New("does not match its checksum")
	}
	return nil
}

// Close implements [io.Closer].
func (c *content) Close() error {
	if c.close != nil {
		c.close()
		c.close = nil
	}
	c.failed = errors.New("is closed")
	return nil
}
