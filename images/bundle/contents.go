package bundle

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/berth-registry/berth/images/layout"
)

// contents are the table at the end of a bundle: a text of lines, in the last member of the tar.
//
//	berth-bundle 1
//	base "monday.tar.zst"                                   only if something is left out
//	member OFFSET SIZE CRC32C NAME                          each member before this one
//	needed SIZE REPOSITORY NAME                             each one that is left out
//
// Newlines fill the text to a multiple of 512 bytes. The last 512 bytes of the member are a line
// with the offset of the member, the length of the text and its SHA-256, filled in the same way.
type contents struct {
	members []member
	base    string
	needed  []Needed
}

const (
	contentsName = "berth-contents"
	contentsHead = "berth-bundle 1\n"
	// maxContents limits the table, in bytes: some 300,000 members.
	maxContents = 32 << 20
	// trailer is the number of zeros at the end of a tar.
	trailer = 2 * block
)

// write writes the lines.
func (c contents) write(w io.Writer) error {
	b := bufio.NewWriter(w)
	fmt.Fprint(b, contentsHead) // an error stays in b until Flush
	if c.base != "" {
		fmt.Fprintf(b, "base %s\n", strconv.Quote(c.base))
	}
	for _, m := range c.members {
		fmt.Fprintf(b, "member %d %d %08x %s\n", m.offset, m.size, m.crc, m.name)
	}
	for _, n := range c.needed {
		fmt.Fprintf(b, "needed %d %s %s\n", n.Size, n.Repository, layout.BlobPath(n.Digest))
	}
	return b.Flush()
}

// render returns the content of the member that begins at an offset of the tar.
func (c contents) render(offset int64) ([]byte, error) {
	var b bytes.Buffer
	if err := c.write(&b); err != nil {
		return nil, err
	}
	fill(&b)
	b.WriteString(footer(offset, b.Bytes()))
	fill(&b)
	if b.Len() > maxContents {
		return nil, fmt.Errorf("the table of contents would be larger than %d MiB; copy to several bundles", maxContents>>20)
	}
	return b.Bytes(), nil
}

func fill(b *bytes.Buffer) {
	for b.Len()%block != 0 {
		b.WriteByte('\n')
	}
}

func footer(offset int64, text []byte) string {
	return fmt.Sprintf("contents %d %d %x\n", offset, len(text), sha256.Sum256(text))
}

// errNoContents says that a file is no bundle, or one whose end is missing.
var errNoContents = errors.New("has no table of contents at its end")

// parseFooter reads the last block of the table: where its member begins, and the length of the
// text.
func parseFooter(last []byte) (offset, length int64, err error) {
	var sum string
	if _, err := fmt.Sscanf(string(last), "contents %d %d %s\n", &offset, &length, &sum); err != nil {
		return 0, 0, errNoContents
	}
	if offset < 0 || offset > maxSize || length < block || length > maxContents || length%block != 0 {
		return 0, 0, errors.New("its table of contents has an impossible size")
	}
	return offset, length, nil
}

// parse reads the content of the member that begins at an offset of the tar. Nothing but the bytes
// that render writes is accepted.
func parse(raw []byte, offset int64) (contents, error) {
	var c contents
	text := string(raw[:len(raw)-block])
	head, ok := strings.CutPrefix(text, contentsHead)
	if !ok {
		return c, errors.New("its table of contents has an unknown version")
	}
	for line := range strings.Lines(strings.TrimRight(head, "\n") + "\n") {
		if err := c.line(strings.TrimSuffix(line, "\n")); err != nil {
			return c, fmt.Errorf("its table of contents is wrong: %w", err)
		}
	}
	if err := c.check(offset); err != nil {
		return c, err
	}
	again, err := c.render(offset)
	if err == nil && !bytes.Equal(again, raw) {
		err = errors.New("its table of contents is damaged")
	}
	return c, err
}

// line reads one line.
func (c *contents) line(line string) error {
	kind, rest, _ := strings.Cut(line, " ")
	fields := strings.Split(rest, " ")
	number := func(s string) int64 {
		n, err := strconv.ParseInt(s, 10, 64)
		if err != nil || n < 0 || n > maxSize {
			return -1
		}
		return n
	}
	switch {
	case kind == "base" && c.base == "" && len(c.members) == 0:
		base, err := strconv.Unquote(rest)
		c.base = base
		return err
	case kind == "member" && len(fields) == 4:
		m := member{name: fields[3], offset: number(fields[0]), size: number(fields[1])}
		crc, err := strconv.ParseUint(fields[2], 16, 32)
		if err != nil || m.size < 0 || m.offset < 0 {
			return fmt.Errorf("%.200q", line)
		}
		m.crc = uint32(crc)
		c.members = append(c.members, m)
		return nil
	case kind == "needed" && len(fields) == 3:
		d, err := blobDigest(fields[2])
		n := Needed{Digest: d, Size: number(fields[0]), Repository: fields[1]}
		if err != nil || n.Size < 0 {
			return fmt.Errorf("%.200q", line)
		}
		c.needed = append(c.needed, n)
		return nil
	}
	return fmt.Errorf("%.200q", line)
}

// blobDigest is the digest of a blob's file.
func blobDigest(name string) (v1.Hash, error) {
	rest, _ := strings.CutPrefix(name, "blobs/")
	algorithm, hex, _ := strings.Cut(rest, "/")
	d, err := v1.NewHash(algorithm + ":" + hex)
	if err != nil || layout.BlobPath(d) != name {
		return v1.Hash{}, fmt.Errorf("%.200q is not the name of a blob", name)
	}
	return d, nil
}

// check checks that the members are those of a layout, each once, and that they fill the tar up to
// the table.
func (c *contents) check(offset int64) error {
	if len(c.members) < 2 || c.members[0].name != layout.MarkerFile || c.members[len(c.members)-1].name != layout.IndexFile {
		return errors.New("its table of contents does not begin with oci-layout and end with index.json")
	}
	seen := map[string]bool{}
	at := int64(0)
	for i, m := range c.members {
		if i > 0 && i < len(c.members)-1 {
			if _, err := blobDigest(m.name); err != nil {
				return fmt.Errorf("its table of contents is wrong: %w", err)
			}
		}
		if seen[m.name] {
			return fmt.Errorf("its table of contents has %s twice", m.name)
		}
		seen[m.name] = true
		n, err := m.length()
		if err != nil {
			return err
		}
		if m.offset != at {
			return fmt.Errorf("its table of contents is wrong: %s is said to begin at %d, and begins at %d", m.name, m.offset, at)
		}
		if at += n; at > maxSize {
			return errors.New("its table of contents has an impossible size")
		}
	}
	for _, n := range c.needed {
		name := layout.BlobPath(n.Digest)
		if seen[name] || c.base == "" {
			return fmt.Errorf("its table of contents is wrong: %s is there and left out", name)
		}
		seen[name] = true
	}
	if at != offset {
		return fmt.Errorf("its table of contents begins at %d, and its members end at %d", offset, at)
	}
	return nil
}
