package report

import (
	"bytes"
	"strings"
	"testing"

	"github.com/berth-registry/berth/images/copy"
)

// On a terminal the progress is one line that changes and leaves nothing
// behind; lines of images go between.
func TestProgressOnATerminal(t *testing.T) {
	var out, screen bytes.Buffer
	v := NewProgress(&out, &screen, true)
	v.terminal = true
	v.show("images: 1 of 2; 1.0 MiB of 2.0 MiB, 512.0 KiB/s and much more that does not fit into one line of a terminal")
	v.Done(copy.Copied{Status: copy.StatusCopied, Target: "registry.corp/a:1", Uploaded: 2, Bytes: 2048, Mounted: 1, Attached: 3})
	v.show("images: 2 of 2")
	v.Start(t.Context(), &copy.Progress{})()
	want := "\r\x1b[K"
	if got := screen.String(); strings.Count(got, want) != 2 || !strings.HasSuffix(got, want) || strings.Contains(got, "\n") {
		t.Errorf("%q", got)
	}
	for line := range strings.SplitSeq(screen.String(), want) {
		if len(line) > 79 {
			t.Errorf("%d characters: %q", len(line), line)
		}
	}
	if got := out.String(); got != "copied   registry.corp/a:1 (2 blobs sent, 2.0 KiB; 1 taken over; 3 attached)\n" {
		t.Errorf("%q", got)
	}
	screen.Reset()
	v.terminal = false
	v.show("images: 2 of 2")
	if got := screen.String(); got != "images: 2 of 2\n" {
		t.Errorf("in a log: %q", got)
	}
}
