package layout

import (
	"errors"
	"io"
)

// seekable reads a file of a storage that gives streams: it opens the file again to go back, and
// reads over what is skipped.
type seekable struct {
	files Storage
	name  string
	size  int64

	at     int64 // where the next Read begins
	body   io.ReadCloser
	bodyAt int64
}

// Seek implements io.Seeker.
func (s *seekable) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += s.at
	case io.SeekEnd:
		offset += s.size
	}
	if offset < 0 {
		return 0, errors.New("seek before the beginning")
	}
	s.at = offset
	return offset, nil
}

// Read implements io.Reader.
func (s *seekable) Read(p []byte) (int, error) {
	if s.at >= s.size {
		return 0, io.EOF
	}
	if s.at < s.bodyAt {
		if err := s.body.Close(); err != nil {
			return 0, err
		}
		body, _, err := s.files.Open(s.name)
		if err != nil {
			return 0, err
		}
		s.body, s.bodyAt = body, 0
	}
	for s.bodyAt < s.at {
		n, err := io.CopyN(io.Discard, s.body, s.at-s.bodyAt)
		s.bodyAt += n
		if err != nil {
			return 0, err
		}
	}
	n, err := s.body.Read(p)
	s.bodyAt += int64(n)
	s.at = s.bodyAt
	return n, err
}

// Close implements io.Closer.
func (s *seekable) Close() error { return s.body.Close() }
