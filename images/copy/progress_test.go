package copy

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestLine(t *testing.T) {
	for _, c := range []struct {
		at    Reached
		since time.Duration
		want  string
	}{
		{Reached{Images: 200, Resolved: 17}, 0, "looking at images: 17 of 200"},
		{Reached{Images: 200, Done: 3, Copying: true, Total: 2048}, 0, "images: 3 of 200; 0 B of 2.0 KiB"},
		{Reached{Images: 200, Done: 3, Failed: 1, Copying: true, Bytes: 1 << 20, Total: 10 << 20}, 2 * time.Second, "images: 3 of 200, 1 failed; 1.0 MiB of 10.0 MiB, 512.0 KiB/s, 18s left"},
		{Reached{Images: 2, Done: 2, Copying: true, Bytes: 5 << 30, Total: 5 << 30}, time.Minute, "images: 2 of 2; 5.0 GiB of 5.0 GiB, 85.3 MiB/s"},
	} {
		if got := c.at.Line(c.since); got != c.want {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
}

func TestWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &Progress{}
		p.begin(4)
		ctx, cancel := context.WithTimeout(t.Context(), 5500*time.Millisecond)
		defer cancel()
		var lines []string
		p.Watch(ctx, time.Second, func(line string) { lines = append(lines, line) })
		if len(lines) != 5 || lines[4] != "looking at images: 0 of 4" {
			t.Errorf("%q", lines)
		}
	})
}

// Bytes that were read and did not arrive are not counted.
func TestCountedUndo(t *testing.T) {
	p := &Progress{}
	c := p.count(io.NopCloser(io.MultiReader(strings.NewReader("12345"), failingReader{})))
	if _, err := io.ReadAll(c); err == nil {
		t.Fatal("no error")
	}
	if got := p.Reached().Bytes; got != 5 {
		t.Errorf("%d bytes, want 5", got)
	}
	c.undo()
	c.undo()
	if got := p.Reached().Bytes; got != 0 {
		t.Errorf("%d bytes, want 0", got)
	}
}

type failingReader struct{}

func (failingReader) Read([]byte) (int, error) { return 0, errors.New("cut off") }
