package bundle

import (
	"archive/tar"
	"bytes"
	"hash/crc32"
	"os"
	"testing"

	"github.com/berth-registry/berth/images/layout"
)

// forged is a member of a bundle as an attacker writes it. Offsets, checksums and the seek table of
// the bundle are right.
type forged struct {
	name    string // in the table of contents
	content []byte
	header  *tar.Header // nil: the one that a bundle has
	size    int64       // in the table of contents, if it is not 0
	frame   []byte      // stored in place of header, content and padding
}

// good are the members of a bundle with these files.
func good(index string, blobs ...forged) []forged {
	all := []forged{{name: layout.MarkerFile, content: []byte(layout.MarkerText)}}
	return append(append(all, blobs...), forged{name: layout.IndexFile, content: []byte(index)})
}

// forge writes a bundle of members.
func forge(t *testing.T, file string, members []forged) {
	t.Helper()
	var out bytes.Buffer
	var c contents
	var frames []frame
	buffer := make([]byte, blockHead+rawBlock)
	offset := int64(0)
	for _, f := range members {
		m := member{name: f.name, size: int64(len(f.content)), offset: offset}
		if f.size != 0 {
			m.size = f.size
		}
		plain := &bytes.Buffer{}
		h, err := header(f.name, int64(len(f.content)))
		if f.header != nil {
			w := tar.NewWriter(plain)
			err = w.WriteHeader(f.header)
			h = nil
		}
		if err != nil {
			t.Fatal(err)
		}
		plain.Write(h)
		plain.Write(f.content)
		plain.Write(make([]byte, padding(int64(len(f.content)))))
		length, err := m.length()
		if err != nil {
			t.Fatal(err)
		}
		before := out.Len()
		switch {
		case f.frame != nil:
			out.Write(f.frame)
		case !isZstd(file):
			out.Write(plain.Bytes())
		default:
			if err := storeFrame(&out, bytes.NewReader(plain.Bytes()), int64(plain.Len()), buffer); err != nil {
				t.Fatal(err)
			}
		}
		m.crc = crc32.Checksum(out.Bytes()[before:], castagnoli)
		frames = append(frames, frame{uint32(out.Len() - before), uint32(length)})
		c.members = append(c.members, m)
		offset += length
	}
	raw, err := c.render(offset)
	if err != nil {
		t.Fatal(err)
	}
	h, err := header(contentsName, int64(len(raw)))
	if err != nil {
		t.Fatal(err)
	}
	tail := bytes.Join([][]byte{h, raw, make([]byte, trailer)}, nil)
	if !isZstd(file) {
		out.Write(tail)
	} else {
		before := out.Len()
		if err := storeFrame(&out, bytes.NewReader(tail), int64(len(tail)), buffer); err != nil {
			t.Fatal(err)
		}
		out.Write(seekTable(append(frames, frame{uint32(out.Len() - before), uint32(len(tail))})))
	}
	if err := os.WriteFile(file, out.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
}
