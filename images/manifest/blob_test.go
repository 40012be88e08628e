package manifest

import (
	"io"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// Content is verified whatever the sizes of the reads.
func TestVerifiedBlob(t *testing.T) {
	content := []byte("some content")
	digest, err := DigestOf("sha256", content)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		body string
		ok   bool
	}{{"some content", true}, {"some contenT", false}, {"some conten", false}, {"some content and more", false}, {"", false}} {
		for _, step := range []int{1, 3, 12, 100} {
			b, err := Verified(io.NopCloser(strings.NewReader(c.body)), v1.Descriptor{Digest: digest, Size: int64(len(content))})
			if err != nil {
				t.Fatal(err)
			}
			var got []byte
			buf := make([]byte, step)
			for {
				n, readErr := b.Read(buf)
				got = append(got, buf[:n]...)
				if err = readErr; err != nil {
					break
				}
			}
			if (err == io.EOF) != c.ok {
				t.Errorf("%q by %d: %v", c.body, step, err)
			}
			if !c.ok && len(got) >= len(content) && string(got) != string(content) {
				t.Errorf("%q by %d: all %d bytes were given away before they were known to be wrong", c.body, step, len(got))
			}
		}
	}
}
